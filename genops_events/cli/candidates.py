"""`genops upload`, `candidates` and `events`: put files in, and list what became of them."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genops_events.cli.console import errors_reported, human, print_json, warn_of_models
from genops_events.cli.dead_letters import dead_letters_noted
from genops_events.cli.target import connect
from genops_events.reading.printable import printable_json
from genops_events.record.stages import Stage

if TYPE_CHECKING:
    from rich.table import Table

    from genops_events.gcp.record_store import RecordStore
    from genops_events.record.candidates import Candidate
    from genops_events.record.document import Announcement
    from genops_events.record.verdicts import Verdict

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON to standard output.")]
FOLLOW_SECONDS = 1.0


class Role(StrEnum):
    """What a file is for."""

    TRAINING = "training"
    EVALUATION = "evaluation"
    PROMPTS = "prompts"


def upload(
    file: Annotated[Path, typer.Argument(help="A JSONL file.")],
    dataset: Annotated[str, typer.Option(help="The dataset of genops.yaml that the file is for.")],
    role: Annotated[
        Role, typer.Option("--as", help="`training` starts the cascade; the others replace the dataset's file.")
    ] = Role.TRAINING,
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """Upload a training file and print the candidate that it becomes."""
    from genops_events.doctor.model_notices import models_of
    from genops_events.intake.uploads import object_name
    from genops_events.intake.uploads import upload as write

    with errors_reported():
        config = connect()
        entry = config.dataset(dataset)
        warn_of_models(config.catalogue, models_of(config, dataset=dataset))
        name = {
            Role.TRAINING: object_name(file, entry.prefix, now=datetime.now(UTC)),
            Role.EVALUATION: entry.evaluation.file,
            Role.PROMPTS: entry.inference.prompts,
        }[role]
        done = write(config, file, dataset=dataset, name=name)
    where = f"gs://{done.bucket}/{done.object}"
    if role is not Role.TRAINING:
        human().print(f"Uploaded {where}; candidates of {dataset} use it from now on.", markup=False)
        if as_json:
            print_json({"bucket": done.bucket, "object": done.object, "generation": done.generation})
        return
    if as_json:
        print_json(dataclasses.asdict(done))
        return
    human().print(f"Uploaded {where}. Follow it with: genops watch {done.candidate}", markup=False)
    typer.echo(done.candidate)


def candidates(
    dataset: Annotated[str | None, typer.Option(help="Only those of this dataset.")] = None,
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """List the candidates: where each stands, what it scored and cost."""
    from genops_events.cascade.candidate_reader import read_candidates
    from genops_events.gcp.record_store import RecordStore

    with errors_reported():
        config = connect()
        if dataset is not None:
            config.dataset(dataset)
        with dead_letters_noted(config):
            bad: list[str] = []
            every = read_candidates(
                RecordStore.open(config), unreadable=lambda name, error: bad.append(f"{name}: {error}")
            )
            _show([one for one in every if dataset is None or one.arrival.dataset == dataset], as_json=as_json)
            for text in bad:
                human().print(f"cannot be read: {text}", markup=False)


def _show(found: list[Candidate], *, as_json: bool) -> None:
    found.sort(key=lambda one: one.arrival.arrived_at)
    if as_json:
        print_json([one.to_json() for one in found])
        return
    if not found:
        human().print("No candidates yet. Begin with: genops upload FILE --dataset NAME", markup=False)
        return
    human().print(shown(found))


def shown(found: list[Candidate]) -> Table:
    """Return candidates as a table: a line each."""
    from genops_events.cli.terminal import table

    headings = ("candidate", "arrived", "state", "stage", "cost", "reason")
    return table(headings, map(_row, found), wraps=("reason",))


def _row(one: Candidate) -> tuple[str, ...]:
    last = max(one.verdicts.values(), key=lambda verdict: verdict.ended_at, default=None)
    stage = _telling_stage(one, last)
    star = " (champion)" if one.champion == one.id else ""
    return (
        one.id,
        f"{one.arrival.arrived_at:%Y-%m-%d %H:%M:%S}",
        f"{one.state}{' (held)' if one.holds else ''}{star}",
        str(stage or "-"),
        one.cost_text,
        one.explained(stage) if stage is not None else "",
    )


def _telling_stage(one: Candidate, last: Verdict | None) -> Stage | None:
    """Return the stage whose reason says where the candidate stands."""
    if one.holds:  # whatever else is going on, a person has to do something
        return next(iter(one.holds))
    if one.question is not None:
        return Stage.PROMOTION
    if last is not None:
        return last.stage
    # Tuning alone has more to say than that it is under way.
    return Stage.TUNING if one.explained(Stage.TUNING) else None


def events(
    candidate: Annotated[str | None, typer.Option(help="Only those of this candidate.")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with new ones until Ctrl-C.")] = False,  # noqa: FBT002
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """List the completion events, as the record has them; with --json one per line."""
    from genops_events.gcp.record_store import RecordStore

    with errors_reported():
        store = RecordStore.open(connect())
        seen: set[str] = set()
        while True:
            for path, event in store.announcements(candidate, skip=seen):
                seen.add(path)
                _print_event(store, path, event, as_json=as_json)
            if not follow:
                break
            try:
                time.sleep(FOLLOW_SECONDS)
            except KeyboardInterrupt:
                break
    if not seen:
        human().print("No completion events yet.", markup=False)


def _print_event(store: RecordStore, path: str, event: Announcement, *, as_json: bool) -> None:
    attributes = {name.removeprefix("ce-"): value for name, value in event.attributes.items()}
    attributes["datacontenttype"] = attributes.pop("content-type")
    if as_json:
        published = None if event.published_at is None else event.published_at.isoformat()
        note = store.publication(path)  # an older version has it in the event
        message = event.message_id if note is None else note.message_id
        document = {**attributes, "data": event.data, "published_at": published, "message_id": message}
        sys.stdout.write(printable_json(json.dumps(document, ensure_ascii=False)) + "\n")
        sys.stdout.flush()
        return
    pending = "" if event.published_at is not None else "  (not published yet)"
    line = (
        f"{attributes['time'][:19]}  {attributes['type']:<34}  {attributes['subject']}  {event.data['reason']}{pending}"
    )
    human().print(line, markup=False)
