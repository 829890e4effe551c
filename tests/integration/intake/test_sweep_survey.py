"""The survey of the bucket: what is open, what a listing tells of it, and which objects never became a candidate."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from cloud import DATASET, PREFIX, StandIns
from made_up import arrived, ended, now, taken_on, tuned, verdict

from genops_events.config import Config
from genops_events.config.identity import candidate_id
from genops_events.gcp.outbox import announce
from genops_events.gcp.record_store import RecordStore
from genops_events.intake import bucket_sweep
from genops_events.intake.bucket_sweep import CHECKED_AGAIN, CLOCK_SKEW, LostArrivals, SweepPosition
from genops_events.intake.notifications import Notice, arrival
from genops_events.intake.open_candidates import mint, traces_of
from genops_events.intake.traces import CandidateRepairs, candidate_repairs
from genops_events.record.events import announcement, announcement_path, publication_path
from genops_events.record.intake import Arrival
from genops_events.record.paths import arrival_path, folder, intent_path, open_path, verdict_path
from genops_events.record.stages import Outcome, Stage


def later(config: Config) -> datetime:
    """Return an instant by which everything that is in the bucket now has waited long enough."""
    return now() + config.intake.patience + timedelta(seconds=1)


def coming(config: Config, name: str, generation: int = 1) -> Arrival:
    """Return an arrival that nobody has recorded."""
    notice = Notice(bucket=config.bucket, object=f"{PREFIX}{name}", generation=generation)
    return arrival(notice, dataset=DATASET, found_by="notification", now=now())


def needed(store: RecordStore, config: Config, candidate: str) -> CandidateRepairs:
    return candidate_repairs(traces_of(store, candidate), now=later(config), patience=config.intake.patience)


# Traces


def test_the_traces_of_a_candidate_are_the_names_in_its_folder_and_what_was_published(
    config: Config, store: RecordStore
) -> None:
    one, other = arrived(config, store).candidate, arrived(config, store).candidate
    taken_on(store, Stage.TUNING, one)
    announce(config, store, tuned(store, one))
    passed = verdict(Stage.EVALUATION, Outcome.PASSED, one)
    silent = announcement_path(one, Stage.EVALUATION, Outcome.PASSED)
    store.create(silent, announcement(passed, bucket=config.bucket, now=now()))
    found = traces_of(store, one)
    told = announcement_path(one, Stage.TUNING, Outcome.SUCCEEDED)
    assert found.names == {
        arrival_path(one),
        intent_path(one, Stage.TUNING),
        verdict_path(one, Stage.TUNING),
        told,
        publication_path(told),
        silent,
    }
    assert found.published == {told}
    assert found.moved_at == store.bucket.get_blob(silent).updated
    assert traces_of(store, other).names == {arrival_path(other)}
    assert traces_of(store, "nobody").names == set()


def test_traces_are_had_without_reading_a_document(cloud: StandIns, config: Config, store: RecordStore) -> None:
    candidate = arrived(config, store).candidate
    announce(config, store, tuned(store, candidate))
    cloud.storage.faults(error_code="403", error_share=1.0, error_methods=["objects.get"])
    assert needed(store, config, candidate) == CandidateRepairs(wake=(Stage.EVALUATION, Stage.BUDGET))


def test_what_was_lost_is_found_once_patience_is_over(config: Config, store: RecordStore) -> None:
    never_woken = arrived(config, store).candidate
    never_closed = arrived(config, store).candidate
    taken_on(store, Stage.TUNING, never_closed)
    never_announced = arrived(config, store).candidate
    tuned(store, never_announced)
    held = arrived(config, store).candidate
    announce(config, store, ended(store, Stage.PROMOTION, Outcome.HELD, held))
    for candidate, wanted in {
        never_woken: CandidateRepairs(wake=(Stage.TUNING,)),
        never_closed: CandidateRepairs(close=(Stage.TUNING,)),
        never_announced: CandidateRepairs(announce=(Stage.TUNING,)),
        held: CandidateRepairs(),
    }.items():
        found = traces_of(store, candidate)
        assert candidate_repairs(found, now=now(), patience=config.intake.patience) == CandidateRepairs()
        assert needed(store, config, candidate) == wanted


def test_marking_an_event_published_is_what_the_next_sweep_goes_by(config: Config, store: RecordStore) -> None:
    candidate = arrived(config, store).candidate
    made = tuned(store, candidate)
    store.create(
        announcement_path(candidate, Stage.TUNING, Outcome.SUCCEEDED),
        announcement(made, bucket=config.bucket, now=now()),
    )
    assert needed(store, config, candidate) == CandidateRepairs(announce=(Stage.TUNING,))
    announce(config, store, made)
    assert needed(store, config, candidate).announce == ()


# Objects without a candidate


def swept(
    config: Config, store: RecordStore, *, at: datetime, position: SweepPosition | None = None
) -> tuple[list[Arrival], SweepPosition]:
    """Return what a whole sweep finds lost, and where it stands then."""
    sweep = LostArrivals(config, store, position or SweepPosition(), now=at)
    return [one for page in sweep.pages() for one in page.lost], sweep.position


def lost(config: Config, store: RecordStore, *, at: datetime) -> list[Arrival]:
    return swept(config, store, at=at)[0]


def uploaded(store: RecordStore, name: str, content: bytes = b"x") -> tuple[str, int]:
    """Upload an object; return its name and generation."""
    blob = store.bucket.blob(f"{PREFIX}{name}")
    blob.upload_from_string(content)
    return blob.name, int(blob.generation)


def test_an_object_that_was_never_announced_is_found_with_the_identity_that_its_notification_would_give(
    config: Config, store: RecordStore
) -> None:
    name, generation = uploaded(store, "a b#ü.jsonl", b"12345")
    assert lost(config, store, at=now()) == []
    (found,) = lost(config, store, at=later(config))
    assert found.candidate == candidate_id(DATASET, config.bucket, name, generation)
    assert (found.bucket, found.object, found.generation, found.size_bytes) == (config.bucket, name, generation, 5)
    assert found.arrived_at == store.bucket.get_blob(name).time_created
    assert found.found_by == "sweep"


def test_an_object_that_has_a_candidate_is_not_lost_and_its_next_generation_is(
    config: Config, store: RecordStore
) -> None:
    name, generation = uploaded(store, "known.jsonl", b"first")
    arrived(config, store, name=name, generation=generation)
    assert lost(config, store, at=later(config)) == []
    _, newer = uploaded(store, "known.jsonl", b"second")
    assert [one.generation for one in lost(config, store, at=later(config))] == [newer]


def test_generations_that_were_overwritten_are_no_arrivals(config: Config, store: RecordStore) -> None:
    store.bucket.versioning_enabled = True
    store.bucket.patch()
    uploaded(store, "twice.jsonl", b"first")
    _, newer = uploaded(store, "twice.jsonl", b"second")
    name, _ = uploaded(store, "gone.jsonl")
    store.bucket.delete_blob(name)
    assert [one.generation for one in lost(config, store, at=later(config))] == [newer]


def test_a_candidate_without_its_arrival_does_not_hide_its_object(config: Config, store: RecordStore) -> None:
    name, generation = uploaded(store, "half.jsonl")
    candidate = candidate_id(DATASET, config.bucket, name, generation)
    store.create(open_path(candidate), coming(config, "half.jsonl", generation))
    store.bucket.blob(f"{folder(candidate)}note.txt").upload_from_string(b"")
    assert [one.object for one in lost(config, store, at=later(config))] == [name]


def test_what_is_no_arrival_is_not_looked_for(config: Config, store: RecordStore) -> None:
    for name in (PREFIX, f"{PREFIX}folder/", "training/other/file.jsonl", "evaluation/banking77.jsonl"):
        store.bucket.blob(name).upload_from_string(b"")
    store.bucket.blob(f"{PREFIX}_temporary/0/part-00000").upload_from_string(b"x")
    arrived(config, store)
    assert lost(config, store, at=later(config)) == []


def test_only_objects_older_than_patience_are_lost(config: Config, store: RecordStore) -> None:
    name, _ = uploaded(store, "new.jsonl")
    created = store.bucket.get_blob(name).time_created
    assert lost(config, store, at=created + config.intake.patience - timedelta(milliseconds=1)) == []
    assert len(lost(config, store, at=created + config.intake.patience)) == 1


@pytest.mark.parametrize("most", [0, 3, 500])
def test_candidates_are_asked_for_one_by_one_or_listed_and_the_answer_is_the_same(
    config: Config, store: RecordStore, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(bucket_sweep, "ASKED_ONE_BY_ONE", most)
    unknown = set()
    for number in range(8):
        name, generation = uploaded(store, f"{number}.jsonl")
        if number % 2:
            arrived(config, store, name=name, generation=generation)
        else:
            unknown.add(name)
    assert {one.object for one in lost(config, store, at=later(config))} == unknown


# Where a sweep stands


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch, store: RecordStore) -> None:
    """Let a page hold two objects."""
    list_blobs = store.bucket.list_blobs

    def listed(**given: object) -> object:
        return list_blobs(**{**given, "page_size": 2})

    monkeypatch.setattr(store.bucket, "list_blobs", listed)


@pytest.mark.usefixtures("small_pages")
def test_a_sweep_that_stops_at_any_page_is_gone_on_with_by_the_next_and_nothing_is_passed_over(
    config: Config, store: RecordStore
) -> None:
    names = {uploaded(store, f"{number}.jsonl")[0] for number in range(7)}
    position = SweepPosition()
    found: list[str] = []
    stops = 0
    while True:
        sweep = LostArrivals(config, store, position, now=later(config))
        page = next(sweep.pages(), None)
        fresh = [one.object for one in page.lost if one.object not in found] if page is not None else []
        found += fresh
        if not fresh:
            break
        # The position survives as JSON; a sweep that is killed here begins again with it.
        position = SweepPosition.model_validate_json(page.position.model_dump_json())
        stops += 1
    assert set(found) == names
    assert stops >= len(names) // 2
    assert position.dataset == DATASET


@pytest.mark.usefixtures("small_pages")
def test_a_listing_that_fails_midway_leaves_the_pages_before_it_and_where_they_stood(
    cloud: StandIns, config: Config, store: RecordStore
) -> None:
    for number in range(5):
        uploaded(store, f"{number}.jsonl")
    sweep = LostArrivals(config, store, SweepPosition(), now=later(config))
    pages = sweep.pages()
    first = next(pages)
    cloud.storage.faults(error_code="403", error_share=1.0, error_methods=["objects.list"])
    with pytest.raises(Exception, match="403"):
        next(pages)
    cloud.storage.faults()
    assert sweep.position == first.position
    assert first.position.cleared == {}
    rest, _ = swept(config, store, at=later(config), position=sweep.position)
    assert {one.object for one in first.lost} | {one.object for one in rest} == {
        f"{PREFIX}{number}.jsonl" for number in range(5)
    }


def test_after_a_whole_sweep_only_younger_objects_are_looked_up_again(
    cloud: StandIns, config: Config, store: RecordStore
) -> None:
    name, _ = uploaded(store, "old.jsonl")
    first = later(config)
    found, position = swept(config, store, at=first)
    assert [one.object for one in found] == [name]
    assert (position.dataset, position.after) == (None, "")
    (cleared,) = position.cleared.values()
    assert cleared.before == first - config.intake.patience - CLOCK_SKEW
    assert cleared.since == first
    # Not yet among those: its clock may be wrong by that much.
    again, _ = swept(config, store, at=first + timedelta(minutes=1), position=position)
    assert [one.object for one in again] == [name]
    mint(store, found)
    long_after = first + CLOCK_SKEW + config.intake.patience + timedelta(minutes=1)
    _, position = swept(config, store, at=long_after, position=position)
    cloud.storage.faults(error_code="403", error_share=1.0, error_methods=["objects.get"])
    found, _ = swept(config, store, at=long_after + timedelta(minutes=1), position=position)
    assert found == [], "and nothing was asked for it"


def test_once_a_day_everything_is_looked_up_again(config: Config, store: RecordStore) -> None:
    uploaded(store, "forgotten.jsonl")
    first = later(config)
    position = SweepPosition()
    for minutes in (0, 30):
        _, position = swept(config, store, at=first + timedelta(minutes=minutes), position=position)
    found, position = swept(config, store, at=first + timedelta(minutes=60), position=position)
    assert found == []
    found, _ = swept(config, store, at=first + CHECKED_AGAIN + timedelta(minutes=1), position=position)
    assert len(found) == 1


def test_a_dataset_whose_prefix_changes_is_looked_at_as_a_whole(config: Config, store: RecordStore) -> None:
    store.bucket.blob("training/elsewhere/old.jsonl").upload_from_string(b"x")
    first = later(config)
    _, position = swept(config, store, at=first)
    for minutes in (30, 60):
        _, position = swept(config, store, at=first + timedelta(minutes=minutes), position=position)
    moved = config.model_copy(
        update={"datasets": {DATASET: config.dataset(DATASET).model_copy(update={"prefix": "training/elsewhere/"})}}
    )
    found, _ = swept(moved, store, at=first + timedelta(minutes=90), position=position)
    assert [one.object for one in found] == ["training/elsewhere/old.jsonl"]


def test_a_place_that_is_not_watched_any_more_is_forgotten(config: Config, store: RecordStore) -> None:
    watched = config.dataset(DATASET)
    other = watched.model_copy(update={"prefix": "training/other/"})
    both = config.model_copy(update={"datasets": {DATASET: watched, "other": other}})
    _, position = swept(both, store, at=later(config))
    assert len(position.cleared) == 2
    _, position = swept(config, store, at=later(config), position=position)
    assert list(position.cleared) == [f"{DATASET} gs://{config.bucket}/{PREFIX}"]
