"""`genops cancel`: end a candidate's tuning, and say what came of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genops_events.cli.caller import NO_REASON, me, sentence
from genops_events.cli.candidates import AsJson
from genops_events.cli.console import errors_reported, human, print_json
from genops_events.cli.target import connect
from genops_events.cli.watch import EXIT_ENDED_OTHERWISE, check_id
from genops_events.errors import ConfigError, PermanentError
from genops_events.record.stages import CandidateState, Stage

if TYPE_CHECKING:
    from google.genai.types import TuningJob

    from genops_events.config import Config
    from genops_events.gcp.record_store import RecordStore
    from genops_events.record.candidates import Candidate
    from genops_events.record.tuning import Cancellation

_NOTHING = "nothing was cancelled"
_CANCELLING_SECONDS = 15.0
"""What Vertex AI may take to cancel a job, and Airflow to notice."""


class NoSuchCandidate(PermanentError):
    """The record knows no candidate of this id."""


@dataclass(frozen=True, slots=True)
class CancellationResult:
    """What came of a wish to cancel."""

    candidate: str
    text: str
    cancelled: bool
    """Tuning does not go on. False: there was nothing to cancel any more."""
    jobs: tuple[str, ...] = ()
    """The tuning jobs that Vertex AI was asked to cancel."""
    wish: Cancellation | None = None
    """The first who asked: the verdict names this one."""

    def to_json(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        wish = self.wish
        return {
            "candidate": self.candidate,
            "cancelled": self.cancelled,
            "jobs": list(self.jobs),
            "asked_by": None if wish is None else wish.by,
            "claimed": None if wish is None else wish.claimed,
            "asked_at": None if wish is None else wish.written_at.isoformat(),
            "reason": None if wish is None else wish.reason,
            "text": self.text,
        }


def cancel(
    candidate: Annotated[str, typer.Argument(help="Candidate id, as `genops upload` prints it.")],
    reason: Annotated[str, typer.Option(help="Why: a sentence for the verdict and its completion event.")] = NO_REASON,
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """Cancel a candidate's tuning job, or keep it from being submitted. Exit 2: tuning had ended, nothing was cancelled."""
    from genops_events.gcp.record_store import RecordStore

    with errors_reported():
        config = connect()
        caller, store, why = me(), RecordStore.open(config), sentence(reason)
        answer = cancel_candidate(config, store, candidate, by=caller.by, reason=why, claimed=caller.claimed)
    if as_json:
        print_json(answer.to_json())
    human().print(answer.text, markup=False)
    raise typer.Exit(0 if answer.cancelled else EXIT_ENDED_OTHERWISE)


def cancel_candidate(
    config: Config, store: RecordStore, candidate: str, *, by: str, reason: str, claimed: str | None = None
) -> CancellationResult:
    """Cancel the tuning of `candidate` wherever it stands.

    Raises:
        NoSuchCandidate: the record does not know it.
        NotACandidate: it cannot be one.
    """
    from genops_events.cascade.paid_jobs import end_of, is_ending
    from genops_events.record.paths import cancellation_path
    from genops_events.record.tuning import Cancellation
    from genops_events.tuning.jobs import TUNING_JOBS, find

    found = known(config, store, candidate, otherwise=_NOTHING)
    if Stage.TUNING in found.verdicts:
        return CancellationResult(candidate, _ended_text(found), cancelled=False)

    jobs = TUNING_JOBS.ask_to_cancel(config, store, candidate, by=by, reason=reason, claimed=claimed)
    newest = find(config, candidate)
    if not jobs and newest is not None and end_of(newest) is None and not is_ending(newest):
        # It was submitted between the two, by a task that looks for the wish right after its call, and cancels as well.
        jobs = TUNING_JOBS.ask_to_cancel(config, store, candidate, by=by, reason=reason, claimed=claimed)
        newest = find(config, candidate)
    wish = store.read(cancellation_path(candidate), Cancellation)
    if jobs:
        asked = f"Asked Vertex AI to cancel {' and '.join(jobs)}{_in_brackets(found)}."
        text = f"{asked}{_asked_before(found)} {candidate} ends as failed {_soon(config, found)}."
        return CancellationResult(
            candidate, f"{text} {_follow(candidate)}", cancelled=True, jobs=tuple(jobs), wish=wish
        )
    cancelled, text = _nothing_to_ask(config, store, found, newest)
    return CancellationResult(candidate, f"{text} {_follow(candidate)}", cancelled=cancelled, wish=wish)


def known(config: Config, store: RecordStore, candidate: str, *, otherwise: str) -> Candidate:
    """Return the candidate as the record knows it; `otherwise` is what follows for the command where it does not.

    Raises:
        NoSuchCandidate: the record does not know it.
        NotACandidate: it cannot be one.
    """
    from genops_events.cascade.candidate_reader import read_candidate

    found = read_candidate(store, candidate)
    if found is None:
        check_id(config, candidate)
        raise NoSuchCandidate(
            f"The record knows no candidate {candidate}, so {otherwise}.",
            "`genops candidates` lists the known ones; a file uploaded just now takes a moment.",
        )
    return found


def _nothing_to_ask(config: Config, store: RecordStore, found: Candidate, newest: TuningJob | None) -> tuple[bool, str]:
    """Return whether tuning does not go on, and why there was no job to cancel."""
    from genops_events.cascade.paid_jobs import is_ending
    from genops_events.tuning.jobs import TUNING_JOBS

    if newest is not None and newest.state is not None:
        if is_ending(newest):
            text = f"Tuning job {newest.name} is being cancelled already.{_asked_before(found)}"
            return True, f"{text} {found.id} ends as failed {_soon(config, found)}."
        state = newest.state.value.removeprefix("JOB_STATE_").lower().replace("_", " ")
        text = f"Tuning job {newest.name} has ended already, as {state}"
        return (True, f"{text}.{_asked_before(found)}") if state == "cancelled" else (False, f"{text}: {_NOTHING}.")
    submission = TUNING_JOBS.recorded(store, found.id)
    if submission is not None:
        return False, f"Vertex AI does not know tuning job {submission.job} any more: {_NOTHING}."
    text = f"{found.id} has no tuning job yet{_in_brackets(found)}.{_asked_before(found)}"
    return True, f"{text} It ends as rejected with the next sweep, or when its turn comes: before anything is paid."


def _ended_text(found: Candidate) -> str:
    verdict = found.verdicts[Stage.TUNING]
    text = (
        f"Tuning of {found.id} has ended already, as {verdict.outcome} at {_moment(verdict.ended_at)}: "
        f"{_NOTHING}. {found.explained(Stage.TUNING)}"
    )
    if found.state is CandidateState.UNDER_WAY:
        return f"{text} Its other stages go on: they take seconds, and `genops cancel` ends tuning only."
    return text


def _asked_before(found: Candidate) -> str:
    wish = found.cancellation
    return (
        "" if wish is None else f" {wish.by} asked first, at {_moment(wish.written_at)}, and is whom the verdict names."
    )


def _in_brackets(found: Candidate) -> str:
    if found.progress is not None:
        return f" ({found.progress.summary})"
    if found.queued_behind is None:
        return ""
    return f" ({f'queued behind {found.queued_behind:,}' if found.queued_behind else 'next in the queue'})"


def _follow(candidate: str) -> str:
    return f"Follow it with: genops watch {candidate}"


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _soon(config: Config, found: Candidate) -> str:
    """Return how long it takes at most until a cancelled job is seen to have ended, in words."""
    from genops_events.waiting.polling import WIDEST

    try:
        poll_seconds = config.dataset(found.arrival.dataset).tuning.poll_seconds
    except ConfigError:  # no longer in genops.yaml, which is no reason to let its job run
        poll_seconds = 0.0
    minutes = math.ceil((poll_seconds * WIDEST + _CANCELLING_SECONDS) / 60)
    return f"within {'a minute' if minutes == 1 else f'{minutes} minutes'}"
