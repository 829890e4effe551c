"""Answer prompts online: as fast as the quotas allow, each row once even after a crash, in bounded memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from genops_events.errors import GenopsError
from genops_events.gcp.errors import CloudRefused, CloudUnavailable, first_error
from genops_events.gemini.calls import AllRefused, CacheLost, Connection, Retries, is_cache_lost, is_the_rows_fault
from genops_events.gemini.kept import PART_ROWS, KeptRows, RowWriter, pending
from genops_events.gemini.pace import Pace
from genops_events.gemini.prompts import BadRow, PromptRow, in_chunks
from genops_events.gemini.replies import Reply, Totals, UnreadableReply, read_reply
from genops_events.gemini.requests import CannotAsk, Requests

if TYPE_CHECKING:
    from genops_events.config import Config

ANSWER_SECONDS = 8.0
"""Mean seconds per answer up to which the whole quota is used: the number of concurrent calls follows from it."""
MOST_AT_ONCE = 1000
LEAST_AT_ONCE = 16
MOST_BYTES = 32 * 1024 * 1024
"""Bytes of all prompts under way together; a longer prompt is sent alone."""
SPREAD = 4096
"""Most rows between a row under way and the oldest unfinished one: reading back sorts so many in memory."""
PROGRESS_SECONDS = 2.0
ROWS_READ_AT_ONCE = 64
ALL_REFUSED = 1000
"""Refusals without a single answer after which the run stops: a setting is wrong, and not a row. Refusals are not billed."""
_FIRST_GUESS_TOKENS = 256
OTHERS_ANSWERED = 10
"""A row counts as the cause of its errors if more than so many rows were answered for each row in trouble since it began."""
_BROKEN = (500, 504, None)
"""HTTP status of a prompt that the service cannot answer; None where no answer came in time."""

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Respondent:
    """A model, and how it is asked."""

    model: str
    """A publisher's model, or the endpoint of a tuned one."""
    requests: Requests
    name: str
    """Name of the model in the answers."""
    base_model: str = ""
    """The published model that it is, or was tuned from: the quota is that model's. Empty where it is not known."""
    settings: str | None = None
    """`Requests.asked_as`; set where the same file may have answers that were asked for with other settings."""


@dataclass(frozen=True, slots=True)
class CallCounts:
    """Number of calls of one run."""

    asked: int
    """All tries."""
    again: int
    """Tries after the first of a row."""
    refused_for_quota: int
    at_once: int
    """Most rows that were under way at a time: asked or answered, and not kept yet."""


def kept_answer(row: PromptRow, reply: Reply, *, model: str, settings: str | None = None) -> bytes:
    """Return the JSON line of an answered row, both for the parts and for the file of answers.

    Args:
        row: the prompt.
        reply: its answer.
        model: name of the model that answered.
        settings: of the `Respondent`.
    """
    asked: dict[str, Any] = {"contents": row.contents} if row.prompt is None else {"prompt": row.prompt}
    with_settings = {} if settings is None else {"settings": settings}
    head = {"number": row.number, "line": row.line, "id": row.id, **asked, "model": model, **with_settings}
    return _encode(head | reply.to_json())


def kept_failure(row: PromptRow | BadRow, reason: str) -> bytes:
    """Return the JSON line of a row without an answer, both for the parts and for the file of failures."""
    failed: dict[str, Any] = {"number": row.number, "line": row.line, "id": row.id, "reason": reason}
    if isinstance(row, BadRow):
        return _encode(failed | ({"found": row.found} if row.found else {}))
    return _encode(failed | ({"contents": row.contents} if row.prompt is None else {"prompt": row.prompt}))


def answer_online(
    config: Config,
    *,
    model: str,
    rows: Iterator[PromptRow | BadRow],
    requests: Requests,
    kept: KeptRows,
    pace: Pace,
    on_progress: Callable[[Totals], None] = lambda _: None,
    name: str = "",
    at_once: int | None = None,
) -> CallCounts:
    """Answer every row that has no kept result; return when all are kept, answered or failed.

    Args:
        config: project and location.
        model: a publisher's model, or the endpoint of a tuned one.
        rows: of the prompt file; read as they are needed, in threads, never two at a time.
        requests: makes the request of each row.
        kept: where finished rows are written.
        pace: the quotas, shared with other processes or not.
        on_progress: called every two seconds with the numbers of answered and failed rows; may block.
        name: of the model in the answers; `model` where empty.
        at_once: most calls at a time; None to derive it from the quota of calls.

    Raises:
        CloudUnavailable: calls fail after their retries, and the row is not the cause. Finished rows are kept.
        CloudRefused: a call can never succeed, and the row is not the cause.
        AllRefused: the first `ALL_REFUSED` rows were all refused.
        CacheLost: the context cache of `requests` cannot be used any more. Finished rows are kept; no row is failed by it.
    """
    run = OnlineRun(
        config,
        Respondent(model, requests, name=name or model),
        kept=kept,
        pace=pace,
        at_once=at_once or calls_at_once(pace.requests_per_minute),
    )
    asyncio.run(_answer_and_report(run, pace, pending(rows, kept.in_order(), run.count_kept), on_progress))
    return run.call_counts


async def _answer_and_report(
    run: OnlineRun, pace: Pace, rows: Iterator[PromptRow | BadRow], on_progress: Callable[[Totals], None]
) -> None:
    async def report_on() -> None:
        while True:
            await asyncio.sleep(PROGRESS_SECONDS)
            with suppress(GenopsError):  # no decision depends on progress, and the next report is newer
                await asyncio.to_thread(on_progress, run.totals)

    with first_error():
        async with pace, asyncio.TaskGroup() as group:
            reporting = group.create_task(report_on())
            await run.answer(rows)
            reporting.cancel()


def calls_at_once(requests_per_minute: int | None) -> int:
    """Return how many concurrent calls use a whole quota, at `ANSWER_SECONDS` per answer; `requests_per_minute` None: no quota."""
    if requests_per_minute is None:
        return MOST_AT_ONCE
    return round(min(MOST_AT_ONCE, max(LEAST_AT_ONCE, requests_per_minute / 60 * ANSWER_SECONDS)))


class OnlineRun:
    """One model's run over some rows. A row is under way from its dispatch until its result is kept.

    Args:
        config: project and location.
        respondent: the model, and how it is asked.
        kept: where finished rows are written.
        pace: lets calls begin; the caller enters and leaves it around the run.
        at_once: most calls at a time.
        on_done: called with each row that this run finishes, and with its answer or the reason why there is none.
    """

    def __init__(
        self,
        config: Config,
        respondent: Respondent,
        *,
        kept: KeptRows,
        pace: Pace,
        at_once: int,
        on_done: Callable[[PromptRow | BadRow, Reply | str], None] = lambda *_: None,
    ) -> None:
        self._respondent = respondent
        self._pace = pace
        self._retries = Retries(pace.hold_back)
        # More than `at_once`: rows that are answered and not kept yet must not delay new calls.
        self._window = _Window(2 * at_once + 4 * PART_ROWS)
        self._row_writer = RowWriter(kept, on_kept=self._window.leave, on_failure=self.stop)
        self._slots = asyncio.Semaphore(at_once)
        self._connection = Connection(config, at_once=at_once)
        self._on_done = on_done
        self._now = Totals()
        self.before = Totals()
        """Rows that earlier runs have kept."""
        self._error: GenopsError | None = None
        self._asked = 0
        self._refusals = 0
        self._mean_output = float(_FIRST_GUESS_TOKENS)
        self._in_trouble: set[int] = set()
        """Rows under way with at least one failed try."""

    @property
    def call_counts(self) -> CallCounts:
        """Number of calls so far."""
        return CallCounts(
            self._asked + self._retries.again, self._retries.again, self._retries.refused_for_quota, self._window.most
        )

    @property
    def totals(self) -> Totals:
        """Numbers of answered and failed rows, earlier runs included."""
        return self.before + self._now

    def count_kept(self, content: bytes) -> None:
        """Count a row that an earlier run has kept; may be called from any thread, but not concurrently."""
        answered = "answer" in msgspec.json.decode(content)
        self.before.rows += 1
        self.before.answered += answered
        self.before.failed += not answered

    def stop(self, error: GenopsError) -> None:
        """Start no further call; calls under way are paid for and are awaited. `answer` raises the first error."""
        self._error = self._error or error
        self._window.open_for_good()

    async def answer(self, rows: Iterator[PromptRow | BadRow]) -> None:
        """Answer rows; return when all of them are kept, answered or failed.

        Args:
            rows: those without a kept result; read as they are needed, in threads, never two at a time.

        Raises:
            CloudUnavailable, CloudRefused, AllRefused, CacheLost: as `answer_online`.
        """
        async with self._connection, self._row_writer:
            with first_error():
                async with asyncio.TaskGroup() as calls:
                    try:
                        await self._let_in(calls, rows)
                    except GenopsError as error:
                        self.stop(error)
        if self._error is not None:
            raise self._error

    async def _let_in(self, calls: asyncio.TaskGroup, rows: Iterator[PromptRow | BadRow]) -> None:
        url = self._connection.url_of(self._respondent.model, "generateContent")
        async for row in _in_threads(rows):
            await self._window.enter(row.number, 0 if isinstance(row, BadRow) else row.size_bytes)
            if self._error is not None:
                return
            if isinstance(row, BadRow):
                self._failed(row, row.reason)
                continue
            try:
                body = self._respondent.requests.body(row)
            except CannotAsk as error:
                self._failed(row, f"{error}.")
                continue
            tokens = round(row.size_bytes / 4 + self._mean_output)
            await self._slots.acquire()  # so that a connection is free: waiting for one in aiohttp costs more
            await self._pace.begin(tokens)
            calls.create_task(self._ask(row, _encode(body), url, tokens))

    async def _ask(self, row: PromptRow, body: bytes, url: str, tokens: int) -> None:
        self._asked += 1
        answered_before = self._now.answered
        seconds = 0.0

        async def post() -> bytes:
            nonlocal seconds
            began = time.monotonic()
            content = await self._connection.post(url, body, what=f"ask {self._respondent.model}")
            seconds = time.monotonic() - began
            return content

        async def before_again() -> None:
            self._in_trouble.add(row.number)
            await self._pace.begin(tokens)

        try:
            reply = read_reply(await self._retries.call(post, before_again=before_again), seconds=round(seconds, 3))
        except CloudRefused as error:
            if self._respondent.requests.cache is not None and is_cache_lost(error):
                self.stop(CacheLost(error.message, error.hint))
                return
            if not is_the_rows_fault(error, has_files=row.has_files):
                self.stop(error)
                return
            self._failed(row, error.message)
            self._refused(error)
        except CloudUnavailable as error:
            # Where nearly all other rows were answered since, this row is the cause of its errors, and not the service.
            others = len(self._in_trouble - {row.number})
            is_well = self._error is None and self._now.answered - answered_before > OTHERS_ANSWERED * others
            if is_well and error.status in _BROKEN:
                self._failed(row, error.message)
            else:
                self.stop(error)
        except UnreadableReply as error:
            self._failed(row, f"{error}.")
        else:
            used = reply.input_tokens + reply.output_tokens
            self._pace.used(used, estimated=tokens)
            self._mean_output += (reply.output_tokens - self._mean_output) / 20
            self._answered(row, reply)
        finally:
            self._in_trouble.discard(row.number)
            self._slots.release()

    def _refused(self, error: CloudRefused) -> None:
        self._refusals += 1
        if self.totals.answered == 0 and self._refusals >= ALL_REFUSED:
            self.stop(
                AllRefused(
                    f"Vertex AI refused the first {ALL_REFUSED:,} prompts, all of them. {error.message}",
                    "Check `inference` of the dataset in genops.yaml, and the prompt file.",
                )
            )

    def _answered(self, row: PromptRow, reply: Reply) -> None:
        self._now.rows += 1
        self._now.answered += 1
        self._row_writer.put(
            row.number, kept_answer(row, reply, model=self._respondent.name, settings=self._respondent.settings)
        )
        self._on_done(row, reply)

    def _failed(self, row: PromptRow | BadRow, reason: str) -> None:
        self._now.rows += 1
        self._now.failed += 1
        with_line = reason if isinstance(row, BadRow) else f"Line {row.line}: {reason}"
        self._row_writer.put(row.number, kept_failure(row, with_line))
        self._on_done(row, reason)


class _Window:
    """The rows under way: bounded in number, in bytes, and in the distance between the first and the last."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: dict[int, int] = {}
        self._bytes = 0
        self._changed = asyncio.Event()
        self._for_good = False
        self.most = 0

    async def enter(self, number: int, size_bytes: int) -> None:
        """Return when the row may begin; rows enter in their order, one at a time."""
        while not self._fits(number, size_bytes):
            self._changed.clear()
            await self._changed.wait()
        self._open[number] = size_bytes
        self._bytes += size_bytes
        self.most = max(self.most, len(self._open))

    def leave(self, numbers: Iterable[int]) -> None:
        """Remove rows that are kept."""
        for number in numbers:
            self._bytes -= self._open.pop(number)
        self._changed.set()

    def open_for_good(self) -> None:
        """Let all waiting rows in: the run is stopping, and none of them will be asked."""
        self._for_good = True
        self._changed.set()

    def _fits(self, number: int, size_bytes: int) -> bool:
        if self._for_good or not self._open:
            return True
        oldest = next(iter(self._open))
        return len(self._open) < self._most and self._bytes + size_bytes <= MOST_BYTES and number - oldest < SPREAD


async def _in_threads(rows: Iterator[PromptRow | BadRow]) -> AsyncIterator[PromptRow | BadRow]:
    """Yield rows that are read by blocking calls."""
    chunks = in_chunks(rows, most=ROWS_READ_AT_ONCE)
    while some := await asyncio.to_thread(lambda: next(chunks, None)):
        while some:
            yield some.pop(0)  # no reference is kept here, so that the consumer can free the row
