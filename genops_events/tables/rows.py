"""Make the rows of the tables from the record: plain JSON values, the same for the same documents."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from genops_events.evaluation.rows import Row
from genops_events.money.ledger import LedgerEntry
from genops_events.record.candidates import Candidate
from genops_events.record.document import Announcement
from genops_events.record.stages import Outcome, Stage
from genops_events.record.verdicts import EvaluationVerdict, InferenceVerdict, PromotionVerdict, TuningVerdict
from genops_events.tables.schema import Table

TableRow = dict[str, Any]


def candidate_row(candidate: Candidate) -> TableRow:
    """Return a candidate's row of the table `candidates`."""
    arrival, verdicts = candidate.arrival, candidate.verdicts
    last = max(verdicts.values(), key=lambda one: one.ended_at, default=None)
    row: TableRow = {
        "candidate": candidate.id,
        "dataset": arrival.dataset,
        "arrived_at": arrival.arrived_at,
        "object": f"gs://{arrival.bucket}/{arrival.object}",
        "generation": arrival.generation,
        "size_bytes": arrival.size_bytes,
        "found_by": arrival.found_by,
        "state": str(candidate.state),
        "reason": None if last is None else last.reason,
        "updated_at": arrival.arrived_at if last is None else last.ended_at,
        **{str(stage): str(verdict.outcome) for stage, verdict in verdicts.items()},
        "cost_usd": candidate.cost_usd,
        "cost_unknown": ", ".join(candidate.cost_unknown) or None,
    }
    for stage in (Stage.TUNING, Stage.EVALUATION, Stage.INFERENCE):
        if stage in verdicts:
            row[f"{stage}_usd"] = verdicts[stage].cost_usd
    for verdict in verdicts.values():
        match verdict:
            case TuningVerdict():
                row |= _of(verdict, "source_model", "model", "endpoint", "examples", "billable_tokens")
                row["tuning_job"] = verdict.job
                row["tuning_seconds"] = (verdict.ended_at - verdict.started_at).total_seconds()
            case EvaluationVerdict():
                row |= {"evaluation_rows_uri": verdict.rows_uri, "report_uri": verdict.report_uri}
                row |= {"evaluated": verdict.examples, "evaluation_failed": verdict.failed_rows}
                if verdict.answers is not None:
                    row |= {f"evaluation_{state}": count for state, count in verdict.answers.unusable.items()}
            case PromotionVerdict():
                row |= _of(verdict, "metric", "score", "champion_before", "champion_score")
                row["promoted_at"] = verdict.ended_at if verdict.outcome is Outcome.PROMOTED else None
            case InferenceVerdict():
                row |= _of(verdict, "prompts", "blocked", "cut", "empty", "answers_uri")
    return row


def evaluation_table_rows(candidate: Candidate, rows: Sequence[Row]) -> list[TableRow]:
    """Return a candidate's rows of the table `evaluations`; none before its evaluation has ended."""
    verdict = candidate.verdicts.get(Stage.EVALUATION)
    tuning = candidate.verdicts.get(Stage.TUNING)
    if verdict is None:
        return []
    common = {
        "run": candidate.id,
        "contestant": candidate.id,
        "evaluated_at": verdict.ended_at,
        "dataset": candidate.arrival.dataset,
        "source": "evaluation",
        "endpoint": tuning.endpoint if isinstance(tuning, TuningVerdict) else None,
    }
    return scored_rows(rows, common)


def scored_rows(rows: Sequence[Row], common: Mapping[str, Any]) -> list[TableRow]:
    """Return scored rows as those of the table `evaluations`: one for each row and metric.

    Args:
        rows: in the order of their file.
        common: what all of them have in common: `run`, `contestant`, `evaluated_at`, `dataset`, `source`, `endpoint`.
    """
    metrics = list(dict.fromkeys(name for row in rows for name in (*row.scores, *row.failures)))
    return [
        {
            **common,
            "position": position,
            "metric": metric,
            "row_id": row.id,
            "score": row.scores.get(metric),
            "failure": row.failures.get(metric),
            "left_out": row.left_out,
            "champion_score": row.champion_scores.get(metric),
            "explanation": row.explanations.get(metric),
            "prompt": row.prompt,
            "reference": row.reference,
            "answer": row.answer,
            "state": row.state,
            "finish_reason": row.finish_reason,
        }
        for position, row in enumerate(rows, start=1)
        for metric in metrics
        if row.left_out is not None or metric in row.scores or metric in row.failures
    ]


def completion_rows(events: Iterable[Announcement]) -> list[TableRow]:
    """Return completion events as rows of the table `completions`."""
    return [
        {
            "event_id": event.attributes["ce-id"],
            "type": event.attributes["ce-type"],
            "candidate": event.attributes["ce-subject"],
            "happened_at": datetime.fromisoformat(event.attributes["ce-time"]),
            "dataset": event.data.get("dataset"),
            "stage": event.data.get("stage"),
            "outcome": event.data.get("outcome"),
            "reason": event.data.get("reason"),
            "cost_usd": event.data.get("cost_usd"),
            "source": event.attributes.get("ce-source"),
            "data": json.dumps(event.data, ensure_ascii=False, sort_keys=True),
        }
        for event in events
    ]


def spend_rows(month: str, accounts: Mapping[str, LedgerEntry]) -> list[TableRow]:
    """Return a month's accounts, by name, as rows of the table `spend`."""
    begin = datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)
    return [
        {
            "month": month,
            "candidate": candidate,
            "purpose": purpose,
            "dataset": entry.dataset,
            "posted_at": posting.reserved_at or begin,
            "estimated_usd": posting.estimated_usd,
            "reserved_usd": posting.reserved_usd,
            "spent_usd": posting.spent_usd,
            "settled": posting.settled,
            "approved_by": posting.approved_by,
        }
        for candidate, entry in accounts.items()
        for purpose, posting in entry.purposes.items()
    ]


def json_lines(table: Table, rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Return rows as JSON Lines with the table's columns, in their order; absent values are null.

    Raises:
        KeyError: a row has a column that the table has not: a mistake in the code.
    """
    lines = []
    for row in rows:
        if unknown := set(row) - set(table.names):
            raise KeyError(f"{table.name} has no column {', '.join(sorted(unknown))}")
        whole = {name: _plain(row.get(name)) for name in table.names}
        lines.append(json.dumps(whole, ensure_ascii=False) + "\n")
    return "".join(lines).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, float) and value - value != 0:
        return None  # no number, for which neither JSON nor an average has a place
    return value


def _of(verdict: object, *names: str) -> TableRow:
    return {name: getattr(verdict, name) for name in names}
