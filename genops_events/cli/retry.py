"""`genops retry`: let a failed candidate whose failure was not its own go on from where it stood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from genops_events.cli.caller import NO_REASON, Reason, me, sentence
from genops_events.cli.cancel import known
from genops_events.cli.candidates import AsJson
from genops_events.cli.console import errors_reported, human, print_json
from genops_events.cli.diagnosis import known_airflow
from genops_events.cli.promotion import CandidateArgument
from genops_events.cli.sweep_now import sweep_now
from genops_events.cli.target import connect
from genops_events.cli.watch import EXIT_ENDED_OTHERWISE
from genops_events.record.stages import CandidateState, Stage

if TYPE_CHECKING:
    from genops_events.config import Config
    from genops_events.gcp.record_store import RecordStore
    from genops_events.record.candidates import Candidate
    from genops_events.record.retries import Retry

_NOTHING = "nothing was changed"


@dataclass(frozen=True, slots=True)
class RetryResult:
    """What came of a wish to try again."""

    candidate: str
    text: str
    retries: tuple[Retry, ...] = ()
    """As recorded, one for each stage that goes on: the first who asked is the one that counts."""

    @property
    def goes_on(self) -> bool:
        """Whether the candidate goes on."""
        return bool(self.retries)

    def to_json(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        shown = {"stage", "number", "by", "claimed", "reason", "failed_because", "written_at"}
        return {
            "candidate": self.candidate,
            "goes_on": self.goes_on,
            "retries": [one.model_dump(mode="json", include=shown) for one in self.retries],
            "text": self.text,
        }


def retry(candidate: CandidateArgument, reason: Reason = NO_REASON, as_json: AsJson = False) -> None:  # noqa: FBT002
    """Let a failed candidate go on from where it stood; its job, answers and scores are kept. Exit 2: it does not go on.

    For failures that were not its own: a service that was away, a setting that is fixed, an Airflow that was too busy.
    """
    from genops_events.gcp.record_store import RecordStore

    with errors_reported():
        config = connect()
        store, caller, why = RecordStore.open(config), me(), sentence(reason)
        answer = retry_candidate(config, store, candidate, by=caller.by, reason=why, claimed=caller.claimed)
        text = answer.text
        if answer.goes_on:
            note = f"genops retry {candidate}"
            text = f"{text} {sweep_now(config, known_airflow(), candidate, note=note, it='goes on')}"
    if as_json:
        print_json({**answer.to_json(), "text": text})
    human().print(text, markup=False)
    raise typer.Exit(0 if answer.goes_on else EXIT_ENDED_OTHERWISE)


def retry_candidate(
    config: Config, store: RecordStore, candidate: str, *, by: str, reason: str, claimed: str | None = None
) -> RetryResult:
    """Set the failed verdicts of `candidate` aside, if its failure was not its own.

    The record comes first: whatever dies after it, a sweep finds the candidate and wakes it.

    Raises:
        NoSuchCandidate: the record does not know it.
        NotACandidate: it cannot be one.
        CloudUnavailable: its job cannot be asked; nothing was changed.
    """
    from genops_events.doctor import retrying

    found = known(config, store, candidate, otherwise=_NOTHING)
    pending = tuple(one for stage, one in found.retries.items() if stage not in found.intents)
    if found.state is CandidateState.UNDER_WAY and pending:
        retrying.reopen(store, found)  # whoever asked may have died before
        told = " ".join(f"{one.by} has asked for {one.stage} to be tried again: {one.reason}" for one in pending)
        return RetryResult(candidate, told, pending)
    if found.state is not CandidateState.FAILED:
        return RetryResult(candidate, _instead(found))
    made = retrying.retry(config, store, found, by=by, reason=reason, claimed=claimed)
    if isinstance(made, retrying.NotRetried):
        return RetryResult(candidate, f"{made.text} So {_NOTHING}.")
    return RetryResult(candidate, " ".join(_told(one, by) for one in made), made)


def _told(one: Retry, by: str) -> str:
    if one.by != by:
        return f"{one.by} has asked for {one.stage} to be tried again a moment ago: {one.reason}"
    return f"The failure of {one.stage} is set aside ({one.failed_because.rstrip('.')}); what was paid for is kept."


def _instead(found: Candidate) -> str:
    """Say why a candidate that has not failed is not tried again, and what to do instead."""
    name = found.id
    if found.state is CandidateState.REJECTED:
        why = found.explained(Stage.TUNING)
        return f"{name} was rejected, so {_NOTHING}. {why} Fix the file and upload it again."
    if found.state is CandidateState.ANSWERED:
        return f"{name} has ended well: it was promoted and has answered. So {_NOTHING}."
    if found.state is CandidateState.HELD:
        why = found.explained(Stage.PROMOTION)
        return f"{name} has not failed, it did not become champion: {why} So {_NOTHING}; upload again for another candidate."
    if found.holds:
        return f"{name} waits for an approval, so {_NOTHING}. `genops approve {name} --budget` lets it go on."
    if found.question is not None and found.answer is None:
        return f"{name} waits for a person, so {_NOTHING}. {found.question.commands}."
    return f"{name} is under way, so {_NOTHING}. `genops watch {name}` shows it."
