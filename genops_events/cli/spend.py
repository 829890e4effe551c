"""`genops spend`: what a month has cost and what is still reserved, beside the limits."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

import typer

from genops_events.cli.candidates import AsJson
from genops_events.cli.console import errors_reported, human, print_json
from genops_events.cli.target import connect
from genops_events.errors import PermanentError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.table import Table

    from genops_events.money.spending import Spending


class NotAMonth(PermanentError):
    """The argument is no month."""


def spend(
    month: Annotated[str | None, typer.Option(help="yyyy-mm (UTC); this month if not given.")] = None,
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """Show what was spent and reserved in a month, by dataset and stage, and what the limits leave."""
    from genops_events.gcp.ledger_store import read
    from genops_events.gcp.record_store import RecordStore
    from genops_events.money.ledger import Ledger, month_of
    from genops_events.money.spending import spending

    with errors_reported():
        wanted = month_of(datetime.now(UTC)) if month is None else _checked(month)
        config = connect()
        ledger = read(RecordStore.open(config), wanted) or Ledger(month=wanted)
        limits = {name: dataset.budget.monthly_usd for name, dataset in config.datasets.items()}
        found = spending(ledger, limits, config.budget.monthly_usd)
    if as_json:
        print_json(found.to_json())
        return
    human().print(shown(found))


def shown(found: Spending) -> Table:
    """Return the month as a table: a line per dataset and stage, and one for all of them."""
    from genops_events.cli.terminal import table

    numbers = ("candidates", "estimated", "spent", "reserved", "limit", "left")
    return table(("dataset", "stage", *numbers), _rows(found), title=_title(found), numbers=numbers)


def _rows(found: Spending) -> Iterator[tuple[str, ...]]:
    for row in found.datasets:
        for purpose, one in row.stages.items():
            amounts = (one.estimated_usd, one.spent_usd, one.reserved_usd)
            yield (row.dataset, purpose, f"{one.candidates:,}", *map(usd, amounts), "", "")
        spent = sum((one.spent_usd for one in row.stages.values()), Decimal(0))
        limit = (_unlimited(row.dataset), "") if row.limit_usd is None else (usd(row.limit_usd), usd(row.left_usd))
        yield (row.dataset, "all", "", "", usd(spent), usd(row.committed_usd - spent), *limit)
    limit = ("no limit", "")
    if found.limit_usd is not None:
        limit = (usd(found.limit_usd), usd(found.limit_usd - found.committed_usd))
    yield ("all", "", "", "", usd(found.spent_usd), usd(found.committed_usd - found.spent_usd), *limit)


def usd(amount: Decimal | None) -> str:
    """Write dollars as `ledger.usd` does; nothing for None."""
    from genops_events.money.ledger import usd as dollars

    return "" if amount is None else dollars(amount)


def _unlimited(dataset: str) -> str:
    from genops_events.money.ledger import NO_DATASET

    return "no limit" if dataset == NO_DATASET else "no longer in genops.yaml"


def _title(found: Spending) -> str:
    return f"{found.month} (UTC): {usd(found.spent_usd)} spent, {usd(found.committed_usd - found.spent_usd)} reserved"


def _checked(month: str) -> str:
    try:
        return f"{datetime.strptime(month, '%Y-%m').replace(tzinfo=UTC):%Y-%m}"
    except ValueError as error:
        raise NotAMonth(f"{month!r} is no month.", "Write it as yyyy-mm, for instance 2026-11.") from error
