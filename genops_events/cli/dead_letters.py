"""`genops dead-letters`: what could not be read or stored, and the way back."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genops_events.cli.console import errors_reported, human, print_json
from genops_events.cli.target import connect
from genops_events.errors import GenopsError

if TYPE_CHECKING:
    from genops_events.config import Config
    from genops_events.intake.dead_letters import DeadLetter, DeadLetters

COUNT_SECONDS = 2.0


def dead_letters(
    replay: Annotated[bool, typer.Option("--replay", help="Publish each again on the arrivals topic.")] = False,  # noqa: FBT002 - a command line flag
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Most to show or replay.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list to standard output.")] = False,  # noqa: FBT002 - a command line flag
) -> None:
    """Show the messages of the arrivals topic that could not be read or stored, and why.

    Looking takes nothing away. With --replay each message goes back to the arrivals topic as it was, and its dead letter
    is removed; a candidate that is there already is not made twice. What can still not be read becomes a dead letter again,
    and is said to.

    Exit code 0: shown or replayed, also when there are none. 1: dead letters cannot be read, or one was not replayed.
    """
    from genops_events.intake.dead_letters import DeadLetters

    with errors_reported(), DeadLetters.opened(connect()) as letters:
        found = letters.peek(limit=limit)
        failures = 0
        shown: list[dict[str, Any]] = []
        for letter in found:
            row = letter.to_json()
            if replay:
                failures += not _replay(letters, letter, row)
            shown.append(row)
            if not as_json:
                _print(row)
    if as_json:
        print_json(shown)
    elif not found:
        human().print("No dead letters.", markup=False)
    else:
        _print_next(len(found), limit=limit, replayed=replay)
    if failures:
        raise typer.Exit(1)


def _replay(letters: DeadLetters, letter: DeadLetter, row: dict[str, Any]) -> bool:
    """Replay `letter`, note in `row` what became of it, and return whether it is done."""
    from genops_events.intake.notifications import UnreadableNotification, read_notification

    try:
        read_notification(letter.original_attributes(), letter.data)
    except UnreadableNotification as error:
        row["refused_again"] = error.message
    try:
        row["replayed_as"] = letters.replay(letter)
    except GenopsError as error:
        row["replayed_as"], row["error"] = None, error.message
        return False
    return True


def _print(row: dict[str, Any]) -> None:
    where = "no object is named"
    if row["bucket"] or row["object"]:
        where = f"gs://{row['bucket']}/{row['object']}#{row['generation']}"
    console = human()
    console.print(f"{row['message_id']}  {row['published_at'][:19]}  {where}", markup=False)
    console.print(f"  {row['reason']}", markup=False)
    if row["data"]:
        # Escaped: what strangers publish must not move the cursor.
        console.print(f"  {row['data']!r}", markup=False)
    if "error" in row:
        console.print(f"  not replayed, and still a dead letter: {row['error']}", markup=False)
    elif "replayed_as" in row:
        console.print(f"  replayed as message {row['replayed_as']}", markup=False)
        if "refused_again" in row:
            console.print(f"  but it becomes a dead letter again: {row['refused_again']}", markup=False)


def _print_next(count: int, *, limit: int, replayed: bool) -> None:
    more = f" There may be more: --limit {limit * 10}." if count == limit else ""
    hint = "" if replayed else " Fix the cause, then: genops dead-letters --replay."
    if more or hint:
        human().print(f"{_number(count)}.{hint}{more}", markup=False)


def _number(count: int) -> str:
    return f"{count} dead letter{'' if count == 1 else 's'}"


@contextmanager
def dead_letters_noted(config: Config) -> Iterator[None]:
    """Count the dead letters beside what the block does, and say in the end if there are any; never fails, takes 2 s at most."""
    note: list[str] = []
    deadline = time.monotonic() + COUNT_SECONDS
    # A daemon: a command that is done does not wait for Pub/Sub.
    counting = threading.Thread(target=lambda: note.append(_note(config)), name="dead-letters", daemon=True)
    counting.start()
    yield
    counting.join(timeout=max(0.0, deadline - time.monotonic()))
    text = note[0] if note else "Dead letters could not be counted: Pub/Sub does not answer."
    if text:
        human().print(text, markup=False)


def _note(config: Config) -> str:
    from genops_events.intake.dead_letters import COUNTED, count_dead_letters

    try:
        count = count_dead_letters(config)
    except Exception as error:  # noqa: BLE001 - a note must not spoil the list
        return f"Dead letters could not be counted: {error.message if isinstance(error, GenopsError) else error}"
    more = " or more" if count == COUNTED else ""
    return f"{_number(count)}{more}: genops dead-letters" if count else ""
