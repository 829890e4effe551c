"""The assets of the cascade, called Datasets in Airflow 2; a dataset here is an entry of genops.yaml.

An asset event only says "look at this candidate": its partition key is the candidate id.
What is to be done is read from the record.
"""

from __future__ import annotations

from collections.abc import Mapping

from airflow.sdk import Asset, AssetWatcher

from genops_events.record.stages import STAGES, Stage
from triggers.gcs_arrival import GCSArrivalTrigger

TRAINING_ARRIVALS = Asset(
    name="training_arrivals",
    uri="genops://training-arrivals",
    watchers=[AssetWatcher(name="gcs_arrivals", trigger=GCSArrivalTrigger())],
    group="genops",
)
"""Objects finalized under a watched prefix, as Pub/Sub tells; without partition keys, which a watcher cannot give."""

TRAINING_DATA = Asset(name="training_data", uri="genops://training-data", group="genops")
"""A candidate has arrived."""

TUNED_MODEL = Asset(name="tuned_model", uri="genops://tuned-model", group="genops")
"""A candidate's model is tuned."""

EVALUATED_MODEL = Asset(name="evaluated_model", uri="genops://evaluated-model", group="genops")
"""Evaluation has given its verdict, whichever it is."""

BUDGETED_MODEL = Asset(name="budgeted_model", uri="genops://budgeted-model", group="genops")
"""Budget has given its verdict, whichever it is."""

PROMOTED_MODEL = Asset(name="promoted_model", uri="genops://promoted-model", group="genops")
"""A candidate is its dataset's champion."""

MADE_BY: Mapping[Stage, Asset] = {
    Stage.TUNING: TUNED_MODEL,
    Stage.EVALUATION: EVALUATED_MODEL,
    Stage.BUDGET: BUDGETED_MODEL,
    Stage.PROMOTION: PROMOTED_MODEL,
}
"""The asset that each stage's Dag emits; nothing of the cascade comes after inference."""

WOKEN_BY: Mapping[Stage, tuple[Asset, ...]] = {
    stage: tuple(MADE_BY[before] for before in facts.waits_for) or (TRAINING_DATA,) for stage, facts in STAGES.items()
}
"""The assets whose events wake each stage's Dag."""
