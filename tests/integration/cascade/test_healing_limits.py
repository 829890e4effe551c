"""A sweep that takes too long, finds too much or fails midway loses nothing: the next one goes on."""

from __future__ import annotations

import pytest
from airflow_context import Airflow
from cloud import DATASET, PREFIX, StandIns
from made_up import taken_on
from sweeps import swept

from genops_events.airflow import healing
from genops_events.config import Config
from genops_events.gcp.record_store import RecordStore
from genops_events.intake.open_candidates import mint
from genops_events.record.stages import Stage

pytestmark = pytest.mark.little_patience


def test_more_lost_arrivals_than_one_task_may_wake_are_left_to_the_next_sweeps(
    airflow: Airflow, config: Config, store: RecordStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(healing, "WOKEN_AT_ONCE", 4)
    for number in range(10):
        store.bucket.blob(f"{PREFIX}{number}.jsonl").upload_from_string(b"x")
    found = []
    for number in range(3):
        # A stage takes on what was woken, as it would.
        woken, figures = swept(airflow, config, store, run_id=f"sweep-{number}")
        for candidate in woken:
            taken_on(store, Stage.TUNING, candidate)
            airflow.task_states["run-1"] = {"validate": "running"}
        found.append(woken)
        assert figures.reached_end == (number == 2)
    assert [len(one) for one in found] == [4, 4, 2]
    assert len(set.union(*found)) == 10


def test_a_sweep_goes_on_where_the_last_one_ran_out_of_time(
    airflow: Airflow, config: Config, store: RecordStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    list_blobs = store.bucket.list_blobs
    monkeypatch.setattr(store.bucket, "list_blobs", lambda **given: list_blobs(**{**given, "page_size": 2}))
    monkeypatch.setattr(healing, "LISTING_SECONDS", 0.0)
    names = [f"{PREFIX}{number}.jsonl" for number in range(5)]
    for name in names:
        store.bucket.blob(name).upload_from_string(b"x")
    found = 0
    stood = []
    for number in range(12):
        _, figures = swept(airflow, config, store, run_id=f"sweep-{number}")
        found += figures.lost_arrivals
        stood.append(figures.stands_at)
        if figures.reached_end:
            break
    assert figures.reached_end
    assert found == len(names)
    assert stood[0] == f"{DATASET}: {names[1]}"
    _, figures = swept(airflow, config, store, run_id="another")
    assert figures.stands_at == f"{DATASET}: {names[1]}", "and it begins anew after the end"


def test_a_sweep_that_fails_midway_keeps_what_it_has_woken_and_where_it_stood(
    airflow: Airflow, cloud: StandIns, config: Config, store: RecordStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    list_blobs = store.bucket.list_blobs
    monkeypatch.setattr(store.bucket, "list_blobs", lambda **given: list_blobs(**{**given, "page_size": 2}))
    monkeypatch.setattr(healing, "POSITION_KEPT_SECONDS", 0.0)
    for number in range(5):
        store.bucket.blob(f"{PREFIX}{number}.jsonl").upload_from_string(b"x")
    woken = 0

    def once(given_store: RecordStore, arrivals: object) -> set[str]:
        nonlocal woken
        made = mint(given_store, arrivals)
        woken += len(made)
        if woken:
            cloud.storage.faults(error_code="403", error_share=1.0, error_methods=["objects.list"])
        return made

    monkeypatch.setattr(healing, "mint", once)
    found, figures = swept(airflow, config, store)
    assert len(found) == 2
    assert figures.error is not None
    assert not figures.reached_end
    cloud.storage.faults()
    monkeypatch.setattr(healing, "mint", mint)
    found, figures = swept(airflow, config, store, run_id="sweep-2")
    assert figures.lost_arrivals == 3
    assert figures.reached_end


def test_a_standing_of_another_version_means_that_the_sweep_begins_anew(
    airflow: Airflow, config: Config, store: RecordStore
) -> None:
    store.bucket.blob(f"{PREFIX}a.jsonl").upload_from_string(b"x")
    airflow.arrivals_state.set("swept", {"began_at": "no time"})
    assert swept(airflow, config, store)[1].lost_arrivals == 1


def test_the_figures_name_the_first_hundred_and_count_all(airflow: Airflow, config: Config, store: RecordStore) -> None:
    for number in range(103):
        store.bucket.blob(f"{PREFIX}{number}.jsonl").upload_from_string(b"x")
    woken, figures = swept(airflow, config, store)
    assert len(woken) == figures.lost_arrivals == 103
    assert len(figures.healed) == 100
    assert figures.figures()["lost_arrivals"] == 103
