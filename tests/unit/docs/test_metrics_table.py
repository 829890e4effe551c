"""The table of metrics in docs/how-to/set-a-gate.md has every metric that genops.yaml may name."""

from __future__ import annotations

import re
from pathlib import Path

from genops_events.catalogue.metrics import KNOWN_METRICS

_PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "set-a-gate.md"


def test_the_table_names_every_metric_and_no_other() -> None:
    table = _PAGE.read_text(encoding="utf-8").partition("| metrics | who scores |")[2].partition("\n\n")[0]
    named = [
        name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1] if "|" in row else "")
    ]
    # `rouge` is the older name of `rouge_l`.
    assert sorted(named) == sorted(set(KNOWN_METRICS) - {"rouge"})
