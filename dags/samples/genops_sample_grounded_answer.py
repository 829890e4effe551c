"""Sample: an answer that is grounded in Google Search, or in a data store of your own, with its sources.

An answer without a source is what the model remembers, and fails the task here: whoever asked wants to check it. Trigger it
with a question; where the answer lies and what it cost are in the log and in XCom, with `capture_content: true` in genops.yaml
the answer and its sources, too. Grounding with Google Search is billed by Google beside the tokens: see docs/how-to/answer-prompts.md.
"""

from typing import Any

from airflow.sdk import DAG, Param, task
from airflow.sdk.exceptions import AirflowFailException

from genops_events.airflow.retries import OWN_DAG_DEFAULTS

INSTRUCTION = "Answer in at most five sentences, from what you find alone. If you find nothing, say so."

with DAG(
    "genops_sample_grounded_answer",
    schedule=None,
    catchup=False,
    is_paused_upon_creation=True,  # it costs money
    doc_md=__doc__,
    tags=["genops", "sample"],
    default_args=OWN_DAG_DEFAULTS,
    params={
        "question": Param("Who won the most recent football world cup, and where?", type="string", minLength=1),
        "model": Param("gemini-3.5-flash", type="string"),
        "data_store": Param(
            None,
            "projects/…/locations/…/collections/…/dataStores/… of Vertex AI Search; empty for Google Search.",
            title="Data store",
            type=["null", "string"],
        ),
        "budget_usd": Param(0.1, "Most that the answer may cost.", title="Budget in USD", type="number", minimum=0),
    },
):

    @task
    def answer(params: Any = None, run_id: Any = None) -> dict[str, Any]:
        """Return the answer, its sources and its cost."""
        from genops_events import generate
        from genops_events.airflow.captured_content import returned_figures

        store = params["data_store"]
        found = generate(
            params["question"],
            model=params["model"],
            system_instruction=INSTRUCTION,
            settings={
                "grounding": {"data_store": store} if store else "google_search",
                "max_output_tokens": 1000,
                "thinking": {"level": "minimal"},
            },
            budget_usd=params["budget_usd"],
            name=run_id,  # a retry of this task pays once
        )
        if not found.sources:
            raise AirflowFailException(
                f"The model gave no source for its answer: `genops ask --run {found.run}` shows it"
            )
        cited = [f"{one['title']}: {one['uri']}" for one in found.sources]
        return returned_figures(found, {"answer": found.text, "sources": cited}, cited=len(cited))

    answer()
