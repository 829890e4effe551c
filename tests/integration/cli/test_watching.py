"""What a watch tells while a candidate is tuned, and how few calls it makes for that."""

from __future__ import annotations

import io
import re
import threading
from datetime import timedelta
from typing import Any

from cloud import until
from made_up import arrived, ended, now, taken_on, tuned
from rich.console import Console
from typer.testing import CliRunner
from waiting import HANG_SECONDS

from genops_events.cascade.candidate_reader import OUTSIDE_SECONDS, CandidateReader, read_candidate, read_candidates
from genops_events.cli import app
from genops_events.cli.watch import follow
from genops_events.cli.watch import shown as as_table
from genops_events.config import Config
from genops_events.gcp.record_store import RecordStore
from genops_events.record.candidates import Candidate
from genops_events.record.paths import cancellation_path, progress_path, submission_path, validation_path
from genops_events.record.stages import CandidateState, Outcome, Stage
from genops_events.record.tuning import Cancellation, Submission, TuningProgress, Validation
from genops_events.waiting import queue

JOB = "projects/genops-local/locations/us-central1/tuningJobs/7"


class CountingStore(RecordStore):
    """Notes what is asked of Cloud Storage."""

    calls: list[str]

    def __init__(self, bucket: Any) -> None:
        super().__init__(bucket)
        self.calls = []

    def read(self, path: str, kind: type[Any]) -> Any:
        self.calls.append(f"read {path.rpartition('/')[2]}")
        return super().read(path, kind)

    def names(self, prefix: str) -> list[str]:
        self.calls.append(f"list {prefix}")
        return super().names(prefix)

    def generations(self, prefix: str) -> dict[str, int]:
        self.calls.append("list the folder")
        return super().generations(prefix)

    def asked(self) -> list[str]:
        """Return the calls since this was asked last."""
        made, self.calls = self.calls, []
        return made


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def validated(store: RecordStore, candidate: str, *, minutes_ago: float = 0) -> None:
    """Leave what validation leaves: its findings, and a place in the queue."""
    taken_on(store, Stage.TUNING, candidate)
    valid = Validation(candidate=candidate, written_at=now(), valid=True, summary="fine", examples=40)
    store.create(validation_path(candidate), valid)
    queue.enter(store, candidate, since=now() - timedelta(minutes=minutes_ago))


def submitted(store: RecordStore, candidate: str) -> None:
    queue.leave(store, candidate)
    store.create(submission_path(candidate), Submission(candidate=candidate, written_at=now(), job=JOB))


def progressed(store: RecordStore, candidate: str, state: str, **figures: Any) -> None:
    made = TuningProgress(candidate=candidate, written_at=now(), job=JOB, state=state, **figures)
    store.put(progress_path(candidate), made)


def test_a_look_at_a_candidate_that_stands_still_is_one_call(store: RecordStore, config: Config) -> None:
    candidate = arrived(config, store).candidate
    validated(store, candidate)
    counting, clock = CountingStore(store.bucket), Clock()
    reader = CandidateReader(counting, clock)
    first = reader.look(candidate)
    assert sorted(counting.asked()) == [
        "list genops/queue/",
        "list the folder",
        "read arrival.json",
        "read champion.json",
        "read tuning-intent.json",
    ]
    for _ in range(9):
        assert reader.look(candidate) == first
    assert counting.asked() == ["list the folder"] * 9
    clock.seconds += OUTSIDE_SECONDS
    assert reader.look(candidate) == first
    assert sorted(counting.asked()) == ["list genops/queue/", "list the folder", "read champion.json"]


def test_what_changes_is_read_at_the_next_look_and_nothing_else(store: RecordStore, config: Config) -> None:
    candidate = arrived(config, store).candidate
    validated(store, candidate)
    counting = CountingStore(store.bucket)
    reader = CandidateReader(counting, Clock())
    waiting = reader.look(candidate)
    assert waiting is not None
    assert waiting.queued_behind == 0
    submitted(store, candidate)
    progressed(store, candidate, "tuning", epochs=0, epochs_total=3)
    counting.asked()
    tuning = reader.look(candidate)
    assert tuning is not None
    assert (tuning.queued_behind, tuning.progress and tuning.progress.epochs) == (None, 0)
    assert counting.asked() == ["list the folder", "read champion.json", "read tuning-progress.json"]
    progressed(store, candidate, "tuning", epochs=1, epochs_total=3)
    later = reader.look(candidate)
    assert later is not None
    assert later.progress is not None
    assert later.progress.epochs == 1
    tuned(store, candidate)
    after = reader.look(candidate)
    assert after is not None
    assert (after.progress, after.outcomes) == (None, {Stage.TUNING: Outcome.SUCCEEDED})


def test_whoever_waits_is_told_how_many_come_first(store: RecordStore, config: Config) -> None:
    one, other, third = (arrived(config, store).candidate for _ in range(3))
    for candidate, minutes_ago in ((one, 1), (other, 3), (third, 2)):
        validated(store, candidate, minutes_ago=minutes_ago)
    assert queue.waiting(store) == [other, third, one]
    assert {found.id: found.queued_behind for found in read_candidates(store)} == {other: 0, third: 1, one: 2}
    submitted(store, other)
    assert {found.id: found.queued_behind for found in read_candidates(store)} == {other: None, third: 0, one: 1}


class Watch:
    """A watch on a plain terminal, in a thread of its own."""

    def __init__(self, store: RecordStore, candidate: str) -> None:
        self._text = io.StringIO()
        self._console = Console(file=self._text, width=240, highlight=False, soft_wrap=True)
        self.found: Candidate | None = None
        self._thread = threading.Thread(target=self._follow, args=(store, candidate))
        self._thread.start()

    def _follow(self, store: RecordStore, candidate: str) -> None:
        self.found = follow(store, candidate, timeout_seconds=HANG_SECONDS, console=self._console)

    @property
    def lines(self) -> list[str]:
        return self._text.getvalue().splitlines()

    def until(self, text: str) -> None:
        until(lambda: any(text in line for line in self.lines), what=f"{text!r} in {self.lines}")

    def end(self) -> Candidate | None:
        self._thread.join(timeout=HANG_SECONDS)
        assert not self._thread.is_alive()
        return self.found


def test_a_watch_prints_a_line_whenever_there_is_news_and_none_otherwise(store: RecordStore, config: Config) -> None:
    candidate, first = arrived(config, store).candidate, arrived(config, store).candidate
    validated(store, first, minutes_ago=1)
    validated(store, candidate)
    watch = Watch(store, candidate)
    watch.until("queued behind 1")
    submitted(store, candidate)
    progressed(store, candidate, "waiting for capacity")
    watch.until("waiting for capacity")
    progressed(store, candidate, "tuning", epochs=0, epochs_total=2, steps=9, steps_total=96)
    watch.until("epoch 1 of 2")
    progressed(store, candidate, "paused", epochs=0, epochs_total=2, steps=9, steps_total=96)
    watch.until("paused")
    wish = Cancellation(candidate=candidate, written_at=now(), by="ada@laptop", reason="Wrong file.")
    store.create(cancellation_path(candidate), wish)
    watch.until("ada@laptop")
    ended(store, Stage.TUNING, Outcome.FAILED, candidate, end="cancelled", help="Upload the file again to tune anew.")
    found = watch.end()
    assert found is not None
    assert found.state is CandidateState.FAILED
    told = [re.sub(r" after [\d.]+ s", " after N s", line) for line in watch.lines]
    # `running` alone, where the watch looked between the submission and the first progress.
    assert [line for line in told if line != "tuning      running"] == [
        "tuning      queued  queued behind 1",
        "tuning      running  waiting for capacity",
        "tuning      running  tuning, epoch 1 of 2, step 9 of 96",
        "tuning      running  paused, epoch 1 of 2, step 9 of 96",
        "tuning      running  paused, epoch 1 of 2, step 9 of 96; ada@laptop asked to cancel it",
        "tuning      failed after N s  tuning says so Upload the file again to tune anew.",
        *(f"{stage:<11} skipped" for stage in ("evaluation", "budget", "promotion", "inference")),
    ]


def shown(candidate: str, found: Candidate | None) -> str:
    text = io.StringIO()
    Console(file=text, width=240).print(as_table(candidate, found))
    return text.getvalue()


def test_table_and_list_show_progress_and_then_what_to_do(store: RecordStore, config: Config) -> None:
    candidate = arrived(config, store).candidate
    validated(store, candidate)
    runner = CliRunner()
    assert "next in the queue" in shown(candidate, read_candidate(store, candidate))
    assert "next in the queue" in runner.invoke(app, ["candidates"]).stderr
    submitted(store, candidate)
    progressed(store, candidate, "tuning", epochs=1, epochs_total=3)
    assert "tuning, epoch 2 of 3" in shown(candidate, read_candidate(store, candidate))
    listed = runner.invoke(app, ["candidates"]).stderr
    assert re.search(r"under_way +tuning +\$0.0000 +tuning, epoch 2 of 3", listed), listed
    ended(
        store, Stage.TUNING, Outcome.FAILED, candidate, end="failed", error_code="INTERNAL", help="Show it to Google."
    )
    assert "tuning says so Show it to Google." in shown(candidate, read_candidate(store, candidate))
    assert "tuning says so Show it to Google." in runner.invoke(app, ["candidates"]).stderr
