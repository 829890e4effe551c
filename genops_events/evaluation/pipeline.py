"""Answer and score an evaluation file: each row goes on as soon as it can, and nothing that is kept is paid for again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from genops_events.catalogue.metrics import PAIRWISE, Metric
from genops_events.evaluation.examples import EvaluationExample
from genops_events.evaluation.rows import Score
from genops_events.evaluation.vertex import INSTANCES_PER_CALL, Scored, request, scores
from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS, evaluation_client, idempotent_retry, judge_client
from genops_events.gcp.errors import CloudRefused, google_call
from genops_events.gemini.generation import Answer, asking, first_error
from genops_events.gemini.kept_answers import KeptAnswers
from genops_events.gemini.requests import Requests
from genops_events.record.digest import digest

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from genops_events.config import Config

CONCURRENT_CALLS = 8
"""Calls of the evaluation service under way at once: as many connections as its client keeps."""
_WRONG_ROW = 400
"""The status that one row can cause; any other refusal is about all of them."""

PythonMetric = Callable[[str, str, str | None], float]
"""What a metric in Python is called with: prompt, response, reference."""
Voice = Callable[[int, str], "Awaitable[Answer | str]"]
Judgements = dict[tuple[int, str], Score]
"""By the index of the row and the name of the metric."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A model, and how it is asked."""

    model: str
    requests: Requests
    kept: KeptAnswers


@dataclass(slots=True)
class Evaluated:
    """What came of the rows, by their index."""

    scores: Judgements = field(default_factory=dict)
    unanswered: dict[int, str] = field(default_factory=dict)
    """Why a row has no answer that could be scored: it was refused, or its answer is cut, blocked or empty."""
    champion_unanswered: dict[int, str] = field(default_factory=dict)


def score_key(metric: Metric, one: Scored) -> str:
    """Return what a score belongs to: it counts again only for the same metric, row and answers."""
    return digest(metric.fingerprint, one.prompt, one.reference, one.response, one.champion_response)


@dataclass(slots=True)
class _Pipeline:
    """One try at an evaluation."""

    config: Config
    rows: Sequence[EvaluationExample]
    metrics: Sequence[Metric]
    functions: Mapping[str, PythonMetric]
    kept: Mapping[str, Score]
    on_score: Callable[[str, Score], None]
    pool: ThreadPoolExecutor
    found: Evaluated = field(default_factory=Evaluated)
    clients: dict[bool, Any] = field(default_factory=dict)
    throttles: dict[str, Any] = field(default_factory=dict)
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CONCURRENT_CALLS))
    waiting: list[tuple[int, Scored]] = field(default_factory=list)
    """Answered rows that computed metrics have not seen yet."""
    to_come: int = 0

    async def run(self, candidate: Ask, champion: Ask | None) -> None:
        """Answer and score all rows."""
        self.to_come = len(self.rows)
        async with AsyncExitStack() as stack:
            own = await _voice(stack, self.config, candidate)
            theirs = None if champion is None else await _voice(stack, self.config, champion)
            group = await stack.enter_async_context(asyncio.TaskGroup())
            for number in range(len(self.rows)):
                group.create_task(self._row(group, number, own, theirs))

    async def _row(self, group: asyncio.TaskGroup, number: int, own: Voice, theirs: Voice | None) -> None:
        row = self.rows[number]
        if theirs is None:
            answer, other = await own(number, row.prompt), None
        else:
            answer, other = await asyncio.gather(own(number, row.prompt), theirs(number, row.prompt))
        if other is not None and (why := why_none(other)) is not None:
            self.found.champion_unanswered[number] = why
        if (why := why_none(answer)) is not None:
            self.found.unanswered[number] = why
        elif isinstance(answer, Answer):
            response = other.text if isinstance(other, Answer) and other.state == "complete" else None
            self._answered(group, number, Scored(row.prompt, answer.text, row.reference), response)
        self.to_come -= 1
        if len(self.waiting) == INSTANCES_PER_CALL or (self.waiting and not self.to_come):
            batch, self.waiting = self.waiting, []
            for metric in self.metrics:
                if metric.kind == "computed":
                    group.create_task(self._score(metric, batch))

    def _answered(self, group: asyncio.TaskGroup, number: int, one: Scored, champion_response: str | None) -> None:
        """Score an answer by all metrics that take one row at a time, and leave it waiting for the others."""
        self.waiting.append((number, one))
        for metric in self.metrics:
            if metric.name != PAIRWISE:
                if metric.kind != "computed":
                    group.create_task(self._score(metric, [(number, one)]))
            elif champion_response is not None:
                compared = replace(one, champion_response=champion_response)
                group.create_task(self._score(metric, [(number, compared)]))

    async def _score(self, metric: Metric, batch: Sequence[tuple[int, Scored]]) -> None:
        """Score rows that have no score yet. A batch that is refused is asked again row by row: one of them is to blame."""
        new = []
        for number, one in batch:
            if (known := self.kept.get(score_key(metric, one))) is not None:
                self.found.scores[number, metric.name] = known
            else:
                new.append((number, one))
        if not new:
            return
        try:
            given = await self._call(metric, [one for _, one in new])
        except CloudRefused as error:
            if error.status != _WRONG_ROW:
                raise
            if len(new) > 1:
                for item in new:
                    await self._score(metric, [item])
                return
            given = [Score(None, f"{metric.name} was refused: {error.message}")]
        for (number, one), score in zip(new, given, strict=True):
            self.found.scores[number, metric.name] = score
            self.on_score(score_key(metric, one), score)

    async def _call(self, metric: Metric, batch: Sequence[Scored]) -> list[Score]:
        loop = asyncio.get_running_loop()
        if metric.kind == "python":
            async with self.slots:
                return [
                    await loop.run_in_executor(self.pool, _by_function, metric, self.functions[metric.name], one)
                    for one in batch
                ]
        async with self.slots, self._throttle(metric):
            # The clients of this service have no asynchronous REST transport: the call waits in a thread.
            response = await loop.run_in_executor(self.pool, self._evaluate, metric, batch)
        return scores(metric, response, count=len(batch))

    def _evaluate(self, metric: Metric, batch: Sequence[Scored]) -> Any:
        asked = {"location": f"projects/{self.config.project}/locations/{self.config.places.judging}"}
        with google_call(f"score answers by {metric.name}"):
            return self.clients[metric.judged].evaluate_instances(
                request=asked | request(self.config, metric, batch),
                timeout=CALL_TIMEOUT_SECONDS,
                retry=idempotent_retry(),
            )

    def _throttle(self, metric: Metric) -> Any:
        """Return the throttle of the model that scores; what is computed has one of its own."""
        from asyncio_throttle import Throttler

        name = f"judge {metric.judge_model}" if metric.judged else "computed"
        if name not in self.throttles:
            self.throttles[name] = Throttler(rate_limit=self.config.requests_per_minute, period=60.0)
        return self.throttles[name]


def evaluate(
    config: Config,
    *,
    rows: Sequence[EvaluationExample],
    metrics: Sequence[Metric],
    candidate: Ask,
    champion: Ask | None,
    functions: Mapping[str, PythonMetric],
    kept: Mapping[str, Score],
    on_score: Callable[[str, Score], None],
) -> Evaluated:
    """Let the candidate, and for `pairwise` the champion, answer `rows`, and score the answers by `metrics`.

    Models and judges work at the same time, each under a throttle of its own of `requests_per_minute`.

    Args:
        config: project, location and throttle.
        rows: of the evaluation file.
        metrics: what is measured.
        candidate: the model that is evaluated; every new answer is kept by its `KeptAnswers`.
        champion: the model that it is compared with, where there is one and something compares.
        functions: the metrics in Python, by name.
        kept: scores of an earlier try, by `score_key`.
        on_score: gets the key and every new score as it comes, so that it can be kept.

    Raises:
        CloudUnavailable: a call failed after its retries. What came before is kept.
        CloudRefused: a call can never succeed, whatever the row.
    """
    with ThreadPoolExecutor(CONCURRENT_CALLS, thread_name_prefix="score") as pool:
        pipeline = _Pipeline(config, rows, metrics, functions, kept, on_score, pool)
        # Built here and not in the threads: a client is built once, and its import takes a second.
        if any(metric.kind == "computed" for metric in metrics):
            pipeline.clients[False] = evaluation_client(config, config.places.judging)
        if any(metric.judged for metric in metrics):
            pipeline.clients[True] = judge_client(config, config.places.judging)
        with first_error():
            asyncio.run(pipeline.run(candidate, champion))
        return pipeline.found


async def _voice(stack: AsyncExitStack, config: Config, asked: Ask) -> Voice:
    """Return what answers a row: by what is kept, or else by the model; a text says why there is no answer."""
    ask = await stack.enter_async_context(asking(config, model=asked.model, requests=asked.requests))

    async def answer(number: int, prompt: str) -> Answer | str:
        if (known := asked.kept.answers.get(number)) is not None:
            return known
        try:
            new = await ask(prompt)
        except CloudRefused as error:
            if error.status != _WRONG_ROW:
                raise
            return error.message
        asked.kept.add(number, new)
        return new

    return answer


def why_none(answer: Answer | str) -> str | None:
    """Return why this cannot be scored: there is no answer, or it is none; None where it is one."""
    if isinstance(answer, str):
        return f"no answer: {answer}"
    return None if answer.state == "complete" else answer.reason or f"the answer is {answer.state}"


def _by_function(metric: Metric, function: PythonMetric, one: Scored) -> Score:
    try:
        value = function(one.prompt, one.response, one.reference)
        return Score.of(metric, float(value))
    except Exception as error:  # noqa: BLE001 - it is the user's code, and one row's trouble
        return Score(None, f"{metric.name} failed: {type(error).__name__}: {error}")
