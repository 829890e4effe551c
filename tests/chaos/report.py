"""The closing table: what each fault did to how many uploads, and how long it took to be well again."""

from __future__ import annotations

import json
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
    healed: int
    """Found by the sweep, not by a notification."""
    recovery_seconds: float | None
    """From the end of the fault (of the burst, where that is later) to the last end; None where one is missing."""
    notes: tuple[str, ...] = ()
    """What the fault did, and when."""


@dataclass
class Report:
    """The rows of one whole run, written to `file` after each: an interrupted run keeps what it found."""

    seed: int
    file: Path | None = None
    rows: list[Row] = field(default_factory=list)

    def add(self, row: Row) -> None:
        """Add the row of a scenario that has just ended."""
        self.rows.append(row)
        if self.file is not None:
            _write(self, self.file)

    def markdown(self) -> str:
        """Return the table as Markdown, which is also what the terminal shows."""
        head = ("fault", "uploads", "lost", "stranded", "twice", "disordered", "failed", "swept", "recovery (s)")
        cells = [
            (
                one.fault,
                *map(str, (one.uploads, one.lost, one.stranded, one.twice, one.disordered, one.failed, one.healed)),
                "-" if one.recovery_seconds is None else f"{one.recovery_seconds:.0f}",
            )
            for one in self.rows
        ]
        widths = [max(len(row[column]) for row in (head, *cells)) for column in range(len(head))]

        def line(row: tuple[str, ...]) -> str:
            first, *rest = (
                text.ljust(width) if not number else text.rjust(width)
                for number, (text, width) in enumerate(zip(row, widths, strict=True))
            )
            return f"| {' | '.join((first, *rest))} |"

        rule = (
            "|" + "|".join(f"{'-' * (width + 1)}{':' if number else '-'}" for number, width in enumerate(widths)) + "|"
        )
        return "\n".join((line(head), rule, *map(line, cells), "", f"seed {self.seed}"))


REPORT = pytest.StashKey[Report]()


def _write(report: Report, file: Path) -> None:
    """Write the table to `file`: JSON with the notes if its name ends so, else Markdown."""
    if file.suffix == ".json":
        whole = {"seed": report.seed, "written_at": datetime.now(UTC).isoformat(), "rows": [*map(asdict, report.rows)]}
        file.write_text(json.dumps(whole, indent=2) + "\n")
    else:
        file.write_text(report.markdown() + "\n")
