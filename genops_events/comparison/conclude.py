"""End a comparison: collect the contestants' results, write rows, tables and report, and announce it; all may be repeated."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from genops_events.comparison.contest import ContestantRun
from genops_events.comparison.report import render
from genops_events.comparison.table import SUMMARY, evaluation_rows, summary_rows
from genops_events.evaluation import files as kept
from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS
from genops_events.gcp.errors import google_call
from genops_events.gcp.outbox import announce_comparison
from genops_events.gcp.parts import remove_parts
from genops_events.gcp.streams import MOST_ROWS_BYTES, read_whole
from genops_events.record import comparison_plan as places
from genops_events.record.comparison import (
    ComparedAnswer,
    ComparedRow,
    ComparisonOutcome,
    ComparisonSummary,
    ContestantResult,
    Measured,
)
from genops_events.record.comparison_plan import ComparisonPlan, ContestantDocument, summarised
from genops_events.record.document import Announcement
from genops_events.record.tables import candidate_part
from genops_events.tables.parts import parquet, write_part
from genops_events.tables.rows import completion_rows, json_lines
from genops_events.tables.schema import COMPLETIONS, EVALUATIONS

if TYPE_CHECKING:
    from genops_events.config import Config
    from genops_events.config.contestants import Contestant
    from genops_events.gcp.record_store import RecordStore

FORGOTTEN_AFTER = timedelta(days=1)
"""Age after which an end without a summary is removed: its task died, and records it anew when it is cleared."""

NO_RESULT = "Its task ended without a result; see the log of the task in Airflow."


def conclude(config: Config, store: RecordStore, plan: ComparisonPlan) -> ComparisonSummary:
    """Record and announce the end of a comparison, and return its summary.

    A contestant without a result has failed. A conclusion that was recorded before and has not changed since is kept;
    only its missing steps are done.
    """
    results = [_result(config, store, plan, one.name) for one in plan.contestants]
    done = sum(one.status == "completed" for one in results)
    if done:
        outcome: ComparisonOutcome = "completed"
    else:
        outcome = "refused" if all(one.status == "refused" for one in results) else "failed"
    return _record(config, store, plan, outcome, summarised(results), results)


def refuse(
    config: Config,
    store: RecordStore,
    plan: ComparisonPlan,
    reason: str,
    *,
    missing: Decimal,
    most: Mapping[str, Decimal],
) -> ComparisonSummary:
    """Record and announce a comparison that was refused before any model was asked; return its summary.

    If its Dag run was cleared, contestants that have completed stay completed, and the spending of the others is reported.

    Args:
        config: topics and tables.
        store: the record.
        plan: of the comparison.
        reason: why it was refused, with the missing sum.
        missing: the missing sum in USD.
        most: the most in USD that each contestant can cost, by name; contestants that cannot be asked are not in it.
    """
    results = [_refused_result(store, plan, one, most.get(one.name)) for one in plan.contestants]
    outcome: ComparisonOutcome = "completed" if any(one.status == "completed" for one in results) else "refused"
    total = sum(most.values(), Decimal(0))
    return _record(config, store, plan, outcome, reason, results, estimated_usd=total, missing_usd=missing)


def _refused_result(
    store: RecordStore, plan: ComparisonPlan, one: Contestant, most: Decimal | None
) -> ContestantResult:
    reason = "The comparison was refused before any model was asked."
    before = store.read(places.result_path(plan.id, one.name), ContestantDocument)
    if before is not None:
        if before.result.status == "completed":
            return before.result
        again = {"status": "refused", "reason": f"{reason} Before: {before.result.reason}", "estimated_usd": most}
        return before.result.model_copy(update=again)
    return ContestantResult(
        name=one.name,
        model=one.model,
        settings=one.settings,
        system_instruction=one.system_instruction,
        status="refused",
        reason=reason,
        estimated_usd=most,
    )


def fail(config: Config, store: RecordStore, plan: ComparisonPlan, reason: str) -> ComparisonSummary:
    """Record and announce a comparison that failed before it began; one that has completed before stays completed."""
    before = store.read(places.summary_path(plan.id), ComparisonSummary)
    if before is not None and before.outcome == "completed":
        announce(config, store, before)
        return before
    return _record(config, store, plan, "failed", reason, [])


def _result(config: Config, store: RecordStore, plan: ComparisonPlan, name: str) -> ContestantResult:
    found = store.read(places.result_path(plan.id, name), ContestantDocument)
    return ContestantRun(config, store, plan, name).give_up(NO_RESULT) if found is None else found.result


def _record(  # noqa: PLR0917 - all ends have these in common
    config: Config,
    store: RecordStore,
    plan: ComparisonPlan,
    outcome: ComparisonOutcome,
    reason: str,
    results: Sequence[ContestantResult],
    **figures: Any,
) -> ComparisonSummary:
    before = store.read(places.summary_path(plan.id), ComparisonSummary)
    rows = _rows(store, plan)
    if before is not None and before.contestants == tuple(results) and before.outcome == outcome:
        comparison = before
    else:
        estimated = [one.estimated_usd for one in results if one.estimated_usd is not None]
        dataset = config.dataset(plan.dataset)
        now = datetime.now(UTC)
        given = {
            "candidate": plan.id,
            "written_at": now,
            "number": 1 if before is None else before.number + 1,
            "dataset": plan.dataset,
            "outcome": outcome,
            "reason": reason,
            "started_by": plan.started_by,
            "champion": plan.champion,
            "prompts": config.uri(plan.prompts),
            "rows": len(rows) or max((one.rows for one in results), default=0),
            "metrics": tuple(Measured.of(one) for one in dataset.evaluation.measured(plan.metrics)),
            "contestants": tuple(results),
            "notes": plan.notes,
            "cost_usd": _known_cost(results),
            "estimated_usd": sum(estimated, Decimal(0)) if estimated else None,
            "started_at": plan.written_at,
            "ended_at": now,
            "rows_uri": config.uri(places.rows_path(plan.id)) if rows else None,
            "parquet_uri": config.uri(f"{_part(EVALUATIONS.name, plan.id, plan.written_at)}.parquet") if rows else None,
            "report_uri": config.uri(places.report_path(plan.id)),
        }
        comparison = ComparisonSummary.model_validate(given | figures)
        # Written before the summary: once there is a summary, a sweep announces the end if this task does not.
        store.put(places.unannounced_path(comparison.id, comparison.number), comparison)
        _write(config, store, plan, comparison, rows)
    announce(config, store, comparison)
    return comparison


def announce(config: Config, store: RecordStore, comparison: ComparisonSummary) -> None:
    """Publish the end of a comparison, and write it into the table of completions; may be repeated."""
    announce_comparison(config, store, comparison)
    events = [
        event
        for name in store.names(f"{places.folder(comparison.id)}events/")
        if (event := store.read(name, Announcement)) is not None
    ]
    part = _part(COMPLETIONS.name, comparison.id, comparison.started_at)
    write_part(config, store, COMPLETIONS, part, completion_rows(events))
    remove_parts(store.bucket, places.unannounced_path(comparison.id, comparison.number))


def unannounced(store: RecordStore, name: str, *, before: datetime) -> ComparisonSummary | None:
    """Return an end of a comparison that was recorded before this moment, and that is not announced yet.

    An end without a summary is not returned: its task died before it was complete, and has to be cleared.

    Args:
        store: the record.
        name: of one of the objects below `UNANNOUNCED`.
        before: ends that were recorded later are left to their task.
    """
    one = store.read(name, ComparisonSummary)
    if one is None or one.written_at > before:
        return None
    summary = store.read(places.summary_path(one.id), ComparisonSummary)
    if summary is not None and summary.number >= one.number:
        return one
    if one.written_at < before - FORGOTTEN_AFTER:
        remove_parts(store.bucket, name)
    return None


def _write(
    config: Config, store: RecordStore, plan: ComparisonPlan, comparison: ComparisonSummary, rows: Sequence[ComparedRow]
) -> None:
    """Write all files that the summary names, and then the summary itself."""
    if rows:
        kept.write_lines(store.bucket, places.rows_path(plan.id), (row.to_json_line() for row in rows))
        part = _part(EVALUATIONS.name, plan.id, plan.written_at)
        write_part(config, store, EVALUATIONS, part, evaluation_rows(comparison, rows))
    lines = json_lines(SUMMARY, summary_rows(comparison))
    _upload(store, f"{places.summary_table(plan.id)}.jsonl", lines, "application/jsonl")
    _upload(
        store, f"{places.summary_table(plan.id)}.parquet", parquet(SUMMARY, lines), "application/vnd.apache.parquet"
    )
    kept.write_report(store.bucket, places.report_path(plan.id), render(comparison, rows))
    store.put(places.summary_path(plan.id), comparison)


def _rows(store: RecordStore, plan: ComparisonPlan) -> list[ComparedRow]:
    """Return the rows of all contestants side by side, in the order of the prompts."""
    merged: list[ComparedRow] = []
    for contestant in plan.contestants:
        name = places.contestant_rows_path(plan.id, contestant.name)
        for number, row in enumerate(_read_rows(store, name)):
            if number == len(merged):
                merged.append(row)
            else:
                answers: dict[str, ComparedAnswer] = {**merged[number].answers, **row.answers}
                merged[number] = ComparedRow(row.id, row.prompt, row.reference, answers)
    return merged


def _read_rows(store: RecordStore, name: str) -> list[ComparedRow]:
    from google.api_core.exceptions import NotFound

    with google_call(f"read gs://{store.bucket.name}/{name}"):
        try:
            content = read_whole(store.bucket.blob(name), most_bytes=MOST_ROWS_BYTES).decode()
        except NotFound:
            return []
    return [ComparedRow.from_json(json.loads(line)) for line in content.split("\n") if line]


def _part(table: str, comparison: str, started_at: datetime) -> str:
    # By the time of its start, which does not change: a comparison that ends again replaces its part.
    return candidate_part(table, f"{comparison}-comparison", started_at)


def _upload(store: RecordStore, name: str, content: bytes, kind: str) -> None:
    with google_call(f"write gs://{store.bucket.name}/{name}"):
        store.bucket.blob(name).upload_from_string(content, content_type=kind, timeout=CALL_TIMEOUT_SECONDS)


def _known_cost(results: Sequence[ContestantResult]) -> Decimal | None:
    """Return the sum of the known costs; None where some cost is unknown and all known ones are 0."""
    known = sum((one.cost_usd for one in results if one.cost_usd is not None), Decimal(0))
    return None if not known and any(one.cost_usd is None for one in results) else known
