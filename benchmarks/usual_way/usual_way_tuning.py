"""The usual way to start a Dag from Pub/Sub, as the Google provider's documentation shows it.

https://airflow.apache.org/docs/apache-airflow-providers-google/stable/message-queues/index.html
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Asset, AssetWatcher, get_current_context, task
from usual_way_trigger import LocalPubsubPullTrigger

SETTINGS: dict[str, Any] = json.loads(Path(__file__).with_name("usual_way.json").read_text(encoding="utf-8"))

ARRIVALS = Asset(
    "usual_way_arrivals",
    watchers=[AssetWatcher(name="usual_way_watcher", trigger=LocalPubsubPullTrigger(**SETTINGS))],
)


@task
def tune() -> None:
    """Read what started the run, as such a Dag does, and do nothing with it."""
    events = get_current_context()["triggering_asset_events"]
    messages = sum(len(event.extra["payload"]["message"]) for event in events[ARRIVALS])
    logging.getLogger(__name__).info("%d messages in %d asset events", messages, len(events[ARRIVALS]))


with DAG("usual_way_tuning", schedule=[ARRIVALS], catchup=False, tags=["usual way"]):
    tune()
