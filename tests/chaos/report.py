"""The closing table: what each fault did to how many uploads, and how long it took to be well again."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Row:
    """One scenario."""

    fault: str
    uploads: int
    lost: int
    """Generations without an end."""
    stranded: int
    """Recorded, and then nothing moved; or a pending partition row of Airflow that no run came of."""
    twice: int
    """Two tuning jobs, two contradicting verdicts or events, or two candidates of one generation."""
    disordered: int
    """Completion events missing, out of order, or changed on repetition."""
    failed: int
    """Ended, but not as the file deserved: a good one rejected or failed."""
    forgotten: int
    """Models that Vertex AI has made, and that the record does not know."""
    healed: int
    """Found by the sweep, not by a notification."""
    recovery_seconds: float | None
    """From the end of the fault (of the burst, where that is later) to the last end; None where one is missing."""
    notes: tuple[str, ...] = ()
    """What the fault did, and when."""


@dataclass(frozen=True)
class Kill:
    """One candidate whose process was killed at one point between intent, create and record."""

    point: str
    killed: str
    jobs: int
    """Tuning jobs with the candidate's label, by the official client."""
    end: str
    """How tuning ended; `none` where it did not."""
    seconds: float | None
    """From the kill to tuning's verdict."""


@dataclass
class Report:
    """The rows of one whole run, written to `file` after each: an interrupted run keeps what it found."""

    seed: int
    file: Path | None = None
    rows: list[Row] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)

    def add(self, row: Row) -> None:
        """Add the row of a scenario that has just ended."""
        self.rows.append(row)
        if self.file is not None:
            _write(self, self.file)

    def markdown(self) -> str:
        """Return the table as Markdown, which is also what the terminal shows."""
        head = (
            "fault",
            "uploads",
            "lost",
            "stranded",
            "twice",
            "disordered",
            "failed",
            "forgotten",
            "swept",
            "recovery (s)",
        )
        cells = [
            (
                one.fault,
                *map(str, (one.uploads, one.lost, one.stranded, one.twice, one.disordered, one.failed)),
                *map(str, (one.forgotten, one.healed)),
                "-" if one.recovery_seconds is None else f"{one.recovery_seconds:.0f}",
            )
            for one in self.rows
        ]
        tables = [_table(head, cells)] if cells else []
        if self.kills:
            tables.append(_table(("point", "killed", "jobs created", "end", "seconds"), map(_kill_cells, self.kills)))
        return "\n".join((*("\n".join((*table, "")) for table in tables), f"seed {self.seed}"))


def _kill_cells(one: Kill) -> tuple[str, ...]:
    return (one.point, one.killed, str(one.jobs), one.end, "-" if one.seconds is None else f"{one.seconds:.0f}")


def _table(head: tuple[str, ...], cells: Iterable[tuple[str, ...]]) -> list[str]:
    """Return the lines of a Markdown table: words to the left, figures to the right."""
    rows = [*cells]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    figures = [bool(number) and all(_is_figure(row[number]) for row in rows) for number in range(len(head))]

    def line(row: tuple[str, ...]) -> str:
        shown = (
            text.rjust(width) if figure else text.ljust(width)
            for text, width, figure in zip(row, widths, figures, strict=True)
        )
        return f"| {' | '.join(shown)} |"

    rule = "|".join(
        f"{'-' * (width + 1)}{':' if figure else '-'}" for width, figure in zip(widths, figures, strict=True)
    )
    return [line(head), f"|{rule}|", *map(line, rows)]


def _is_figure(text: str) -> bool:
    return text == "-" or text.isdecimal()


REPORT = pytest.StashKey[Report]()


def _write(report: Report, file: Path) -> None:
    """Write the table to `file`: JSON with the notes if its name ends so, else Markdown."""
    if file.suffix == ".json":
        whole = {
            "seed": report.seed,
            "written_at": datetime.now(UTC).isoformat(),
            "rows": [*map(asdict, report.rows)],
            "kills": [*map(asdict, report.kills)],
        }
        file.write_text(json.dumps(whole, indent=2) + "\n")
    else:
        file.write_text(report.markdown() + "\n")
