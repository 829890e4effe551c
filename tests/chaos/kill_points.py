"""Stop the process of a candidate's `tune` task between intent, create and record, each time at a point that is checked."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psutil
from burst import Burst, Contents, Planned, Uploaded
from chaos_stack import FURTHER, JOB_SECONDS, ChaosStack
from faults import WORKER
from waiting import HANG_SECONDS, Patience, until

from genops_events.stack.processes import session_members

LOOK_SECONDS = 0.03
SENT_SECONDS = 0.5
"""From the connection to Vertex AI until the request is surely on its way."""
CREATE = "tuningJobs.create"
TRIES = 3


@dataclass
class Victim:
    """A candidate whose task has been stopped at a point."""

    candidate: str
    process: psutil.Process
    """The task's own, below the executor's."""

    def kill(self) -> datetime:
        """Kill -9 the task's process; return when."""
        self.process.kill()
        return datetime.now(UTC)

    def is_dead(self) -> bool:
        """Tell whether the task's process does nothing any more."""
        try:
            return self.process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True


@dataclass
class Field:
    """Where it happens: uploads, processes, and what the record holds."""

    stack: ChaosStack
    dataset: str
    generator: random.Random
    uploaded: list[Uploaded] = field(default_factory=list)

    def upload(self, number: int, *, dataset: str | None = None) -> list[str]:
        """Upload files that go the whole way, all at once; return their candidates."""
        contents, name = Contents(self.generator), dataset or self.dataset
        begin = len(self.uploaded)
        plan = [
            Planned(name, f"training/{name}/{begin + one:04}.jsonl", 0.0, full=True, content=contents.file(full=True))
            for one in range(number)
        ]
        these = Burst(self.stack.bucket, plan).result()
        self.uploaded += these
        return [one.candidate for one in these]

    def written(self, candidate: str) -> set[str]:
        """Return the names below the candidate's folder in the record."""
        prefix = f"genops/candidates/{candidate}/"
        listing = self.stack.bucket.list_blobs(prefix=prefix, fields="items(name),nextPageToken", timeout=HANG_SECONDS)
        return {blob.name.removeprefix(prefix) for blob in listing}

    def jobs(self, candidate: str) -> int:
        """Return how many tuning jobs the stand-in has of the candidate."""
        return sum(job["labels"].get("genops-candidate") == candidate for job in self.stack.jobs())

    def state(self, candidate: str) -> str | None:
        """Return the state of the candidate's `tune` task."""
        rows = self._task(candidate)
        return rows[0][1] if rows else None

    def process(self, candidate: str) -> psutil.Process | None:
        """Return the process of the candidate's `tune` task, None while there is none."""
        worker = self.worker(candidate)
        with contextlib.suppress(psutil.Error):
            return None if worker is None else next(iter(worker.children()), None)
        return None

    def worker(self, candidate: str) -> psutil.Process | None:
        """Return the executor's process that watches over the candidate's `tune` task."""
        rows = self._task(candidate)
        if not rows or rows[0][1] != "running":
            return None
        scheduler = self.stack.component("scheduler").process
        for pid in [] if scheduler is None else session_members(scheduler.pid):
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(pid)
                title = " ".join(process.cmdline())
                if title.startswith(WORKER) and rows[0][0] in title and process.children():
                    return process
        return None

    def calls_vertex(self, process: psutil.Process) -> bool:
        """Tell whether a process has a connection to Vertex AI's stand-in."""
        port = self.stack.state().ports["vertex"]
        with contextlib.suppress(psutil.Error):
            connections = process.net_connections(kind="tcp")
            return any(one.raddr and one.raddr.port == port and one.status == "ESTABLISHED" for one in connections)
        return False

    def _task(self, candidate: str) -> list[tuple[str, str | None]]:
        sql = (
            "SELECT ti.id::text, ti.state FROM task_instance ti JOIN dag_run dr USING (dag_id, run_id)"
            " WHERE dag_id = 'genops_tuning' AND task_id = 'tune' AND dr.partition_key = %s"
        )
        return [(str(one), state) for one, state in self.stack.query(sql, candidate)]

    def vertex(self, **faults: Any) -> None:
        """Put faults in force at Vertex AI's stand-in."""
        self.stack.set_faults("vertex", job_seconds=JOB_SECONDS, **faults)


Reached = Callable[[str, psutil.Process], bool]
Bring = Callable[[Field, Sequence[str]], Iterator[Victim]]


@dataclass(frozen=True)
class Point:
    """A moment in a task's life, how to stop a task there, and what tells that it is there."""

    words: str
    bring: Bring
    there: Callable[[Field, str], bool]
    """Looked at while the process stands still."""
    dataset: str | None = None


def stop_at(field_: Field, point: Point, number: int) -> list[Victim]:
    """Return `number` candidates whose tasks stand still at `point`; one that went past it goes on, and another is taken."""
    victims: list[Victim] = []
    for _ in range(TRIES):
        candidates = field_.upload(number - len(victims), dataset=point.dataset)
        try:
            for one in point.bring(field_, candidates):
                if point.there(field_, one.candidate):
                    victims.append(one)
                else:
                    one.process.resume()
        finally:
            field_.stack.no_faults()
        if len(victims) == number:
            return victims
    raise AssertionError(f"not {number} tasks stopped {point.words}, in {TRIES} tries")


def _stopped(field_: Field, candidates: Sequence[str], reached: Reached) -> Iterator[Victim]:
    """Stop each candidate's process as soon as it has `reached` something, and yield it."""
    left = dict.fromkeys(candidates)
    found: dict[str, psutil.Process] = {}
    patience = Patience()
    while left:
        patience.spend(f"{sorted(left)} stand there")
        for candidate in [*left]:
            process = found.get(candidate) or field_.process(candidate)
            if process is None:
                continue
            found[candidate] = process
            if reached(candidate, process):
                process.suspend()
                del left[candidate]
                yield Victim(candidate, process)
        time.sleep(LOOK_SECONDS)


def _until_calling(field_: Field, candidates: Sequence[str]) -> None:
    """Return when every candidate's task is in its create call, which is delayed."""

    def calling(candidate: str) -> bool:
        process = field_.process(candidate)
        noted = "tuning-attempt.json" in field_.written(candidate)
        return noted and process is not None and field_.calls_vertex(process)

    until(lambda: all(map(calling, candidates)), what=f"the calls of {candidates}")
    time.sleep(SENT_SECONDS)


def _after_the_intent(field_: Field, candidates: Sequence[str]) -> Iterator[Victim]:
    field_.vertex(delay_methods_seconds={"tuningJobs.list": 6.0})
    yield from _stopped(field_, candidates, lambda one, _: "tuning-intent.json" in field_.written(one))


def _after_the_attempt(field_: Field, candidates: Sequence[str]) -> Iterator[Victim]:
    # Between the note and the call the task reads whether it was cancelled: that takes long enough to see the note.
    field_.vertex(delay_methods_seconds={"tuningJobs.list": 6.0})
    names = field_.written
    until(
        lambda: all("tuning-intent.json" in names(one) for one in candidates),
        what="the intents",
    )
    field_.stack.set_faults("storage", delay_seconds=2.0, error_methods=["objects.get"])
    yield from _stopped(field_, candidates, lambda one, _: "tuning-attempt.json" in names(one))


def _in_the_call(field_: Field, candidates: Sequence[str]) -> Iterator[Victim]:
    field_.vertex(delay_methods_seconds={CREATE: 45.0})
    _until_calling(field_, candidates)
    yield from _stopped(field_, candidates, lambda *_: True)


def _before_the_answer(field_: Field, candidates: Sequence[str]) -> Iterator[Victim]:
    field_.vertex(delay_answers_seconds=15.0, error_methods=[CREATE])
    yield from _stopped(field_, candidates, lambda one, _: field_.jobs(one) > 0)


def _before_the_record(field_: Field, candidates: Sequence[str]) -> Iterator[Victim]:
    field_.vertex(delay_methods_seconds={CREATE: 10.0})
    _until_calling(field_, candidates)
    field_.stack.set_faults("storage", error_share=1.0, error_methods=["objects.insert"])
    # The connection is closed as soon as the answer is there.
    yield from _stopped(
        field_, candidates, lambda one, process: field_.jobs(one) > 0 and not field_.calls_vertex(process)
    )


def _before_the_deferral(field_: Field, candidates: Sequence[str]) -> Iterator[Victim]:
    field_.vertex(delay_methods_seconds={CREATE: 10.0})
    _until_calling(field_, candidates)
    # After the record the task looks whether somebody wants the job cancelled.
    field_.stack.set_faults("storage", delay_seconds=3.0, error_methods=["objects.get"])
    yield from _stopped(field_, candidates, lambda one, _: "tuning-job.json" in field_.written(one))


def _stands(attempt: bool, job: int, record: bool) -> Callable[[Field, str], bool]:  # noqa: FBT001 - read as a row
    """Return what tells that exactly this much is there, and the task still runs."""

    def there(field_: Field, candidate: str) -> bool:
        names = field_.written(candidate)
        return (
            "tuning-intent.json" in names
            and ("tuning-attempt.json" in names) is attempt
            and field_.jobs(candidate) == job
            and ("tuning-job.json" in names) is record
            and field_.state(candidate) == "running"
        )

    return there


INTENT = Point("after the intent, before the attempt", _after_the_intent, _stands(False, 0, False))
ATTEMPT = Point("attempt noted, call not sent", _after_the_attempt, _stands(True, 0, False), dataset=FURTHER)
SENT = Point("call sent, not applied yet", _in_the_call, _stands(True, 0, False))
APPLIED = Point("applied, answer not received", _before_the_answer, _stands(True, 1, False))
ANSWERED = Point("answered, not recorded", _before_the_record, _stands(True, 1, False))
RECORDED = Point("recorded, not deferred", _before_the_deferral, _stands(True, 1, True))
DEFERRING = Point("deferral sent, not answered", _before_the_deferral, _stands(True, 1, True))


@contextlib.contextmanager
def standing_still(stack: ChaosStack, name: str) -> Iterator[None]:
    """Stop a component with all its processes for a while."""
    process = stack.component(name).process
    assert process is not None
    members = session_members(process.pid)
    for pid in members:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def kill_with_all_its_processes(stack: ChaosStack, name: str) -> datetime:
    """Kill -9 a component with its workers and their tasks; return when."""
    process = stack.component(name).process
    assert process is not None
    members = [process.pid, *session_members(process.pid)]
    for pid in list(members):
        with contextlib.suppress(psutil.NoSuchProcess):
            members += [one.pid for one in psutil.Process(pid).children(recursive=True)]
    for pid in dict.fromkeys(members):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return datetime.now(UTC)


def labelled_jobs(stack: ChaosStack, candidate: str) -> int:
    """Return how many tuning jobs of the project have the candidate's label: asked with google-genai, as a user would."""
    from google import genai
    from google.genai import types
    from google.oauth2.credentials import Credentials

    variables = stack.stack.variables
    with genai.Client(
        vertexai=True,
        project=variables["GOOGLE_CLOUD_PROJECT"],
        location="us-central1",
        credentials=Credentials("local"),
        http_options=types.HttpOptions(base_url=variables["GOOGLE_VERTEX_BASE_URL"]),
    ) as client:
        wanted = types.ListTuningJobsConfig(filter=f'labels.genops-candidate="{candidate}"')
        return sum(1 for _ in client.tunings.list(config=wanted))
