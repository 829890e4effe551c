"""One value that the tables cannot hold costs its own row, and is named."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from genops_events.tables.fitting import MOST_CELL_BYTES, fitting
from genops_events.tables.schema import CANDIDATES, EVALUATIONS, SPEND

NOW = datetime(2026, 11, 23, tzinfo=UTC)
CANDIDATE: dict[str, Any] = {
    "candidate": "d-1",
    "dataset": "d",
    "arrived_at": NOW,
    "object": "gs://bucket/a",
    "state": "under_way",
    "updated_at": NOW,
    "generation": 1,
    "found_by": "sweep",
}


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("size_bytes", 2**63),
        pytest.param("size_bytes", 1 << 20_000, id="huge"),
        ("size_bytes", "12"),
        ("generation", -(2**63) - 1),
        ("object", "gs://bucket/\ud800"),
        ("object", "x" * (MOST_CELL_BYTES + 1)),
        ("object", 5),
        ("arrived_at", NOW.replace(tzinfo=None)),
        ("arrived_at", "2026-11-23"),
        ("arrived_at", datetime.fromisoformat("9999-12-31T23:59:59-01:00")),
        ("arrived_at", None),
        ("cost_usd", Decimal("NaN")),
        ("cost_usd", Decimal("1e999999")),
        ("cost_usd", Decimal("1e-999999")),
        ("cost_usd", "lots"),
        ("score", 10**400),
        ("score", "0.5"),
    ],
)
def test_a_value_that_a_column_cannot_hold_costs_its_row_alone_and_is_named(column: str, value: object) -> None:
    good = CANDIDATE | {"candidate": "d-2"}
    found = fitting(CANDIDATES, [CANDIDATE | {column: value}, good])
    assert found.rows == [good]
    (problem,) = found.problems
    assert problem.startswith("The row d-1 of the table candidates is left out:")
    assert f"`{column}`" in problem
    assert len(problem) < 300
    assert problem.isprintable()


def test_everything_that_columns_can_hold_stays() -> None:
    row = CANDIDATE | {
        "size_bytes": 2**63 - 1,
        "score": float("nan"),
        "cost_usd": Decimal("0.000000001"),
        "tuning_usd": "1.5",
        "arrived_at": datetime.max.replace(tzinfo=UTC),
        "reason": "\x1b[2J \0 ü",
    }
    assert fitting(CANDIDATES, [row]).rows == [row]
    assert (
        fitting(
            SPEND,
            [{"month": "2026-11", "candidate": "c", "purpose": "p", "dataset": "d", "posted_at": NOW, "settled": True}],
        ).problems
        == []
    )
    assert (
        "`settled`"
        in fitting(
            SPEND, [{"month": "m", "candidate": "c", "purpose": "p", "dataset": "d", "posted_at": NOW, "settled": 1}]
        ).problems[0]
    )
    assert "d-1" not in fitting(EVALUATIONS, [{}]).problems[0]
