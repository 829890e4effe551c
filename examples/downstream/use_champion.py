"""Your own Dag, woken by each new champion: it asks the champion's endpoint and says what it answers.

Copy it into your Dags folder and change `use`. docs/how-to/use-the-champion.md explains every line.
"""

from typing import Any

from airflow.sdk import DAG, PartitionedAssetTimetable, task

from genops_events.airflow.assets import PROMOTED_MODEL
from genops_events.airflow.retries import OWN_DAG_DEFAULTS

with DAG(
    "use_champion",
    # A plain `schedule=[PROMOTED_MODEL]` is never woken: the events have a partition key, the candidate id.
    schedule=PartitionedAssetTimetable(assets=PROMOTED_MODEL),
    catchup=False,
    doc_md=__doc__,
    tags=["downstream"],
    default_args=OWN_DAG_DEFAULTS,
):

    @task
    def use(dag_run: Any = None) -> dict[str, Any]:
        """Return what the champion of the dataset answers."""
        from google import genai

        from genops_events import RecordStore, dataset_of, load_config

        config = load_config()
        dataset = dataset_of(dag_run.partition_key)
        # The event says "look at this dataset"; who is champion now, the record says.
        champion = RecordStore.open(config).champion(dataset)
        assert champion is not None
        client = genai.Client(vertexai=True, project=config.project, location=config.location)
        asked = "I lost my card yesterday, please block it."
        answer = client.models.generate_content(model=champion.endpoint, contents=asked)
        print(f"{champion.candidate} ({champion.metric} {champion.score:.3f}) answers {answer.text!r}")
        return {"champion": champion.candidate, "endpoint": champion.endpoint, "answer": answer.text}

    use()
