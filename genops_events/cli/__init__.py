"""The `genops` command."""

from __future__ import annotations

import typer

from genops_events.cli import (
    approve,
    ask,
    cancel,
    candidates,
    champions,
    compare,
    config,
    dead_letters,
    demo,
    doctor,
    estimate,
    promotion,
    provision,
    prune,
    spend,
    sql,
    stack,
    validate,
    watch,
)

app = typer.Typer(
    name="genops",
    help="Drop a training file into a bucket; a tuned, evaluated, budget-checked model and its answers come out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
stack.register(app)
for command in (
    candidates.upload,
    validate.validate,
    watch.watch,
    cancel.cancel,
    approve.approve,
    promotion.reject,
    champions.champions,
    champions.rollback,
    prune.prune,
    candidates.candidates,
    candidates.events,
    dead_letters.dead_letters,
    demo.demo,
    ask.ask,
    estimate.estimate,
    compare.compare,
    spend.spend,
    sql.sql,
    doctor.doctor,
    provision.provision,
):
    app.command()(command)
app.add_typer(config.app, name="config")
