"""Answer a prompt file online: as fast as the quotas allow, each row once, whatever dies, in bounded memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from genops_events.errors import GenopsError
from genops_events.gcp.errors import CloudRefused, CloudUnavailable
from genops_events.gemini.calls import AllRefused, Connection, Retries, is_the_rows_fault
from genops_events.gemini.kept import KeptRow, KeptRows, pending
from genops_events.gemini.pace import Pace
from genops_events.gemini.prompts import BadRow, PromptRow, in_chunks
from genops_events.gemini.replies import Reply, Totals, UnreadableReply, read_reply
from genops_events.gemini.requests import CannotAsk, Requests

if TYPE_CHECKING:
    from genops_events.config import Config

ANSWER_SECONDS = 8.0
"""So long may answers take on average without the quota being left unused: that many calls are under way at a time."""
MOST_AT_ONCE = 1000
LEAST_AT_ONCE = 16
MOST_BYTES = 32 * 1024 * 1024
"""Of the prompts under way, together; one that is longer goes alone."""
SPREAD = 4096
"""How far rows run ahead of the oldest that is not done: so many are sorted in memory when they are read back."""
PART_SECONDS = 0.25
"""Between two parts of kept rows, unless there are `PART_ROWS` sooner."""
PART_ROWS = 256
PROGRESS_SECONDS = 2.0
ROWS_READ_AT_ONCE = 64
ALL_REFUSED = 1000
"""So many refusals and not one answer mean that a setting is wrong, and not a row. Refusals cost nothing but time."""
_FIRST_GUESS_TOKENS = 256
OTHERS_ANSWERED = 10
"""For each row in trouble, more than so many must be answered meanwhile, or it is the service that has a bad time."""
_BROKEN = (500, 504, None)
"""What a prompt that the service cannot answer is answered with; None where no answer came in time."""
WRITE_TRIES = 10

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Tally:
    """What calls were made in one run."""

    asked: int
    again: int
    refused_for_quota: int
    at_once: int
    """Most rows that were under way at a time: asked or answered, and not kept yet."""


def kept_answer(row: PromptRow, reply: Reply, *, model: str) -> bytes:
    """Return an answered row as it is kept, and as it stands in the answers in the end."""
    asked: dict[str, Any] = {"contents": row.contents} if row.prompt is None else {"prompt": row.prompt}
    return _encode({"number": row.number, "line": row.line, "id": row.id, **asked, "model": model, **reply.to_json()})


def kept_failure(row: PromptRow | BadRow, reason: str) -> bytes:
    """Return a row that has no answer as it is kept, and as it stands in the failures in the end."""
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
    requests_per_minute: int,
    tokens_per_minute: int | None = None,
    on_progress: Callable[[Totals], None] = lambda _: None,
    name: str = "",
    at_once: int | None = None,
) -> Tally:
    """Answer every row that nothing is kept of; return when all are kept, answered or failed.

    Args:
        config: project and location.
        model: a publisher's model, or the endpoint of a tuned one.
        rows: of the prompt file; read as they are needed, in threads, never two at a time.
        requests: makes their requests.
        kept: where what is done is kept.
        requests_per_minute: quota of calls.
        tokens_per_minute: quota of tokens, asked and answered; None for no bound.
        on_progress: told every two seconds how many rows are answered, and how many failed; may block.
        name: of the model in the answers, where that is another than what is called.
        at_once: most calls at a time, by the quota of calls where None.

    Raises:
        CloudUnavailable: calls fail after their retries, and it is not the row's fault. What was answered is kept.
        CloudRefused: a call can never succeed, whatever the row.
        AllRefused: no row is taken.
    """
    run = _Run(
        config,
        model=model,
        name=name or model,
        requests=requests,
        kept=kept,
        pace=Pace(requests_per_minute=requests_per_minute, tokens_per_minute=tokens_per_minute),
        at_once=at_once or round(min(MOST_AT_ONCE, max(LEAST_AT_ONCE, requests_per_minute / 60 * ANSWER_SECONDS))),
        on_progress=on_progress,
    )
    asyncio.run(run.answer(rows))
    return run.tally


class _Run:
    """One run over the rows: whoever dispatches lets them in, whoever keeps them lets them out."""

    def __init__(
        self,
        config: Config,
        *,
        model: str,
        name: str,
        requests: Requests,
        kept: KeptRows,
        pace: Pace,
        at_once: int,
        on_progress: Callable[[Totals], None],
    ) -> None:
        self._name = name
        self._what = f"ask {model}"
        self._requests = requests
        self._kept = kept
        self._pace = pace
        self._retries = Retries(pace.hold_back)
        # More: rows that are answered, and not kept yet, must not keep others from being asked.
        self._window = _Window(2 * at_once + 4 * PART_ROWS)
        self._slots = asyncio.Semaphore(at_once)
        self._part_is_full = asyncio.Event()
        self._on_progress = on_progress
        self._connection = Connection(config, at_once=at_once)
        self._model = model
        self._refusals = 0
        self._totals = Totals()
        self._before = Totals()
        self._done: list[KeptRow] = []
        self._error: GenopsError | None = None
        self._asked = 0
        self._mean_output = float(_FIRST_GUESS_TOKENS)
        self._first_refusal = ""
        self._in_trouble: set[int] = set()
        """Rows under way of which a try has failed."""

    @property
    def tally(self) -> Tally:
        return Tally(
            self._asked + self._retries.again, self._retries.again, self._retries.refused_for_quota, self._window.most
        )

    async def answer(self, rows: Iterator[PromptRow | BadRow]) -> None:
        ended = asyncio.Event()
        try:
            async with self._connection, asyncio.TaskGroup() as group:
                keeping = group.create_task(self._keep_on(ended))
                telling = group.create_task(self._tell_on())
                try:
                    async with asyncio.TaskGroup() as calls:
                        try:
                            await self._let_in(calls, rows)
                        except GenopsError as error:
                            self._fail(error)
                finally:
                    ended.set()
                    self._part_is_full.set()
                await keeping
                telling.cancel()
        except BaseExceptionGroup as group_error:
            raise _first(group_error) from group_error
        finally:
            # Whoever ends the task, with a signal for instance, has paid for these.
            with suppress(GenopsError):
                self._write(self._done)
        if self._error is not None:
            raise self._error

    async def _let_in(self, calls: asyncio.TaskGroup, rows: Iterator[PromptRow | BadRow]) -> None:
        url = self._connection.url_of(self._model, "generateContent")
        async for row in _in_threads(pending(rows, self._kept.in_order(), self._seen)):
            await self._window.enter(row.number, 0 if isinstance(row, BadRow) else row.size_bytes)
            if self._error is not None:
                return  # what is under way is paid for, and comes to its end
            if isinstance(row, BadRow):
                self._put(row.number, kept_failure(row, row.reason))
                continue
            try:
                body = self._requests.body(row)
            except CannotAsk as error:
                self._put(row.number, kept_failure(row, f"Line {row.line}: {error}."))
                continue
            tokens = round(row.size_bytes / 4 + self._mean_output)
            await self._slots.acquire()  # a connection is free then: waiting for one in aiohttp costs more
            await self._pace.begin(tokens)
            calls.create_task(self._ask(row, _encode(body), url, tokens))

    async def _ask(self, row: PromptRow, body: bytes, url: str, tokens: int) -> None:
        self._asked += 1
        answered_before = self._totals.answered

        async def before_again() -> None:
            self._in_trouble.add(row.number)
            await self._pace.begin(tokens)

        try:
            content = await self._retries.call(
                lambda: self._connection.post(url, body, what=self._what), before_again=before_again
            )
            reply = read_reply(content)
        except CloudRefused as error:
            if not is_the_rows_fault(error, has_files=row.has_files):
                self._fail(error)
                return
            self._refused(row, error)
        except CloudUnavailable as error:
            # Nearly all others were answered meanwhile: it is this row that the service cannot answer, or not in time.
            others = len(self._in_trouble - {row.number})
            well = self._error is None and self._totals.answered - answered_before > OTHERS_ANSWERED * others
            if well and error.status in _BROKEN:
                self._put(row.number, kept_failure(row, f"Line {row.line}: {error.message}"))
            else:
                self._fail(error)
        except UnreadableReply as error:
            self._put(row.number, kept_failure(row, f"Line {row.line}: {error}."))
        else:
            used = reply.input_tokens + reply.output_tokens
            self._pace.used(used, estimated=tokens)
            self._mean_output += (reply.output_tokens - self._mean_output) / 20
            self._put(row.number, kept_answer(row, reply, model=self._name), reply)
        finally:
            self._in_trouble.discard(row.number)
            self._slots.release()

    def _refused(self, row: PromptRow, error: CloudRefused) -> None:
        self._refusals += 1
        self._first_refusal = self._first_refusal or error.message
        self._put(row.number, kept_failure(row, f"Line {row.line}: {error.message}"))
        if self._before.answered + self._totals.answered == 0 and self._refusals >= ALL_REFUSED:
            self._fail(
                AllRefused(
                    f"Vertex AI refused the first {ALL_REFUSED:,} prompts, all of them. {self._first_refusal}",
                    "Check `inference` of the dataset in genops.yaml, and the prompt file.",
                )
            )

    def _fail(self, error: GenopsError) -> None:
        self._error = self._error or error
        self._window.open_for_good()

    def _seen(self, content: bytes) -> None:
        """Count a row that an earlier run has kept; in the thread that reads the rows."""
        answered = "answer" in msgspec.json.decode(content)
        self._before.rows += 1
        self._before.answered += answered
        self._before.failed += not answered

    def _put(self, number: int, content: bytes, reply: Reply | None = None) -> None:
        self._done.append((number, content))
        if len(self._done) >= PART_ROWS:
            self._part_is_full.set()
        self._totals.rows += 1
        if reply is None:
            self._totals.failed += 1
        else:
            self._totals.answered += 1

    async def _keep_on(self, ended: asyncio.Event) -> None:
        """Write what is done, and let as many further rows in; give up only when the bucket stays away."""
        failures = 0
        while True:
            over = ended.is_set()
            rows, self._done = self._done, []
            try:
                await asyncio.to_thread(self._write, rows)
                failures = 0
            except GenopsError as error:
                self._done = rows + self._done
                failures += 1
                if failures == WRITE_TRIES or not isinstance(error, CloudUnavailable):
                    self._fail(error)
                    return
                over = False
            except BaseException:
                self._done = rows + self._done
                raise
            else:
                self._window.leave(number for number, _ in rows)
            if over:
                return
            self._part_is_full.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(0 if ended.is_set() and not failures else PART_SECONDS):
                    await self._part_is_full.wait()

    def _write(self, rows: list[KeptRow]) -> None:
        if rows:
            self._kept.write(rows)

    async def _tell_on(self) -> None:
        while True:
            await asyncio.sleep(PROGRESS_SECONDS)
            with suppress(GenopsError):  # nobody decides by it, and the next one is newer
                await asyncio.to_thread(self._on_progress, self._before + self._totals)


class _Window:
    """The rows that are under way: let in while they are few, short, and close to each other."""

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

    def leave(self, numbers: Iterator[int]) -> None:
        """Forget rows that are kept."""
        for number in numbers:
            self._bytes -= self._open.pop(number)
        self._changed.set()

    def open_for_good(self) -> None:
        """Let in whoever waits: there is nothing to come."""
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
            yield some.pop(0)  # forgotten here: whoever is given it may let it go


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
