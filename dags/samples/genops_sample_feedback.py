"""Sample: what customers wrote, sorted by topic and mood, and counted.

A file of messages goes to the model as it is (docs/how-to/answer-prompts.md says what it may hold), each row once, paced to the quota and
never for more than the budget. The schema leaves the model no other words than these topics and moods. Change them to yours.
The answers lie in the bucket; the counts are in the log and in XCom.
"""

from collections import Counter
from typing import Any

from airflow.sdk import DAG, Param, task

from genops_events.airflow.generate_content import GenerateContent
from genops_events.airflow.retries import OWN_DAG_DEFAULTS

INSTRUCTION = "You sort what customers of a bank write. Take the topic that fits best, and other if none does."
FORM = {
    "type": "object",
    "properties": {
        "topic": {"type": "string", "enum": ["card", "transfer", "cash", "top up", "account", "other"]},
        "mood": {"type": "string", "enum": ["angry", "worried", "neutral", "happy"]},
    },
    "required": ["topic", "mood"],
}
SETTINGS = {"response_json_schema": FORM, "max_output_tokens": 100, "thinking": {"level": "minimal"}}

with DAG(
    "genops_sample_feedback",
    schedule=None,
    catchup=False,
    is_paused_upon_creation=True,  # it costs money
    doc_md=__doc__,
    tags=["genops", "sample"],
    default_args=OWN_DAG_DEFAULTS,
    params={
        "file": Param("prompts/banking77.jsonl", "JSON Lines in the bucket, or gs://BUCKET/OBJECT.", type="string"),
        "model": Param("gemini-3.5-flash", type="string"),
        "system_instruction": Param(INSTRUCTION, title="Instruction", type="string", format="multiline"),
        "settings": Param(SETTINGS, title="Settings", type="object"),
        "budget_usd": Param(0.5, "Most that all of it may cost.", title="Budget in USD", type="number", minimum=0),
    },
):
    # Reads the form above, as genops_generate_content does.
    asked = GenerateContent(task_id="classify")

    @task
    def count(asked: Any) -> dict[str, int]:
        """Return how often each topic and mood was found."""
        import json

        from genops_events import RecordStore, load_config
        from genops_events.gemini.kept_answers import answer_rows

        bucket = RecordStore.open(load_config()).bucket
        rows = answer_rows(bucket, asked["answers_uri"].removeprefix(f"gs://{bucket.name}/"))
        found = [json.loads(row["answer"]) for row in rows if row["state"] == "complete"]
        counts = Counter(f"{one['topic']}, {one['mood']}" for one in found)
        print(*(f"{number:5,}  {name}" for name, number in counts.most_common()), sep="\n")
        return dict(counts.most_common())

    count(asked.output)
