"""`genops champions` and `genops rollback`: who serves each dataset, and giving the place back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from genops_events.cli.caller import NO_REASON, Reason, me, sentence
from genops_events.cli.candidates import AsJson
from genops_events.cli.console import errors_reported, human, print_json
from genops_events.cli.target import connect

if TYPE_CHECKING:
    from rich.table import Table

    from genops_events.record.promotion import Champion


def champions(as_json: AsJson = False) -> None:  # noqa: FBT002 - a command line flag
    """List the champion of each dataset: its score, since when, by whom, and who was it before."""
    from genops_events.gcp.record_store import RecordStore

    with errors_reported():
        config = connect()
        store = RecordStore.open(config)
        found = [(name, store.champion(name)) for name in config.datasets]
    if as_json:
        print_json([_document(name, champion) for name, champion in found])
        return
    human().print(_table(found))


def rollback(
    dataset: Annotated[str, typer.Argument(help="The dataset of genops.yaml whose champion is to go.")],
    to: Annotated[
        str | None, typer.Option(help="The candidate to make champion; the champion before, if not given.")
    ] = None,
    reason: Reason = NO_REASON,
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """Give the champion's place back to an earlier one; recorded, announced, and shown in the model registry."""
    from genops_events.gcp.record_store import RecordStore
    from genops_events.promotion.rollbacks import roll_back

    with errors_reported():
        config = connect()
        config.dataset(dataset)
        store = RecordStore.open(config)
        caller, why = me(), sentence(reason)
        done, registry = roll_back(config, store, dataset, to=to, by=caller.by, reason=why, claimed=caller.claimed)
    if as_json:
        print_json({**done.model_dump(mode="json", by_alias=True), "registry": registry.strip() or None})
    human().print(
        f"{done.champion} is champion of {dataset} now, in place of {done.candidate}.{registry} "
        f"Back with: genops rollback {dataset} --to {done.candidate}",
        markup=False,
    )


def _document(dataset: str, champion: Champion | None) -> dict[str, Any]:
    if champion is None:
        return {"dataset": dataset, "champion": None}
    rolled = champion.rollback
    return {
        "dataset": dataset,
        "champion": champion.candidate,
        "metric": champion.metric,
        "score": champion.score,
        "scores": champion.scores,
        "since": champion.promoted_at.isoformat(),
        "arrived_at": None if champion.arrived_at is None else champion.arrived_at.isoformat(),
        "model": champion.model,
        "endpoint": champion.endpoint,
        "checkpoint": champion.checkpoint,
        "before": champion.predecessor,
        "earlier": list(champion.earlier),
        "rollback": None if rolled is None else {"from": rolled.candidate, "by": rolled.by, "reason": rolled.reason},
    }


def _table(found: list[tuple[str, Champion | None]]) -> Table:
    from genops_events.cli.terminal import table

    headings = ("dataset", "champion", "score", "since", "how", "rollback leads to")
    return table(headings, (_row(dataset, champion) for dataset, champion in found), wraps=("how",))


def _row(dataset: str, champion: Champion | None) -> tuple[str, ...]:
    from genops_events.promotion.championship import moment

    if champion is None:
        return (dataset, "-", "", "", "no candidate was promoted yet", "")
    rolled = champion.rollback
    how = "promoted" if rolled is None else f"{rolled.by} rolled back {rolled.candidate}: {rolled.reason}"
    score = f"{champion.metric} {champion.score:.4g}"
    return (dataset, champion.candidate, score, moment(champion.promoted_at), how, champion.predecessor or "-")
