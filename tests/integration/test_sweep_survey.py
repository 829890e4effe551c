# ruff: noqa: F401, F811 - fixtures are imported by name, and come back as arguments
"""The survey of the bucket: what a listing alone tells of what was lost."""

from __future__ import annotations

from datetime import datetime, timedelta

from cloud import DATASET, PREFIX, StandIns, cloud, config, connections_closed, stand_ins, store
from made_up import arrived, ended, now, taken_on, tuned, verdict

from genops_events.arrivals import Notice
from genops_events.completion_events import announcement, announcement_path
from genops_events.config import Config
from genops_events.gcp.bucket_sweep import objects_without_candidate, survey
from genops_events.gcp.outbox import announce
from genops_events.gcp.record_store import RecordStore
from genops_events.identity import candidate_id
from genops_events.record import arrival_path, folder, intent_path, quarantine_path, verdict_path
from genops_events.stages import PATIENCE, Outcome, Stage
from genops_events.sweep import Remedies, remedies


def later(*, seconds: float = 0.0) -> datetime:
    """Return an instant by which everything that is in the bucket now has waited long enough."""
    return now() + PATIENCE + timedelta(seconds=1 + seconds)


def test_an_empty_record_has_no_traces(store: RecordStore) -> None:
    assert survey(store) == {}


def test_the_traces_of_a_candidate_are_the_names_in_its_folder_and_what_was_published(
    config: Config, store: RecordStore
) -> None:
    one, other = arrived(config, store).candidate, arrived(config, store).candidate
    taken_on(store, Stage.TUNING, one)
    announce(config, store, tuned(store, one))
    passed = verdict(Stage.EVALUATION, Outcome.PASSED, one)
    silent = announcement_path(one, Stage.EVALUATION, Outcome.PASSED)
    store.create(silent, announcement(passed, bucket=config.bucket, now=now()))
    found = survey(store)
    assert set(found) == {one, other}
    told = announcement_path(one, Stage.TUNING, Outcome.SUCCEEDED)
    assert found[one].names == {
        arrival_path(one),
        intent_path(one, Stage.TUNING),
        verdict_path(one, Stage.TUNING),
        told,
        silent,
    }
    assert found[one].published == {told}
    assert found[one].moved_at == store.bucket.get_blob(silent).updated
    assert found[other].names == {arrival_path(other)}


def test_a_survey_reads_no_document(cloud: StandIns, config: Config, store: RecordStore) -> None:
    candidate = arrived(config, store).candidate
    announce(config, store, tuned(store, candidate))
    cloud.storage.faults(error_code="403", error_share=1.0, error_methods=["objects.get"])
    found = survey(store)[candidate]
    assert remedies(found, now=later()) == Remedies(wake=(Stage.EVALUATION, Stage.BUDGET))


def test_what_was_lost_is_found_once_patience_is_over(config: Config, store: RecordStore) -> None:
    never_woken = arrived(config, store).candidate
    never_closed = arrived(config, store).candidate
    taken_on(store, Stage.TUNING, never_closed)
    never_announced = arrived(config, store).candidate
    tuned(store, never_announced)
    held = arrived(config, store).candidate
    announce(config, store, ended(store, Stage.PROMOTION, Outcome.HELD, held))
    found = survey(store)
    assert all(remedies(one, now=now()) == Remedies() for one in found.values())
    assert {candidate: remedies(one, now=later()) for candidate, one in found.items()} == {
        never_woken: Remedies(wake=(Stage.TUNING,)),
        never_closed: Remedies(close=(Stage.TUNING,)),
        never_announced: Remedies(announce=(Stage.TUNING,)),
        held: Remedies(),
    }


def test_marking_an_event_published_is_what_the_next_survey_goes_by(config: Config, store: RecordStore) -> None:
    candidate = arrived(config, store).candidate
    made = tuned(store, candidate)
    store.create(
        announcement_path(candidate, Stage.TUNING, Outcome.SUCCEEDED),
        announcement(made, bucket=config.bucket, now=now()),
    )
    assert remedies(survey(store)[candidate], now=later()) == Remedies(announce=(Stage.TUNING,))
    announce(config, store, made)
    assert remedies(survey(store)[candidate], now=later()).announce == ()


def lost(config: Config, store: RecordStore, *, at: datetime) -> list[Notice]:
    return list(objects_without_candidate(config, store, survey(store), now=at))


def test_an_object_that_was_never_announced_is_found_with_the_identity_that_its_notification_would_give(
    config: Config, store: RecordStore
) -> None:
    blob = store.bucket.blob(f"{PREFIX}a b#ü.jsonl")
    blob.upload_from_string(b"12345")
    assert lost(config, store, at=now()) == []
    (found,) = lost(config, store, at=later())
    assert (found.bucket, found.object, found.size_bytes) == (config.bucket, blob.name, 5)
    assert found.generation == int(blob.generation)
    assert found.finalized_at == store.bucket.get_blob(blob.name).time_created


def test_an_object_that_has_a_candidate_is_not_lost(config: Config, store: RecordStore) -> None:
    blob = store.bucket.blob(f"{PREFIX}known.jsonl")
    blob.upload_from_string(b"first")
    arrived(config, store, name=blob.name, generation=int(blob.generation))
    assert lost(config, store, at=later()) == []
    blob.upload_from_string(b"second")
    (found,) = lost(config, store, at=later())
    assert found.generation == int(blob.generation)


def test_a_candidate_without_its_arrival_does_not_hide_its_object(config: Config, store: RecordStore) -> None:
    blob = store.bucket.blob(f"{PREFIX}half.jsonl")
    blob.upload_from_string(b"x")
    candidate = candidate_id(DATASET, config.bucket, blob.name, int(blob.generation))
    store.bucket.blob(quarantine_path(candidate)).upload_from_string(b"")
    assert [one.object for one in lost(config, store, at=later())] == [blob.name]


def test_what_is_no_arrival_is_not_looked_for(config: Config, store: RecordStore) -> None:
    for name in (PREFIX, f"{PREFIX}folder/", "training/other/file.jsonl", "evaluation/banking77.jsonl"):
        store.bucket.blob(name).upload_from_string(b"")
    arrived(config, store)
    assert lost(config, store, at=later()) == []


def test_only_objects_older_than_patience_are_lost(config: Config, store: RecordStore) -> None:
    blob = store.bucket.blob(f"{PREFIX}new.jsonl")
    blob.upload_from_string(b"x")
    created = store.bucket.get_blob(blob.name).time_created
    assert lost(config, store, at=created + PATIENCE - timedelta(milliseconds=1)) == []
    assert len(lost(config, store, at=created + PATIENCE)) == 1


def test_a_folder_in_the_record_that_is_no_candidate_does_no_harm(config: Config, store: RecordStore) -> None:
    store.bucket.blob("genops/candidates/").upload_from_string(b"")
    store.bucket.blob(f"{folder('stray')}note.txt").upload_from_string(b"")
    assert all(remedies(one, now=later()) == Remedies() for one in survey(store).values())
