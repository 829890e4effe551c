"""`genops approve` and `genops reject`: answer for a person whether a candidate shall become champion."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, NoReturn
from urllib.parse import quote

import typer

from genops_events.cli.caller import NO_REASON, Reason, me, sentence
from genops_events.cli.cancel import known
from genops_events.cli.candidates import AsJson
from genops_events.cli.console import errors_reported, human, print_json
from genops_events.cli.sweep_now import sweep_now
from genops_events.cli.target import connect
from genops_events.cli.watch import EXIT_ENDED_OTHERWISE
from genops_events.errors import GenopsError
from genops_events.record.stages import CandidateState, Stage

if TYPE_CHECKING:
    from genops_events.airflow_rest.client import AirflowRest
    from genops_events.config import Config
    from genops_events.gcp.record_store import RecordStore
    from genops_events.record.candidates import Candidate
    from genops_events.record.promotion import PersonsAnswer, Question

CandidateArgument = Annotated[str, typer.Argument(help="Candidate id, as `genops upload` prints it.")]


@dataclass(frozen=True, slots=True)
class AnswerResult:
    """What came of an answer."""

    candidate: str
    text: str
    accepted: bool
    """This answer counts. False: a person had answered otherwise, or there is nothing to decide any more."""
    answer: PersonsAnswer | None = None
    """The one that counts."""

    def to_json(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        kept = self.answer
        return {
            "candidate": self.candidate,
            "accepted": self.accepted,
            "approved": None if kept is None else kept.approved,
            "by": None if kept is None else kept.by,
            "at": None if kept is None else kept.written_at.isoformat(),
            "reason": None if kept is None else kept.reason,
            "text": self.text,
        }


def reject(candidate: CandidateArgument, reason: Reason = NO_REASON, as_json: AsJson = False) -> None:  # noqa: FBT002
    """Keep a candidate from becoming champion, whatever it scored; one that a limit holds ends. Exit 2: it was decided already."""
    answer_and_exit(candidate, approved=False, reason=reason, as_json=as_json)


def answer_and_exit(candidate: str, *, approved: bool, reason: str, as_json: bool) -> NoReturn:
    """Answer as a command does: text to standard error, JSON to standard output, exit 0, 1 or 2."""
    from genops_events.cli.diagnosis import known_airflow
    from genops_events.gcp.record_store import RecordStore

    with errors_reported():
        config, caller = connect(), me()
        answered = answer_promotion(
            config,
            RecordStore.open(config),
            known_airflow(),
            candidate,
            approved=approved,
            by=caller.by,
            reason=sentence(reason),
            claimed=caller.claimed,
        )
    if as_json:
        print_json(answered.to_json())
    human().print(answered.text, markup=False)
    raise typer.Exit(0 if answered.accepted else EXIT_ENDED_OTHERWISE)


def answer_promotion(
    config: Config,
    store: RecordStore,
    airflow: AirflowRest | None,
    candidate: str,
    *,
    approved: bool,
    by: str,
    reason: str,
    claimed: str | None = None,
) -> AnswerResult:
    """Record a person's answer, and tell the Airflow task that waits for one.

    The record decides: a task that could not be told is made good by the next sweep. A candidate that nobody was asked about
    yet can be answered, too; the answer waits for it.

    Raises:
        NoSuchCandidate: the record does not know it.
        NotACandidate: it cannot be one.
    """
    from genops_events.record.promotion import PersonsAnswer, answer_path

    found = known(config, store, candidate, otherwise="nothing was answered")
    if found.state is not CandidateState.UNDER_WAY or Stage.PROMOTION in found.verdicts:
        return AnswerResult(
            candidate, f"{_decided_text(found)}{_tell_who_waits(store, airflow, found)}", accepted=False
        )
    mine = PersonsAnswer(
        candidate=candidate,
        written_at=datetime.now(UTC),
        approved=approved,
        by=by,
        reason=reason,
        through="shell",
        claimed=claimed,
    )
    kept = store.create_or_read(answer_path(candidate), mine)
    agreed = kept.approved == approved
    said = (
        f"{candidate}: {kept.sentence}"
        if kept == mine
        else f"{candidate} was answered before, and that counts: {kept.sentence}"
    )
    if found.holds and not kept.approved:
        ends = _end_held(config, store, airflow, found, kept)
        return AnswerResult(candidate, f"{said} {ends}", accepted=agreed, answer=kept)
    told = _tell_airflow(airflow, found.question, kept) if found.question is not None else _not_asked(config, found)
    return AnswerResult(
        candidate, f"{said} {told} Follow it with: genops watch {candidate}", accepted=agreed, answer=kept
    )


def _end_held(
    config: Config, store: RecordStore, airflow: AirflowRest | None, found: Candidate, answer: PersonsAnswer
) -> str:
    """Let the sweep end a rejected candidate that waits for money; return when it does.

    The answer is in the record already: whatever dies here, a sweep finds it, or the same command does it again.
    """
    from genops_events.intake.open_candidates import note_release
    from genops_events.tuning.jobs import TUNING_JOBS

    if Stage.TUNING in found.holds:
        TUNING_JOBS.ask_to_cancel(config, store, found.id, by=answer.by, reason=answer.reason, claimed=answer.claimed)
    note_release(store, found.id)  # so that it is looked at without patience
    note = f"genops reject {found.id}"
    return sweep_now(config, airflow, found.id, note=note, it="ends")


def _tell_who_waits(store: RecordStore, airflow: AirflowRest | None, found: Candidate) -> str:
    """Let the task go on that still asks in Airflow though a sweep has acted on the answer; return what came of it."""
    from genops_events.airflow_rest.client import AirflowConflict
    from genops_events.record.promotion import PersonsAnswer, Question, answer_path, question_path

    question = store.read(question_path(found.id), Question)
    answer = store.read(answer_path(found.id), PersonsAnswer)
    if airflow is None or question is None or answer is None:
        return ""
    try:
        _answer_task(airflow, question, answer)
    except AirflowConflict:
        return ""
    except GenopsError as error:
        return f" Its task in Airflow may still ask: {error.message}"
    return " Its task in Airflow still asked, and goes on now."


def _tell_airflow(airflow: AirflowRest | None, question: Question, answer: PersonsAnswer) -> str:
    """Answer the required action in Airflow, so that its task goes on now; return what came of it."""
    from genops_events.airflow_rest.client import AirflowConflict

    later = "The next sweep goes on with the answer."
    if airflow is None:
        return f"Airflow does not know yet, since GENOPS_AIRFLOW_URL is not set. {later}"
    try:
        _answer_task(airflow, question, answer)
    except AirflowConflict:
        return "The task in Airflow goes on already."
    except GenopsError as error:
        return f"Airflow could not be reached: {error.message} {later}"
    return "The task in Airflow goes on."


def _answer_task(airflow: AirflowRest, question: Question, answer: PersonsAnswer) -> None:
    """Answer as a person does in Airflow's pages.

    Raises:
        AirflowConflict: it was answered already, or is gone.
        GenopsError: Airflow does not answer, or not to this user.
    """
    task = f"/api/v2/dags/genops_promotion/dagRuns/{quote(question.run_id, safe='')}/taskInstances/promote/-1"
    body = {"chosen_options": ["Approve" if answer.approved else "Reject"], "params_input": {"reason": answer.reason}}
    airflow.patch(f"{task}/hitlDetails", body)


def _not_asked(config: Config, found: Candidate) -> str:
    if found.holds:
        waiting = " and ".join(found.holds)
        return f"But its {waiting} waits for money, and its turn does not come before `genops approve {found.id} --budget`."
    if config.dataset(found.arrival.dataset).promotion.approval == "person":
        return "No question was asked yet; the answer counts when promotion comes to it."
    return "Its dataset asks no person, but the answer counts when promotion comes to it."


def _decided_text(found: Candidate) -> str:
    verdict = found.verdicts.get(Stage.PROMOTION)
    if verdict is None:
        return f"{found.id} has ended as {found.state} before its promotion: there is nothing to answer."
    return (
        f"Promotion of {found.id} has ended already, as {verdict.outcome} at {verdict.ended_at:%Y-%m-%d %H:%M:%S} UTC: "
        f"nothing was changed. {verdict.reason}"
    )
