"""`genops doctor`: say what is wrong, why, and which command fixes it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from genops_events.cli.console import errors_reported, print_json
from genops_events.cli.target import connect
from genops_events.doctor.findings import Diagnosis, Result, Status
from genops_events.errors import ConfigError

if TYPE_CHECKING:
    from rich.text import Text

    from genops_events.config import Config

_LOOKS = {
    Status.OK: ("✓", "green"),
    Status.WARNING: ("!", "yellow"),
    Status.FAILED: ("✗", "bold red"),
    Status.SKIPPED: ("-", "dim"),
}


def doctor(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document to standard output.")] = False,
) -> None:
    """Look at all that the cascade needs: bucket, Pub/Sub, Vertex AI, BigQuery, Airflow. Nothing is changed. Exit 1 if anything failed."""
    from genops_events.cli.diagnosis import diagnose

    config: Config | ConfigError
    with errors_reported():
        try:
            config = connect()
        except ConfigError as error:
            config = error
    diagnosis = diagnose(config)
    if as_json:
        print_json(diagnosis.to_json())
    else:
        _show(diagnosis)
    sys.stdout.flush()
    raise typer.Exit(0 if diagnosis.healthy else 1)


def _show(diagnosis: Diagnosis) -> None:
    from genops_events.cli.terminal import PeopleConsole

    # The report is the result, so it goes to standard output; a command in it must stay one line, to be copied.
    console = PeopleConsole(highlight=False, soft_wrap=True)
    width = max(len(one.name) for one in diagnosis.results)
    for one in diagnosis.results:
        for line in _lines(one, width):
            console.print(line)
    counts = [f"{diagnosis.count(status)} {status}" for status in Status if diagnosis.count(status)]
    console.print(f"{diagnosis.target}: {', '.join(counts)}, in {diagnosis.seconds:.1f} s", markup=False)


def _lines(result: Result, width: int) -> Iterator[Text]:
    from rich.text import Text

    finding = result.finding
    mark, style = _LOOKS[finding.status]
    margin = " " * (width + 4)
    found = finding.found.replace("\n", f"\n{margin}")
    yield Text.assemble((mark, style), f" {result.name:<{width}}  ", found)
    if finding.cause:
        yield Text.assemble(margin, ("why   ", "dim"), finding.cause.replace("\n", f"\n{margin}      "))
    for number, command in enumerate(finding.remedy):
        yield Text.assemble(margin, ("fix   " if number == 0 else "      ", "dim"), (command, "bold"))
