"""Bursts of uploads by google-cloud-storage alone, with times, sizes and contents from one seed."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

from google.api_core.exceptions import GoogleAPIError, PreconditionFailed
from google.cloud.storage import Bucket
from requests.exceptions import RequestException
from running_stack import TRAIN
from waiting import HANG_SECONDS

from genops_events.config.identity import candidate_id

UPLOADERS = 8
FULL_EXAMPLES = (20, 60)
"""Enough for tuning, and few enough for a laptop."""
SHORT_EXAMPLES = (1, 5)
"""Fewer than any model is tuned on: rejected before anything is spent."""
UPLOAD_TRIES = 40


@dataclass(frozen=True, slots=True)
class Planned:
    """An upload to come."""

    dataset: str
    object: str
    at_seconds: float
    """From the start of the burst."""
    full: bool
    """Whether it is a complete training file, which goes the whole way."""
    content: bytes
    overwrites: bool = False
    """Whether it may write over an object of that name."""


@dataclass(frozen=True, slots=True)
class Uploaded:
    """A generation that Cloud Storage has acknowledged."""

    candidate: str
    object: str
    generation: int
    full: bool
    at: datetime


class Burst:
    """Uploads in the background, while the caller does harm.

    Args:
        bucket: where to; each thread of the burst uses it.
        plan: what to upload, and when.
    """

    def __init__(self, bucket: Bucket, plan: Sequence[Planned]) -> None:
        self._bucket = bucket
        self._plan = sorted(plan, key=lambda one: one.at_seconds)
        self.began = time.monotonic()
        self._lock = threading.Lock()
        self.uploaded: list[Uploaded] = []
        self._pool = ThreadPoolExecutor(UPLOADERS, thread_name_prefix="burst")
        self._waiting = iter(self._plan)
        self._ended = [self._pool.submit(self._work) for _ in range(min(UPLOADERS, len(self._plan)))]

    def result(self) -> list[Uploaded]:
        """Wait for the last upload; return all of them. Raises what an upload raised."""
        with self._pool:
            for one in self._ended:
                one.result()
        return self.uploaded

    def _work(self) -> None:
        while True:
            with self._lock:
                one = next(self._waiting, None)
            if one is None:
                return
            time.sleep(max(0.0, self.began + one.at_seconds - time.monotonic()))
            generation = self._upload(one)
            done = Uploaded(
                candidate=candidate_id(one.dataset, self._bucket.name, one.object, generation),
                object=one.object,
                generation=generation,
                full=one.full,
                at=datetime.now(UTC),
            )
            with self._lock:
                self.uploaded.append(done)

    def _upload(self, one: Planned) -> int:
        """Upload once, however often that takes: a try whose answer was lost must not become a second generation."""
        blob = self._bucket.blob(one.object)
        condition = {} if one.overwrites else {"if_generation_match": 0}
        for attempt in range(UPLOAD_TRIES):
            try:
                blob.upload_from_string(
                    one.content, content_type="application/jsonl", timeout=HANG_SECONDS, **condition
                )
            except PreconditionFailed:
                blob.reload(timeout=HANG_SECONDS)
            except (GoogleAPIError, RequestException):
                if one.overwrites or attempt == UPLOAD_TRIES - 1:
                    raise
                time.sleep(1)
                continue
            return int(blob.generation)
        raise AssertionError("unreachable")


class Contents:
    """Training files of any length, drawn from the example."""

    def __init__(self, generator: random.Random) -> None:
        self._generator = generator
        self._lines = TRAIN.read_text().splitlines()

    def file(self, *, full: bool) -> bytes:
        """Return a training file that is tuned on, or one that is too short for it."""
        least, most = FULL_EXAMPLES if full else SHORT_EXAMPLES
        chosen = self._generator.sample(self._lines, self._generator.randint(least, most))
        return "".join(f"{line}\n" for line in chosen).encode()


def mixed(
    generator: random.Random, datasets: Sequence[str], *, uploads: int, seconds: float, full_share: float
) -> list[Planned]:
    """Return a burst at random times, of which `full_share` goes the whole way."""
    contents = Contents(generator)
    full = [number < round(uploads * full_share) for number in range(uploads)]
    generator.shuffle(full)
    plan = []
    for number, is_full in enumerate(full):
        dataset = generator.choice(datasets)
        plan.append(
            Planned(
                dataset=dataset,
                object=f"training/{dataset}/{number:04}.jsonl",
                at_seconds=generator.uniform(0, seconds),
                full=is_full,
                content=contents.file(full=is_full),
            )
        )
    return plan


def overwritten(
    generator: random.Random, dataset: str, *, objects: int, times: int, seconds: float
) -> Iterator[Planned]:
    """Yield `times` generations of each of `objects` objects within `seconds`; the objects come one after the other."""
    contents = Contents(generator)
    for number in range(objects):
        for turn in range(times):
            yield Planned(
                dataset=dataset,
                object=f"training/{dataset}/overwritten-{number}.jsonl",
                at_seconds=number * 2 * seconds + turn * seconds / times,
                full=True,
                content=contents.file(full=True),
                overwrites=True,
            )
