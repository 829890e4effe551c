"""One candidate that cannot be read costs nobody else anything: in lists, in reports, in the sweep."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from airflow_context import Airflow
from cloud import PREFIX
from made_up import arrived
from sweeps import minted
from typer.testing import CliRunner

from genops_events.airflow.healing import sweep
from genops_events.cascade.candidate_reader import read_candidates
from genops_events.cascade.stage_run import StageRun
from genops_events.cli import app
from genops_events.config import Config
from genops_events.doctor.status import waiting
from genops_events.gcp.record_store import RecordStore, Unreadable
from genops_events.intake.admission import ForeignArrival
from genops_events.intake.open_candidates import open_candidates
from genops_events.record.intake import Arrival
from genops_events.record.paths import arrival_path, open_path
from genops_events.record.promotion import question_path
from genops_events.record.stages import Stage


@pytest.fixture
def both(config: Config, store: RecordStore) -> tuple[str, str]:
    """A good candidate, and one whose arrival has a size of 30 digits."""
    good, bad = arrived(config, store).candidate, arrived(config, store).candidate
    blob = store.bucket.blob(arrival_path(bad))
    blob.upload_from_string(json.dumps(json.loads(blob.download_as_bytes()) | {"size_bytes": 10**30}))
    return good, bad


def test_the_list_of_candidates_shows_the_others_and_names_it(both: tuple[str, str]) -> None:
    good, bad = both
    listed = CliRunner().invoke(app, ["candidates", "--json"])
    assert listed.exit_code == 0
    assert [one["candidate"] for one in json.loads(listed.stdout)] == [good]
    assert f"cannot be read: {bad}" in listed.stderr


def test_who_does_not_ask_to_be_told_of_it_gets_an_error(store: RecordStore, both: tuple[str, str]) -> None:
    with pytest.raises(Unreadable):
        list(read_candidates(store))


def test_the_status_report_names_it(store: RecordStore, both: tuple[str, str]) -> None:
    for candidate in both:
        store.bucket.blob(open_path(candidate)).upload_from_string("{}")
        store.bucket.blob(question_path(candidate)).upload_from_string("[1")
    rows = waiting(store)
    assert {one.candidate for one in rows} == set(both)
    assert all("cannot be read" in one.what for one in rows)


def test_a_number_of_wake_ups_that_is_none_is_taken_for_none(config: Config, store: RecordStore) -> None:
    candidate = minted(config, store)
    blob = store.bucket.blob(open_path(candidate))
    blob.metadata = {"woken": "9" * 5000}
    blob.patch()
    (marker,) = open_candidates(store)
    assert (marker.candidate, marker.wakings) == (candidate, 0)


def test_a_part_of_the_sweep_that_fails_in_whatever_way_leaves_the_others(
    config: Config, store: RecordStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.bucket.blob(f"{PREFIX}lost.jsonl").upload_from_string("{}")
    settings = config.intake.model_copy(update={"patience_minutes": 0})
    impatient = config.model_copy(update={"intake": settings})
    monkeypatch.setattr("genops_events.airflow.healing.open_candidates", lambda _: 1 / 0)
    figures = sweep(Airflow().task(run_type="scheduled").context(), impatient, store)
    assert figures.error is not None
    assert "ZeroDivisionError" in figures.error
    assert len(figures.woken) == 1


def test_a_marker_that_somebody_wrote_makes_no_candidate_of_another_buckets_object(
    config: Config, store: RecordStore
) -> None:
    candidate = minted(config, store)
    kept = store.read(arrival_path(candidate), Arrival)
    assert kept is not None
    forged = kept.model_copy(update={"bucket": "somebody-elses", "written_at": datetime(2026, 1, 1, tzinfo=UTC)})
    store.put(arrival_path(candidate), forged)
    with pytest.raises(ForeignArrival, match="another bucket"):
        _ = StageRun(Stage.TUNING, candidate, "run-1").arrival
    store.bucket.blob(arrival_path(candidate)).delete()
    store.put(open_path(candidate), forged)
    settings = config.intake.model_copy(update={"patience_minutes": 0})
    impatient = config.model_copy(update={"intake": settings})
    figures = sweep(Airflow().task(run_type="scheduled").context(), impatient, store)
    assert figures.woken == set()
    assert store.read(arrival_path(candidate), Arrival) is None
