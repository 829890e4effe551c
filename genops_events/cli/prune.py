"""`genops prune`: list tuned models that nobody needs any more, and take them away with `--apply`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from genops_events.cli.caller import me
from genops_events.cli.candidates import AsJson
from genops_events.cli.console import errors_reported, human, print_json
from genops_events.cli.target import connect

if TYPE_CHECKING:
    from rich.table import Table

    from genops_events.promotion.pruning import TunedModel


def prune(
    dataset: Annotated[str | None, typer.Option(help="Only models of this dataset.")] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Undeploy and delete what is listed.")] = False,  # noqa: FBT002
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """List tuned models that lost. Never the champion's, one under way, or the last `promotion.keep` champions before."""
    from genops_events.gcp.record_store import RecordStore
    from genops_events.promotion.pruning import survey, take_away

    with errors_reported():
        config = connect()
        if dataset is not None:
            config.dataset(dataset)
        store = RecordStore.open(config)
        found = [one for name in config.datasets if dataset in (None, name) for one in survey(config, store, name)]
        losers = [one for one in found if one.kept is None]
        caller = me()
        done = dict(take_away(config, store, losers, by=caller.by, claimed=caller.claimed)) if apply else {}
    if as_json:
        print_json(
            [
                {
                    "candidate": one.candidate,
                    "dataset": one.dataset,
                    "state": one.state,
                    "model": one.model,
                    "endpoint": one.endpoint,
                    "kept": one.kept,
                    "done": done.get(one.candidate),
                }
                for one in found
            ]
        )
    if losers:
        human().print(_table(losers, done))
    human().print(_summary(losers, len(found) - len(losers), apply=apply), markup=False)


def _summary(losers: list[TunedModel], kept: int, *, apply: bool) -> str:
    others = f"{kept} tuned model{'' if kept == 1 else 's'} stay{'s' if kept == 1 else ''}."
    if not losers:
        return f"There is nothing to prune. {others}"
    return (
        others
        if apply
        else f"{others} Nothing was changed; `genops prune --apply` undeploys and deletes what is listed."
    )


def _table(losers: list[TunedModel], done: dict[str, str]) -> Table:
    from genops_events.cli.terminal import table

    rows = (
        (one.candidate, one.state, one.endpoint or "none", one.model, *([done[one.candidate]] if done else []))
        for one in losers
    )
    return table(("candidate", "ended", "endpoint", "model", *(["done"] if done else [])), rows)
