"""Show what benchmarks.arrivals measured, with the targets beside the figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.table import Table

from benchmarks import core_seconds
from benchmarks.arrival_figures import PERCENTILES, Outcome, percentile
from benchmarks.figures import Batch

TARGETS = {50: 3.0, 95: 6.0}
"""Seconds from upload to tuning run, for one upload, by percentile."""
TARGET_RATIO = 1.3
"""Of the whole cascade over an empty one."""


def headline(machine: dict[str, Any], max_messages: int, poke_seconds: float) -> str:
    """Return when and on what it was measured, in a line."""
    return (
        f"{machine['measured_at']}, {machine['cores']} cores, Python {machine['python']}, Airflow {machine['airflow']}; "
        f"the usual way: Google provider {machine['google_provider']}, max_messages={max_messages}, "
        f"poke_interval={poke_seconds:g}"
    )


def quiet(outcomes: Iterable[Outcome]) -> Table:
    """Return a row for each number of uploads and each way."""
    table = Table(
        title="Upload to tuning run, seconds",
        title_justify="left",
        caption=(
            f"Targets for ours: one upload {' and '.join(f'p{share} under {bound:g} s' for share, bound in TARGETS.items())};"
            " 0 lost, 0 stranded, 0 twice.\n"
            "Lost: neither seen by a tuning run nor stored. Stranded: stored, but no run consumed it. Twice: more than one"
            " run saw it.\nOthers: their share of the processor time used; above a tenth, repeat on a quiet machine."
        ),
        caption_justify="left",
    )
    table.add_column("uploads", justify="right")
    table.add_column("way")
    for heading in (*(f"p{share}" for share in PERCENTILES), "max", "lost", "stranded", "twice", "runs", "others"):
        table.add_column(heading, justify="right")
    for one in outcomes:
        times = one.seconds()
        cells = [*(percentile(times, share) for share in PERCENTILES), max(times)] if times else []
        table.add_row(
            str(one.uploads) if one.uploads == len(one.fates) else f"{one.uploads} ({len(one.fates)} times)",
            one.way,
            *(_against(value, one, share) for value, share in zip(cells, (*PERCENTILES, None), strict=False)),
            *[""] * (len(PERCENTILES) + 1 - len(cells)),
            *map(str, (one.lost, one.stranded, one.twice, one.runs)),
            f"{100 * one.core_seconds[core_seconds.OTHERS] / sum(one.core_seconds.values()):.0f} %",
        )
    return table


def faulty(faults: Iterable[tuple[str, Outcome]]) -> Table:
    """Return a row for each fault, each number of uploads and each way."""
    table = Table(
        title="kill -9 amid the uploads",
        title_justify="left",
        caption=(
            "Recovery: seconds from the kill to the start of the last run that saw an arrival for the first time.\n"
            "Targets for ours: 0 lost, 0 stranded, 0 twice."
        ),
        caption_justify="left",
    )
    table.add_column("fault")
    table.add_column("uploads", justify="right")
    table.add_column("way")
    for heading in ("lost", "stranded", "twice", "runs", "recovery"):
        table.add_column(heading, justify="right")
    for fault, one in faults:
        recovery = f"{max(one.recovery_seconds):.1f}" if one.recovery_seconds else ""
        table.add_row(
            *(fault, str(len(one.fates)), one.way, *map(str, (one.lost, one.stranded, one.twice, one.runs)), recovery)
        )
    return table


def cascade_target(batches: Sequence[Batch]) -> str:
    """Return how the whole cascade compares with an empty one, by its slowest and by its median, in a line."""
    told = (
        f"{batch.uploads} uploads: all ended after {max(batch.cascade.seconds()):.0f} s, keys of an empty cascade after "
        f"{max(batch.floor.seconds()):.0f} s, {max(batch.cascade.seconds()) / max(batch.floor.seconds()):.2f} times; "
        f"by the medians {batch.ratio():.2f} times"
        for batch in batches
    )
    return f"{'; '.join(told)}. Target: {TARGET_RATIO} times."


def _against(value: float, outcome: Outcome, share: int | None) -> str:
    """Return the figure, and the target where one is set and missed."""
    bound = TARGETS.get(share or 0)
    missed = bound is not None and outcome.uploads == 1 and outcome.way == "ours" and value >= bound
    return f"{value:.1f} (over {bound:g})" if missed else f"{value:.1f}"
