"""The `genops` command."""

from __future__ import annotations

import typer

from genops_events.cli import candidates, config, demo, stack, watch

app = typer.Typer(
    name="genops",
    help="Drop a training file into a bucket; a tuned, evaluated, budget-checked model and its answers come out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
stack.register(app)
for command in (candidates.upload, watch.watch, candidates.candidates, candidates.events, demo.demo):
    app.command()(command)
app.add_typer(config.app, name="config")
