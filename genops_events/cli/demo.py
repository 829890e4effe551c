"""`genops demo`: the whole cascade on this machine, with a good training file and a shuffled one."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genops_events.cli.console import errors_reported, human, interrupt_on_signals
from genops_events.cli.paths import examples_folder
from genops_events.cli.target import point_at
from genops_events.record.stages import CandidateState, Stage

if TYPE_CHECKING:
    from rich.table import Table

    from genops_events.config import Config
    from genops_events.gcp.record_store import RecordStore
    from genops_events.record.candidates import Candidate
    from genops_events.record.document import Announcement

DATASET = "banking77"
TIMEOUT_SECONDS = 900.0
"""How long one upload may take, which takes 15 s on a quiet machine: a stranger's may be busy."""
DOWNLOAD_SECONDS = 60.0
PUBLISHED_SECONDS = 10.0
SHOWN_ANSWERS = 3
SHUFFLE_SEED = 77


@dataclass(frozen=True, slots=True)
class _Upload:
    title: str
    file: Path
    should_end: CandidateState


def demo(
    home: Annotated[Path, typer.Option(help="Folder of the demo's own stack; removed at the end.")] = Path(
        ".genops/demo"
    ),
) -> None:
    """Start a stack, tune on Banking77, then on the same with shuffled labels, and stop. Exit 0 if both end as they should."""
    from genops_events.stack import shell

    console = human()
    begun = time.monotonic()
    examples = examples_folder()
    home = home.resolve()
    # Whatever the shell points at: the demo is about its own stack.
    shell.forget(os.environ)
    interrupt_on_signals()
    os.environ["GENOPS_HOME"] = str(home)
    os.environ["GENOPS_CONFIG"] = str(examples / "genops.yaml")
    ok = False
    with errors_reported(), tempfile.TemporaryDirectory() as folder:
        # What a demo before this one left would change the outcome: its champion would be challenged.
        _genops("down", "--purge", quiet=True)
        try:
            _genops("up", "--detach", "--owner", str(os.getpid()))
            ready = time.monotonic() - begun
            good = examples / DATASET / "train.jsonl"
            shuffled = Path(folder) / "shuffled.jsonl"
            shuffle_labels(good, shuffled)
            uploads = [
                _Upload("A training file of 770 real bank messages", good, CandidateState.ANSWERED),
                _Upload("The same with shuffled labels", shuffled, CandidateState.HELD),
            ]
            ok = _run(uploads, ready_seconds=ready)
        finally:
            _genops("down", *(["--purge"] if ok else []), quiet=True)
            if not ok:
                _say_what_is_left(home)
    seconds = time.monotonic() - begun
    console.print(f"{'Both ended as they should' if ok else 'NOT as it should be'}, after {seconds:.0f} s in all.")
    console.print("`make up` starts a stack that stays: it prints the address of Airflow, where the Dags show.")
    raise typer.Exit(0 if ok else 1)


def _say_what_is_left(home: Path) -> None:
    """Say of a demo that did not end well where its logs lie, and that nothing of it runs any more."""
    from genops_events.stack.stack import read_state

    console = human()
    running = [one.name for one in read_state(home).components if one.process is not None and one.process.alive()]
    if running:
        console.print(f"Still running: {', '.join(running)}. Stop it: GENOPS_HOME={home} genops down", markup=False)
    else:
        console.print("Nothing of the demo runs any more.")
    console.print(f"Its logs are in {home / 'logs'}, what it kept in {home}: the next demo removes both.", markup=False)


def shuffle_labels(source: Path, target: Path) -> None:
    """Write the training file `source` to `target` with its answers dealt out at random, always the same way."""
    examples = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    answers = [example["contents"][-1] for example in examples]
    random.Random(SHUFFLE_SEED).shuffle(answers)  # noqa: S311 - not a secret
    for example, answer in zip(examples, answers, strict=True):
        example["contents"][-1] = answer
    target.write_text("".join(json.dumps(example) + "\n" for example in examples), encoding="utf-8")


def _run(uploads: list[_Upload], *, ready_seconds: float) -> bool:
    from genops_events.config import load_config
    from genops_events.config.environment import Settings
    from genops_events.gcp.record_store import RecordStore
    from genops_events.stack.stack import environment, read_state

    console = human()
    point_at(environment(read_state(Settings().home)))
    config = load_config()
    store = RecordStore.open(config)
    ended: list[Candidate] = []
    for one in uploads:
        console.print()
        console.print(f"{one.title}: {one.file.name}", style="bold", markup=False)
        found = _follow(config, store, one.file)
        if found is None or found.state is CandidateState.UNDER_WAY:
            console.print(f"It did not end within {TIMEOUT_SECONDS:.0f} s.")
            return False
        ended.append(found)
    console.print()
    console.print("Summary", style="bold")
    console.print(_summary(ended))
    events = _published(store, expected=sum(len(found.verdicts) for found in ended))
    console.print(f"{len(events)} completion events on projects/{config.project}/topics/{config.topics.completions}:")
    for event in events:
        console.print(f"  {event.attributes['ce-type']:<32} {event.candidate}", markup=False)
    console.print("The first of the champion's answers:")
    for row in _answers(store, ended[0])[:SHOWN_ANSWERS]:
        console.print(f"  {row['prompt']}  ->  {row['answer']}", markup=False)
    console.print(f"The stack was ready after {ready_seconds:.0f} s.")
    complete = len(events) == sum(len(found.verdicts) for found in ended)
    return complete and all(found.state is one.should_end for found, one in zip(ended, uploads, strict=True))


def _answers(store: RecordStore, found: Candidate) -> list[dict[str, Any]]:
    """Return the answers that the candidate left in the bucket; none where it was not promoted."""
    from genops_events.record.paths import answers_path

    if Stage.INFERENCE not in found.verdicts:
        return []
    content = store.bucket.blob(answers_path(found.id)).download_as_bytes(timeout=DOWNLOAD_SECONDS)
    return [json.loads(line) for line in content.splitlines()]


def _published(store: RecordStore, *, expected: int) -> list[Announcement]:
    """Return the published events; the last is published a moment after its verdict is recorded."""
    deadline = time.monotonic() + PUBLISHED_SECONDS
    while True:
        events = [event for _, event in store.announcements(None, skip=set()) if event.published_at is not None]
        if len(events) >= expected or time.monotonic() > deadline:
            return events
        time.sleep(0.2)


def _follow(config: Config, store: RecordStore, file: Path) -> Candidate | None:
    from datetime import UTC, datetime

    from genops_events.cli.watch import follow
    from genops_events.intake.uploads import object_name, upload

    console = human()
    name = object_name(file, config.dataset(DATASET).prefix, now=datetime.now(UTC))
    done = upload(config, file, dataset=DATASET, name=name)
    console.print(f"uploaded    gs://{done.bucket}/{done.object}", markup=False)
    return follow(store, done.candidate, timeout_seconds=TIMEOUT_SECONDS, console=console)


def _summary(ended: list[Candidate]) -> Table:
    from genops_events.cli.terminal import table

    headings = ("candidate", "end", "score", "champion's score", "cost", "upload to end")
    return table(headings, map(_row, ended))


def _row(found: Candidate) -> tuple[str, ...]:
    promotion: dict[str, Any] = found.verdicts[Stage.PROMOTION].figures() if Stage.PROMOTION in found.verdicts else {}
    last = max(verdict.ended_at for verdict in found.verdicts.values())
    return (
        found.id,
        str(found.state),
        _score(promotion.get("score")),
        _score(promotion.get("champion_score")),
        found.cost_text,
        f"{(last - found.arrival.arrived_at).total_seconds():.1f} s",
    )


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _genops(*arguments: str, quiet: bool = False) -> None:
    """Run another command of this program, as a user would."""
    command = [sys.executable, "-m", "genops_events.cli", *arguments]
    output = subprocess.DEVNULL if quiet else None
    done = subprocess.run(command, stdout=output, stderr=output, check=False)
    if done.returncode != 0 and not quiet:
        raise typer.Exit(1)
