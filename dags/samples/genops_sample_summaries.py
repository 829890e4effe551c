"""Sample: summaries of PDF files and videos, one mapped task for each file, so that one bad file never hides the others.

The files are named by their gs:// addresses and never pass through Airflow: Vertex AI reads them. The defaults are Google's
own examples. Each summary is a JSON object of the form below; change it, and the model keeps to the new one.
"""

import json
from typing import Any

from airflow.sdk import DAG, Param, task
from airflow.sdk.exceptions import AirflowFailException

from genops_events.airflow.retries import OWN_DAG_DEFAULTS

ASKED = "Summarize this file for somebody who has one minute."
FORM = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "summary": {"type": "string", "description": "At most five sentences."},
        "key_points": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["title", "summary", "key_points"],
}
EXAMPLES = [
    "gs://cloud-samples-data/generative-ai/pdf/2403.05530.pdf",
    "gs://cloud-samples-data/generative-ai/video/pixel8.mp4",
]

with DAG(
    "genops_sample_summaries",
    schedule=None,
    catchup=False,
    is_paused_upon_creation=True,  # it costs money
    doc_md=__doc__,
    tags=["genops", "sample"],
    default_args=OWN_DAG_DEFAULTS,
    params={
        "files": Param(EXAMPLES, "gs:// addresses of PDF files and videos.", type="array", items={"type": "string"}),
        "model": Param("gemini-3.5-flash", type="string"),
        "budget_usd": Param(0.5, "Most that one summary may cost.", title="Budget in USD", type="number", minimum=0),
    },
):

    @task
    def files(params: Any = None) -> list[str]:
        """Return the files, a task for each."""
        return list(params["files"])

    @task(max_active_tis_per_dag=4, map_index_template="{{ task.op_kwargs['file'] }}")
    def summarize(file: str, params: Any = None, run_id: Any = None) -> dict[str, Any]:
        """Return the summary of a file, and what it cost."""
        from genops_events import generate
        from genops_events.airflow.captured_content import returned_figures

        found = generate(
            ASKED,
            files=[file],
            model=params["model"],
            settings={
                "response_json_schema": FORM,
                "max_output_tokens": 2000,
                "media_resolution": "low",
                "thinking": {"level": "minimal"},
            },
            budget_usd=params["budget_usd"],
            name=run_id,  # a retry of this task pays once
        )
        if found.state != "complete":
            raise AirflowFailException(f"The summary is {found.state}: {found.reason}")
        return returned_figures(found, json.loads(found.text), file=file)

    summarize.expand(file=files())
