"""Show what benchmarks.waiting measured, with the targets beside the figures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.table import Table

from benchmarks.waiting_figures import TARGET_JOBS, Judged, Waiting


def headline(machine: dict[str, Any], poll_seconds: float) -> str:
    """Return when and on what it was measured, in a line."""
    return (
        f"{machine['measured_at']}, {machine['cores']} cores, Python {machine['python']}, Airflow {machine['airflow']}, "
        f"Google provider {machine['google_provider']}; a look every {poll_seconds:g} s (the operator: every 60 s)"
    )


def costs(measured: Iterable[Waiting]) -> Table:
    """Return a row for each number of jobs and each way."""
    table = Table(
        title="Waiting for tuning jobs",
        title_justify="left",
        caption=(
            "Memory (PSS) and core: of the triggerer, or of the operator's workers, more than without waits. First wait:"
            " what the first one of a process adds.\n"
            "Started: until the last wait runs. Resumed: from job end to task resumed, seconds. Blocked: Airflow's"
            " warnings that the event loop was blocked for over 0.2 s, until all waits had started and from then on, and the longest.\n"
            "Others: their share of the processor time used; above a tenth, repeat on a quiet machine."
        ),
        caption_justify="left",
    )
    table.add_column("jobs", justify="right")
    table.add_column("way")
    for heading in (
        *("calls/min", "kB/job", "core/job", "cores", "first wait MB", "workers", "started s"),
        *("resumed p50", "p95", "max", "resumed", "wrong", "blocked at start", "later", "others"),
    ):
        table.add_column(heading, justify="right")
    for one in measured:
        table.add_row(str(one.jobs), one.way, *_cells(one))
    return table


def _cells(one: Waiting) -> list[str]:
    times = one.resumed_seconds
    spread = (
        [f"{one.resumed_percentile(share):.1f}" for share in (50, 95)] + [f"{max(times):.1f}"] if times else [""] * 3
    )
    blocked = [
        f"{len(found)} ({max(found):.1f})" if found else "0"
        for found in (one.blocked_starting_seconds, one.blocked_seconds)
    ]
    started = f"{one.started_seconds:.1f}" if one.started_seconds is not None else f"{one.started} only"
    return [
        f"{one.calls_per_minute:.0f}",
        f"{one.kb_per_job:.1f}",
        f"{one.core_share_per_job:.3%}",
        f"{one.cores:.2f}",
        f"{one.first_wait_bytes / 1e6:.0f}" if one.first_wait_bytes else "",
        str(one.workers_held),
        started,
        *spread,
        str(len(times)),
        str(one.wrong),
        *blocked,
        f"{one.others_share:.0%}",
    ]


def targets(judged: Iterable[Judged]) -> Table:
    """Return a row for each target."""
    table = Table(title=f"Targets for ours with {TARGET_JOBS} jobs", title_justify="left")
    for heading in ("target", "measured", ""):
        table.add_column(heading)
    for one in judged:
        table.add_row(one.target, one.figure, "met" if one.met else "MISSED")
    return table
