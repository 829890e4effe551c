"""Ask a person whether a candidate shall become champion, and record the answer: who, why, when."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from genops_events.cascade.candidate_reader import read_candidate
from genops_events.cascade.stage_run import StageRun
from genops_events.evaluation.files import browser_url
from genops_events.promotion.championship import moment
from genops_events.record.promotion import Champion, PersonsAnswer, Question, answer_path, question_path
from genops_events.record.verdicts import EvaluationVerdict

APPROVE = "approve"
OPTIONS = ("Approve", "Reject")
"""The options that Airflow shows, the same as those of its ApprovalOperator."""
REASON = "reason"
"""The field of Airflow's form that takes the reason."""
NO_REASON = "No reason was given."
NOBODY = "nobody"


def ask_a_person(run: StageRun, evaluation: EvaluationVerdict, champion: Champion | None) -> Question:
    """Record the question and return it; a task that is cleared asks the same again, within the time that is left."""
    promotion = run.dataset.promotion
    now = datetime.now(UTC)
    until = now + promotion.answer_within
    question = Question(
        candidate=run.candidate,
        written_at=now,
        run_id=run.run_id,
        text=question_text(run, evaluation, champion, until=until),
        asked_until=until,
        on_timeout=promotion.on_timeout,
    )
    return run.store.create_or_read(question_path(run.candidate), question)


def question_text(run: StageRun, evaluation: EvaluationVerdict, champion: Champion | None, *, until: datetime) -> str:
    """Return the question in Markdown: the scores beside the champion's, the cost, and a link to the report."""
    champion_scores: Mapping[str, float] = {} if champion is None else champion.scores
    lines = [
        f"| metric | {run.candidate} | {'no champion' if champion is None else champion.candidate} |",
        "|---|---|---|",
    ]
    for metric, score in evaluation.scores.items():
        mark = " (decisive)" if metric == run.dataset.evaluation.decisive else ""
        other = f"{champion_scores[metric]:.4g}" if metric in champion_scores else "-"
        lines.append(f"| {metric}{mark} | {score:.4g} | {other} |")
    found = read_candidate(run.store, run.candidate)
    lines += ["", f"Gate: {evaluation.reason}"]
    if found is not None:
        lines.append(f"Spent so far: {found.cost_text}.")
    if evaluation.report_uri:
        lines.append(f"[Evaluation report]({browser_url(evaluation.report_uri)})")
    otherwise = "approved" if run.dataset.promotion.on_timeout == APPROVE else "rejected"
    lines.append(f"Without an answer until {moment(until)} it is {otherwise}.")
    return "\n".join(lines)


def record_answer(run: StageRun, given: Mapping[str, Any]) -> PersonsAnswer:
    """Record the answer from Airflow, and return the one that counts: the first, from Airflow or from the shell."""
    user = given.get("responded_by_user")
    # A timeout has no user. All other answers have one, even if every user is an admin.
    name = None if user is None else str(user.get("name") or user.get("id"))
    reason = " ".join(str((given.get("params_input") or {}).get(REASON) or "").split())
    answer = PersonsAnswer(
        candidate=run.candidate,
        written_at=datetime.now(UTC),
        approved=given["chosen_options"][0] == OPTIONS[0],
        by=name or NOBODY,
        reason=reason or (NO_REASON if name else "Nobody answered in time."),
        through="airflow" if name else "timeout",
    )
    return run.store.create_or_read(answer_path(run.candidate), answer)
