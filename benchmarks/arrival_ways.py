"""The two ways from an upload to a tuning run: ours, and the usual one. Each uploads, and says what became of it."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from benchmarks.airflow_rest import AirflowRest
from benchmarks.arrival_figures import Arrival, Fate, fates
from benchmarks.bench_stack import TRAINING_FILE, dataset_name
from benchmarks.usual_way_setup import PREFIX

if TYPE_CHECKING:
    from genops_events.config import Config

UNFINISHED = ("queued", "running")
BEGUN = ("running", "success", "failed")
FEW_EXAMPLES = 5
"""Under the least that tuning takes: such a file ends its candidate as rejected, before anything is submitted."""


class Way(Protocol):
    """One way from an upload to the tuning run that handles it."""

    name: str

    def send(self, *, whole: bool) -> Arrival:
        """Upload one file: the whole training file, or one that ends as rejected."""

    def look(self, since: datetime) -> tuple[int, int, int]:
        """Return how many events are stored since, how many tuning runs began, and how many runs have not ended."""

    def fates(self, sent: Sequence[Arrival], since: datetime) -> list[Fate]:
        """Return what has become of `sent`."""


class Ours:
    """Ack mode, intake, and a Dag run for each candidate.

    Args:
        config: of the stack; the first dataset takes all uploads.
        rest: its Airflow.
    """

    name = "ours"

    def __init__(self, config: Config, rest: AirflowRest) -> None:
        self._config, self._rest = config, rest
        self._asset = _asset(rest, "training_arrivals")
        self._bucket = _Bucket(config, config.dataset(dataset_name(0)).prefix)

    def send(self, *, whole: bool) -> Arrival:
        """Upload one file under the dataset's prefix; its key is the candidate id."""
        name, generation, at = self._bucket.send(whole=whole)
        return Arrival(self._key(name, generation), at)

    def look(self, since: datetime) -> tuple[int, int, int]:
        """Return events of training_arrivals, tuning runs, and unfinished runs of any of our Dags."""
        return (
            self._rest.event_count(self._asset, since),
            self._rest.run_count("genops_tuning", *BEGUN, since=since),
            self._rest.run_count("genops_", *UNFINISHED),
        )

    def fates(self, sent: Sequence[Arrival], since: datetime) -> list[Fate]:
        """Return what has become of `sent`: a tuning run sees the one candidate that is its partition key."""
        payloads = [event["payload"] for event in self._rest.events(self._asset, since)]
        stored = {self._key(one["object"], one["generation"]) for one in payloads}
        starts = defaultdict(list)
        for run in self._rest.run_starts("genops_tuning", since):
            starts[run.key or ""].append(run.started_at)
        return fates(sent, stored=stored, starts=starts)

    def _key(self, name: str, generation: int) -> str:
        from genops_events.config.identity import candidate_id

        return candidate_id(dataset_name(0), self._config.bucket, name, generation)


class Usual:
    """The provider's trigger as an asset's watcher, and a Dag scheduled on that asset.

    Args:
        config: of the stack.
        rest: its Airflow.
    """

    name = "the usual way"

    def __init__(self, config: Config, rest: AirflowRest) -> None:
        self._rest = rest
        self._asset = _asset(rest, "usual_way_arrivals")
        self._bucket = _Bucket(config, PREFIX)

    def send(self, *, whole: bool) -> Arrival:
        """Upload one file under the prefix of the usual way; its key is name and generation."""
        name, generation, at = self._bucket.send(whole=whole)
        return Arrival(f"{name}#{generation}", at)

    def look(self, since: datetime) -> tuple[int, int, int]:
        """Return events of the watched asset, tuning runs, and those of them that have not ended."""
        return (
            self._rest.event_count(self._asset, since),
            self._rest.run_count("usual_way_tuning", *BEGUN, since=since),
            self._rest.run_count("usual_way_tuning", *UNFINISHED),
        )

    def fates(self, sent: Sequence[Arrival], since: datetime) -> list[Fate]:
        """Return what has become of `sent`: a tuning run sees every message in the asset events that it consumed."""
        stored = {key for extra in self._rest.events(self._asset, since) for key in _messages(extra)}
        starts = defaultdict(list)
        for run in self._rest.run_starts("usual_way_tuning", since):
            for extra in self._rest.events_consumed("usual_way_tuning", run.run_id):
                for key in _messages(extra):
                    starts[key].append(run.started_at)
        return fates(sent, stored=stored, starts=starts)


def send_all(way: Way, number: int, *, whole: bool, senders: int) -> list[Arrival]:
    """Upload so many files at once."""
    with ThreadPoolExecutor(min(number, senders)) as pool:
        return list(pool.map(lambda _: way.send(whole=whole), range(number)))


class _Bucket:
    """Uploads under one prefix; every object has a name of its own."""

    def __init__(self, config: Config, prefix: str) -> None:
        from genops_events.gcp.clients import storage_client

        self._bucket = storage_client(config).bucket(config.bucket)
        self._prefix = prefix
        self._numbers: Iterator[int] = itertools.count()
        self._whole = TRAINING_FILE.read_bytes()
        self._few = b"".join(self._whole.splitlines(keepends=True)[:FEW_EXAMPLES])

    def send(self, *, whole: bool) -> tuple[str, int, datetime]:
        """Upload a file; return its name, its generation, and when Cloud Storage says that it was finalized."""
        from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS

        name = f"{self._prefix}{next(self._numbers):06}.jsonl"
        blob = self._bucket.blob(name)
        blob.upload_from_string(
            self._whole if whole else self._few, content_type="application/jsonl", timeout=CALL_TIMEOUT_SECONDS
        )
        return name, int(blob.generation), blob.time_created


def _asset(rest: AirflowRest, name: str) -> int:
    number = rest.asset_id(name)
    if number is None:
        raise LookupError(f"Airflow does not know the asset {name}: see the log of the Dag processor.")
    return number


def _messages(extra: dict[str, Any]) -> Iterator[str]:
    """Yield the keys of the objects that the provider's event carries."""
    for received in extra["payload"]["message"]:
        attributes = received["message"]["attributes"]
        yield f"{attributes['objectId']}#{attributes['objectGeneration']}"
