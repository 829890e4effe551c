"""What can be seen of a burst from the outside, with official clients alone."""

from __future__ import annotations

import json
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from burst import Uploaded
from chaos_stack import ChaosStack
from google.api_core.exceptions import DeadlineExceeded
from google.cloud import pubsub_v1
from google.cloud.storage import Bucket
from waiting import HANG_SECONDS, QUIET_SECONDS

CANDIDATES = "genops/candidates/"
LAST = {
    "genops.candidate.rejected.v1",
    "genops.promotion.held.v1",
    "genops.inference.completed.v1",
    *(f"genops.{stage}.failed.v1" for stage in ("tuning", "evaluation", "budget", "promotion", "inference")),
}
"""The completion events that end a candidate."""
EVENT_SECONDS = 90.0
PENDING_SECONDS = 120.0


@dataclass
class Folder:
    """What a listing shows of one candidate in the record."""

    written: dict[str, datetime] = field(default_factory=dict)
    """Names below the candidate's folder, and when each was written."""
    published: set[str] = field(default_factory=set)

    @property
    def types(self) -> set[str]:
        """Return the types of the completion events in the outbox: the names are `events/<nn>-<type>.json`."""
        return {
            name.removeprefix("events/").partition("-")[2].removesuffix(".json")
            for name in self.written
            if name.startswith("events/")
        }

    @property
    def ended(self) -> bool:
        """Tell whether it reached an end, and every event is published and marked."""
        events = {name for name in self.written if name.startswith("events/")}
        return bool(self.types & LAST) and events <= self.published

    @property
    def ended_at(self) -> datetime:
        """Return when its last event was written or marked."""
        return max(at for name, at in self.written.items() if name.startswith("events/"))


@dataclass(frozen=True)
class Seen:
    """All that the invariants are held against."""

    uploaded: dict[str, Uploaded]
    """By candidate."""
    folders: dict[str, Folder]
    """Of every candidate of the burst's datasets, also of those that no upload made."""
    found_by: dict[str, str]
    """How the recorded arrivals were found: `notification` or `sweep`."""
    jobs: dict[str, int]
    """How many tuning jobs each candidate has."""
    events: dict[str, list[tuple[str, str]]]
    """Type and id of each completion event, as they came, the repeated ones too."""
    models: dict[str, set[str]] = field(default_factory=dict)
    """Models that Vertex AI has made for each candidate."""
    known_models: dict[str, set[str]] = field(default_factory=dict)
    """Models that each candidate's record names."""
    pending: list[tuple[str, str]] = field(default_factory=list)
    """Partition key and Dag of the rows that no run came of."""
    undelivered: int = 0
    """Messages that the intake's subscription still has; counted only where an arrival is missing."""

    @property
    def returns(self) -> int:
        """How often a sweep let a stage go on whose Dag run had ended without a verdict."""
        return sum("-return-" in name for folder in self.folders.values() for name in folder.written)


def look(stack: ChaosStack, uploaded: Sequence[Uploaded], datasets: Sequence[str]) -> Seen:
    """Look at everything, once what may be on its way has had its time."""
    found = folders(stack.bucket, datasets)
    recorded = [one for one, folder in found.items() if "arrival.json" in folder.written]
    by_candidate = {one.candidate: one for one in uploaded}
    jobs = stack.jobs()
    models = _models(jobs, found)
    return Seen(
        uploaded=by_candidate,
        folders=found,
        found_by={one: str(_arrival(stack.bucket, one)["found_by"]) for one in recorded},
        jobs=Counter(str(job["labels"].get("genops-candidate")) for job in jobs),
        models=models,
        known_models={one: _known_models(stack.bucket, one, found[one]) for one in models},
        events=_events(stack, found),
        pending=_settled(lambda: _pending(stack, datasets), seconds=PENDING_SECONDS),
        undelivered=undelivered(stack) if by_candidate.keys() - set(recorded) else 0,
    )


def folders(bucket: Bucket, datasets: Iterable[str]) -> dict[str, Folder]:
    """Return what the record holds about the candidates of these datasets."""
    found: dict[str, Folder] = defaultdict(Folder)
    fields = "items(name,updated),nextPageToken"
    for name in datasets:
        for blob in bucket.list_blobs(prefix=f"{CANDIDATES}{name}-", fields=fields, timeout=HANG_SECONDS):
            candidate, _, rest = blob.name.removeprefix(CANDIDATES).partition("/")
            found[candidate].written[rest] = blob.updated
            if rest.startswith("published/"):
                found[candidate].published.add(f"events/{rest.removeprefix('published/')}")
    return dict(found)


def until_ended(stack: ChaosStack, uploaded: Sequence[Uploaded], datasets: Sequence[str], *, seconds: float) -> bool:
    """Wait until every upload reached its end; return whether all did in time."""
    expected = {one.candidate for one in uploaded}
    # A listing costs the stand-in some milliseconds per hundred candidates; the machine has other things to do.
    pause = max(2.0, len(expected) / 150)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = folders(stack.bucket, datasets)
        if all(one in found and found[one].ended for one in expected):
            return True
        time.sleep(pause)
    return False


def undelivered(stack: ChaosStack) -> int:
    """Return how many messages the intake's subscription delivers now, up to 1,000; they go back at once."""
    variables = stack.stack.variables
    with pubsub_v1.SubscriberClient() as client:
        path = client.subscription_path(variables["GOOGLE_CLOUD_PROJECT"], "genops-arrivals-intake")
        try:
            answer = client.pull(subscription=path, max_messages=1000, timeout=QUIET_SECONDS, retry=None)
        except DeadlineExceeded:
            return 0
        ids = [one.ack_id for one in answer.received_messages]
        if ids:
            client.modify_ack_deadline(subscription=path, ack_ids=ids, ack_deadline_seconds=0, timeout=HANG_SECONDS)
        return len(ids)


def _models(jobs: Sequence[dict[str, Any]], found: dict[str, Folder]) -> dict[str, set[str]]:
    """Return the models that tuning jobs have made for the candidates of the burst."""
    made: dict[str, set[str]] = defaultdict(set)
    for job in jobs:
        candidate, model = str(job["labels"].get("genops-candidate")), job.get("tunedModel", {}).get("model")
        if candidate in found and model:
            made[candidate].add(str(model))
    return dict(made)


def _known_models(bucket: Bucket, candidate: str, folder: Folder) -> set[str]:
    """Return the models that tuning's verdicts name, those that were set aside included."""
    names = [name for name in folder.written if re.fullmatch(r"tuning(-\d+)?\.json", name)]
    texts = (bucket.blob(f"{CANDIDATES}{candidate}/{name}").download_as_bytes(timeout=60) for name in names)
    return {str(verdict["model"]) for text in texts if (verdict := json.loads(text)).get("model")}


def _arrival(bucket: Bucket, candidate: str) -> dict[str, Any]:
    blob = bucket.blob(f"{CANDIDATES}{candidate}/arrival.json")
    document: dict[str, Any] = json.loads(blob.download_as_bytes(timeout=HANG_SECONDS))
    return document


def _events(stack: ChaosStack, found: dict[str, Folder]) -> dict[str, list[tuple[str, str]]]:
    """Return what the subscriber got, once it has all that the outbox has, or its time is up."""

    def received() -> dict[str, list[tuple[str, str]]]:
        came: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for message in list(stack.completions.messages):
            attributes = message.attributes
            if attributes["ce-subject"] in found:
                came[attributes["ce-subject"]].append((attributes["ce-type"], attributes["ce-id"]))
        return came

    def missing() -> list[str]:
        came = received()
        return [one for one, folder in found.items() if folder.types - {kind for kind, _ in came[one]}]

    _settled(missing, seconds=EVENT_SECONDS)
    return dict(received())


def _pending(stack: ChaosStack, datasets: Sequence[str]) -> list[tuple[str, str]]:
    """Return the keys of partitioned Dags that no run was made of, or whose row is gone without one."""
    keys = [f"{name}-%" for name in datasets]
    rows = stack.query(
        "SELECT partition_key, target_dag_id FROM asset_partition_dag_run"
        " WHERE created_dag_run_id IS NULL AND partition_key LIKE ANY(%s)"
        " UNION SELECT log.target_partition_key, log.target_dag_id FROM partitioned_asset_key_log log"
        " LEFT JOIN asset_partition_dag_run made ON made.id = log.asset_partition_dag_run_id"
        " WHERE made.id IS NULL AND log.target_partition_key LIKE ANY(%s)",
        keys,
        keys,
    )
    return [(str(key), str(dag)) for key, dag in rows]


def _settled(find: Callable[[], list[Any]], *, seconds: float) -> list[Any]:
    """Return what `find` finds, asked again until that is nothing, or the time is up."""
    deadline = time.monotonic() + seconds
    while (found := find()) and time.monotonic() < deadline:
        time.sleep(1)
    return found
