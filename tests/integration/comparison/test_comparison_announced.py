"""The end of a comparison is announced, also where Pub/Sub was away for as long as its last task is tried."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from airflow_context import Airflow
from cloud import Reader, StandIns
from comparisons import asked, conclude, contest, plan, recorded
from evaluations import FILE, MODEL, pairs, write
from sweeps import swept

from genops_events.config import Config
from genops_events.errors import TransientError
from genops_events.gcp import outbox
from genops_events.gcp.record_store import RecordStore
from genops_events.record.comparison import ComparisonSummary
from genops_events.record.comparison_plan import UNANNOUNCED, summary_path, unannounced_path

pytestmark = pytest.mark.little_patience


@pytest.fixture
def ended_unheard(
    compared: Callable[..., Config], cloud: StandIns, store: RecordStore, monkeypatch: pytest.MonkeyPatch
) -> str:
    """A comparison that has ended while Pub/Sub was away, for good: nobody clears its task."""
    compared()
    write(store, FILE, *pairs(2))
    run = asked(MODEL)
    for name in plan(run):
        contest(run, name)
    monkeypatch.setattr(outbox, "PUBLISH_TIMEOUT_SECONDS", 0.7)
    cloud.pubsub.faults(error_code="UNAVAILABLE", error_share=1.0, error_methods=["Publish"])
    with pytest.raises(TransientError):
        conclude(run)
    found = recorded(run)
    assert found is not None
    return found.id


def test_an_end_that_could_not_be_published_is_announced_by_the_sweep_once(  # noqa: PLR0917
    airflow: Airflow, config: Config, store: RecordStore, cloud: StandIns, completions: Reader, ended_unheard: str
) -> None:
    away = swept(airflow, config, store)[1]
    assert (away.unannounced_verdicts, away.error is None) == (0, False)
    cloud.pubsub.faults()
    healed = swept(airflow, config, store)[1]
    assert [(one.candidate, one.stage) for one in healed.healed] == [(ended_unheard, None)]
    (event,) = completions.read_some()
    assert event.attributes["ce-type"] == "genops.comparison.completed.v1"
    assert event.attributes["ce-subject"] == ended_unheard
    again = swept(airflow, config, store)[1]
    assert (again.unannounced_verdicts, again.error) == (0, None)
    assert completions.read() == []


def test_the_sweep_leaves_an_end_alone_that_its_task_is_about_to_announce_or_to_record(  # noqa: PLR0917
    airflow: Airflow, config: Config, store: RecordStore, cloud: StandIns, completions: Reader, ended_unheard: str
) -> None:
    cloud.pubsub.faults()
    summary = store.bucket.blob(summary_path(ended_unheard))
    written = summary.download_as_bytes()
    summary.delete()
    unrecorded = swept(airflow, config, store)[1]
    assert (unrecorded.healed, unrecorded.error) == ((), None)
    summary.upload_from_string(written)
    patient = config.model_copy(update={"intake": config.intake.model_copy(update={"patience_minutes": 1.0})})
    assert swept(airflow, patient, store)[1].healed == ()
    assert completions.read() == []
    assert swept(airflow, config, store)[1].unannounced_verdicts == 1


def test_each_end_of_a_comparison_that_was_cleared_is_announced_also_beside_a_marker_that_nobody_can_read(  # noqa: PLR0917
    airflow: Airflow, config: Config, store: RecordStore, cloud: StandIns, completions: Reader, ended_unheard: str
) -> None:
    first = store.read(unannounced_path(ended_unheard, 1), ComparisonSummary)
    assert first is not None
    second = first.model_copy(update={"number": 2, "outcome": "failed"})
    store.put(unannounced_path(ended_unheard, 2), second)
    store.put(summary_path(ended_unheard), second)
    store.bucket.blob(f"{UNANNOUNCED}{'0' * 16}-1.json").upload_from_string(b"{")
    cloud.pubsub.faults()
    figures = swept(airflow, config, store)[1]
    assert [one.candidate for one in figures.healed] == [ended_unheard] * 2
    assert figures.error is not None
    kinds = [event.attributes["ce-type"] for event in completions.read_some(2)]
    assert kinds == ["genops.comparison.completed.v1", "genops.comparison.failed.v1"]
    assert len(store.names(UNANNOUNCED)) == 1, "the unreadable one stays, for somebody to look at"


def test_an_end_that_was_announced_leaves_nothing_to_the_sweep(
    compared: Callable[..., Config], store: RecordStore, completions: Reader
) -> None:
    compared()
    write(store, FILE, *pairs(2))
    run = asked(MODEL)
    for name in plan(run):
        contest(run, name)
    conclude(run)
    assert store.names(UNANNOUNCED) == []
    conclude(run)
    assert store.names(UNANNOUNCED) == []
    assert len(completions.read_some()) == 1
