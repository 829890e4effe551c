"""`genops watch`: follow one candidate through the cascade until its end."""

from __future__ import annotations

import time
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genops_events.cli.candidates import AsJson
from genops_events.cli.console import errors_reported, human, print_json
from genops_events.cli.target import connect
from genops_events.errors import PermanentError, TransientError
from genops_events.record.stages import CandidateState, Outcome, Stage

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from genops_events.config import Config
    from genops_events.gcp.record_store import RecordStore
    from genops_events.record.candidates import Candidate

EXIT_ENDED_OTHERWISE = 2
EXIT_TIMEOUT = 3
LOOK_SECONDS = 0.5

_GOOD = {Outcome.SUCCEEDED, Outcome.PASSED, Outcome.APPROVED, Outcome.PROMOTED, Outcome.COMPLETED}
_STYLES = {
    **dict.fromkeys(map(str, _GOOD), "green"),
    "failed": "bold red",
    "running": "yellow",
    "queued": "yellow",
    "held": "bold yellow",
}


class NotACandidate(PermanentError):
    """The argument cannot be a candidate id."""


def watch(
    candidate: Annotated[str, typer.Argument(help="Candidate id, as `genops upload` prints it.")],
    timeout: Annotated[float | None, typer.Option(min=0, help="Give up after this many seconds (exit 3).")] = None,
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """Show a candidate's cascade live. Exit 0: promoted and answered; 2: ended otherwise; 3: timeout."""
    from genops_events.gcp.record_store import RecordStore

    with errors_reported():
        config = connect()
        check_id(config, candidate)
        found = follow(RecordStore.open(config), candidate, timeout_seconds=timeout, console=human())
    if as_json:
        print_json(document(candidate, found))
    if found is None or found.state is CandidateState.UNDER_WAY:
        human().print(_timeout_text(candidate, found), markup=False)
        raise typer.Exit(EXIT_TIMEOUT)
    if found.state is not CandidateState.ANSWERED:
        raise typer.Exit(EXIT_ENDED_OTHERWISE)


def document(candidate: str, found: Candidate | None) -> dict[str, Any]:
    """Return what `--json` prints, also for a candidate that the record does not know yet."""
    if found is not None:
        return found.to_json()
    from genops_events.config.identity import dataset_of

    waiting = {"state": "waiting", "started_at": None, "ended_at": None}
    return {
        "candidate": candidate,
        "dataset": dataset_of(candidate),
        "state": str(CandidateState.UNDER_WAY),
        "stages": {str(stage): dict(waiting) for stage in Stage},
        "champion": None,
    }


def check_id(config: Config, candidate: str) -> None:
    """Refuse what can never become a candidate, so that a typing error does not wait for ever.

    Raises:
        NotACandidate: not of the form `<dataset>-<16 hex digits>`.
        ConfigError: no such dataset.
    """
    from genops_events.config.identity import dataset_of, is_candidate_id

    if not is_candidate_id(candidate):
        raise NotACandidate(f"{candidate!r} is no candidate id.", "`genops candidates` lists the known ones.")
    config.dataset(dataset_of(candidate))


def follow(store: RecordStore, candidate: str, *, timeout_seconds: float | None, console: Console) -> Candidate | None:
    """Show the candidate until it has ended or the time is up; return what the record said last."""
    from rich.live import Live

    from genops_events.cascade.candidate_reader import CandidateReader

    reader = CandidateReader(store)
    deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    seen: dict[Stage, str] = {}
    found = None
    live = Live(console=console, auto_refresh=False) if console.is_terminal else None
    with live or nullcontext():
        while True:
            try:
                found = reader.look(candidate)
            except TransientError as error:
                console.print(f"{error.message} Looking again.", markup=False)
            if live is not None:
                live.update(shown(candidate, found), refresh=True)
            elif found is not None:
                _print_changes(console, found, seen)
            ended = found is not None and found.state is not CandidateState.UNDER_WAY
            if ended or (deadline is not None and time.monotonic() >= deadline):
                return found
            time.sleep(LOOK_SECONDS)


def _print_changes(console: Console, found: Candidate, seen: dict[Stage, str]) -> None:
    """Print a line for each stage that has changed: its state, or what there is to say about it."""
    for stage in Stage:
        row = found.stage_json(stage)
        explained = found.explained(stage)
        if row["state"] == "waiting" or (row["state"] == "queued" and not explained):
            continue
        line = f"{row['state']}{f' after {_duration(row)}' if row['ended_at'] else ''}  {explained}".rstrip()
        if line != seen.get(stage):
            seen[stage] = line
            console.print(f"{stage:<11} {line}", markup=False)


def shown(candidate: str, found: Candidate | None) -> Table:
    """Return the candidate as a table: a line per stage."""
    from rich.text import Text

    from genops_events.cli.terminal import table
    from genops_events.record.candidates import WAITS_FOR_A_PERSON

    styles = {**_STYLES, WAITS_FOR_A_PERSON: "bold yellow"}
    stages = document(candidate, found)["stages"]

    def row(stage: Stage) -> tuple[str | Text, ...]:
        one = stages[str(stage)]
        explained = "" if found is None else found.explained(stage)
        cost = _cost(one.get("cost_usd", "0"))
        return (
            str(stage),
            Text(one["state"], style=styles.get(one["state"], "dim")),
            _duration(one),
            cost,
            explained,
        )

    headings = ("stage", "state", "duration", "cost", "figures")
    return table(headings, map(row, Stage), title=_title(candidate, found), wraps=("figures",))


def _title(candidate: str, found: Candidate | None) -> str:
    if found is None:
        return f"{candidate}: waiting for the arrival"
    is_free = found.cost_usd == 0
    return f"{candidate}: {found.state}" + ("" if is_free else f", {found.cost_text}")


def _cost(usd: str | None) -> str:
    if usd is None:
        return "unknown"
    return "" if float(usd) == 0 else f"${float(usd):.4f}"


def _duration(row: dict[str, Any]) -> str:
    if not row["started_at"]:
        return ""
    until = datetime.fromisoformat(row["ended_at"]) if row["ended_at"] else datetime.now(UTC)
    return f"{(until - datetime.fromisoformat(row['started_at'])).total_seconds():.1f} s"


def _timeout_text(candidate: str, found: Candidate | None) -> str:
    if found is None:
        return (
            f"Time is up, and no arrival of {candidate} was recorded. Is the stack running (`genops status`), "
            "and is the object still in the bucket?"
        )
    waits = found.holds or (found.question is not None and found.answer is None)
    goes_on = "waits for a person to decide" if waits else "goes on by itself"
    return f"Time is up; {candidate} is still under way and {goes_on}. `genops watch {candidate}` looks again."
