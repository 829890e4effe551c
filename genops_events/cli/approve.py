"""`genops approve`: let a candidate become champion, or let one that a limit holds go on from where it stood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genops_events.cli.caller import NO_REASON, Reason, me, sentence
from genops_events.cli.cancel import NoSuchCandidate
from genops_events.cli.candidates import AsJson
from genops_events.cli.console import errors_reported, human, print_json
from genops_events.cli.diagnosis import known_airflow
from genops_events.cli.promotion import CandidateArgument, answer_and_exit
from genops_events.cli.sweep_now import sweep_now
from genops_events.cli.target import connect
from genops_events.cli.watch import EXIT_ENDED_OTHERWISE, check_id
from genops_events.record.stages import CandidateState

if TYPE_CHECKING:
    from genops_events.config import Config
    from genops_events.gcp.record_store import RecordStore
    from genops_events.record.holds import Approval, Hold


@dataclass(frozen=True, slots=True)
class ApprovalResult:
    """What came of an approval of money."""

    candidate: str
    text: str
    approvals: tuple[Approval, ...] = ()
    """As recorded: the first who approved is the one that counts."""
    goes_on: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        shown = {"stage", "number", "by", "claimed", "reason", "approved_usd", "prompts_over", "written_at"}
        return {
            "candidate": self.candidate,
            "goes_on": self.goes_on,
            "approvals": [one.model_dump(mode="json", include=shown) for one in self.approvals],
            "text": self.text,
        }


def approve(
    candidate: CandidateArgument,
    budget: Annotated[bool, typer.Option("--budget", help="Let it spend what it asked for, over the limits.")] = False,  # noqa: FBT002
    reason: Reason = NO_REASON,
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """Let a candidate become champion that waits for a person, or is late; with --budget, let one spend that a limit holds.

    Exit 2: that was decided already, or no limit holds it.
    """
    from genops_events.gcp.record_store import RecordStore

    if not budget:
        answer_and_exit(candidate, approved=True, reason=reason, as_json=as_json)
    with errors_reported():
        config = connect()
        caller, store, why = me(), RecordStore.open(config), sentence(reason)
        answer = approve_budget(config, store, candidate, by=caller.by, reason=why, claimed=caller.claimed)
        text = answer.text
        if answer.goes_on:
            note = f"genops approve {candidate} --budget"
            text = f"{text} {sweep_now(config, known_airflow(), candidate, note=note, it='goes on')}"
    if as_json:
        print_json({**answer.to_json(), "text": text})
    human().print(text, markup=False)
    raise typer.Exit(0 if answer.goes_on else EXIT_ENDED_OTHERWISE)


def approve_budget(
    config: Config, store: RecordStore, candidate: str, *, by: str, reason: str, claimed: str | None = None
) -> ApprovalResult:
    """Record that every stage which a limit holds may go on.

    The record comes first: whatever dies after it, a sweep finds the approval and wakes the candidate.

    Raises:
        NoSuchCandidate: the record does not know it.
        NotACandidate: it cannot be one.
    """
    from genops_events.cascade import holds
    from genops_events.cascade.candidate_reader import read_candidate
    from genops_events.intake.open_candidates import note_release

    found = read_candidate(store, candidate)
    if found is None:
        check_id(config, candidate)
        text = f"The record knows no candidate {candidate}, so nothing was approved."
        raise NoSuchCandidate(text, "`genops candidates` lists the known ones.")
    if found.state is not CandidateState.UNDER_WAY:
        return ApprovalResult(candidate, f"{candidate} has ended already, as {found.state}: nothing was approved.")
    waiting = holds.held(store, candidate)
    if waiting:
        made = tuple(holds.approve(store, one, by=by, reason=reason, claimed=claimed) for one in waiting)
        told = " ".join(_told(hold, approval, by) for hold, approval in zip(waiting, made, strict=True))
        return ApprovalResult(candidate, told, made, goes_on=True)
    pending = tuple(
        one for one in holds.approvals(store, candidate) if one.stage not in {*found.verdicts, *found.intents}
    )
    if pending:
        note_release(store, candidate)  # whoever approved may have died before
        told = " ".join(f"{one.stage} was approved already, by {one.by}: {one.reason}" for one in pending)
        return ApprovalResult(candidate, told.capitalize(), pending, goes_on=True)
    return ApprovalResult(
        candidate, f"No limit holds {candidate}: nothing was approved. `genops watch {candidate}` shows it."
    )


def _told(hold: Hold, approval: Approval, by: str) -> str:
    from genops_events.money.ledger import usd

    if approval.by != by:
        return f"{hold.stage.capitalize()} was approved a moment ago, by {approval.by}: {approval.reason}"
    missing = f", {usd(hold.missing_usd)} more than the limits allow" if hold.missing_usd else ""
    prompts = f", with {hold.prompts_over:,} prompts over a limit" if hold.prompts_over else ""
    return f"{hold.stage.capitalize()} may cost {usd(approval.approved_usd)}{missing}{prompts}."
