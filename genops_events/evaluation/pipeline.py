"""Answer and score rows: each row is scored as soon as it is answered, and kept results are not paid for again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from genops_events.catalogue.metrics import PAIRWISE, Metric
from genops_events.config.evaluation import USUAL_JUDGE
from genops_events.config.quotas import Quota, quota_for
from genops_events.errors import GenopsError
from genops_events.evaluation.examples import EvaluationExample
from genops_events.evaluation.rows import Score
from genops_events.evaluation.vertex import INSTANCES_PER_CALL, AnswerToScore, request, scores
from genops_events.gcp.errors import CloudRefused, CloudUnavailable, first_error
from genops_events.gemini.calls import Connection, Retries
from genops_events.gemini.kept import KeptRows, RowWriter
from genops_events.gemini.kept_answers import KeptAnswers
from genops_events.gemini.online import OnlineRun, calls_at_once
from genops_events.gemini.pace import Pace
from genops_events.gemini.prompts import BadRow, PromptRow
from genops_events.gemini.replies import Reply
from genops_events.record.digest import digest

if TYPE_CHECKING:
    from google.cloud.storage import Bucket

    from genops_events.config import Config

FUNCTIONS_AT_ONCE = 8
"""Concurrent calls of metrics in Python, each in a thread."""
SCORING = "evaluation-service"
"""Name in place of a model's, for the quota of computed metrics, which ask no model."""
_WRONG_ROW = 400
"""HTTP status that a single row can cause; any other refusal is about all rows."""

PythonMetric = Callable[[str, str, str | None], float]
"""A metric in Python: a function of prompt, response and reference."""
_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class RowResults:
    """Scores and failures, by the number of the row."""

    scores: dict[tuple[int, str], Score] = field(default_factory=dict)
    """By the number of the row and the name of the metric."""
    unanswered: dict[int, str] = field(default_factory=dict)
    """Why a row has no answer that can be scored: it was refused, or its answer is cut, blocked or empty."""
    champion_unanswered: dict[int, str] = field(default_factory=dict)


def score_key(metric: Metric, one: AnswerToScore) -> str:
    """Return the key of a kept score: it is reused only for the same metric, row and answers."""
    return digest(metric.fingerprint, one.prompt, one.reference, one.response, one.champion_response)


def kept_score(number: int, key: str, score: Score) -> bytes:
    """Return the JSON line in which a score, or the reason why there is none, is kept."""
    result = {"score": score.score, "failure": score.failure, "explanation": score.explanation}
    return _encode({"number": number, "key": key, **result})


def why_not_scorable(reply: Reply) -> str | None:
    """Return why this answer cannot be scored; None where it can."""
    return None if reply.state == "complete" else reply.reason or f"the answer is {reply.state}"


class Pipeline:
    """One try at answering and scoring rows. Models and judges work concurrently, each within its quota.

    Args:
        config: project, locations and quotas.
        bucket: of the record, through which processes share the quotas.
        rows: of the evaluation file.
        metrics: of the evaluation.
        functions: the metrics in Python, by name.
        kept: scores that are already paid for, by `score_key`.
        parts: where new scores are kept.
    """

    def __init__(
        self,
        config: Config,
        bucket: Bucket,
        rows: Sequence[EvaluationExample],
        metrics: Sequence[Metric],
        *,
        functions: Mapping[str, PythonMetric],
        kept: Mapping[str, Score],
        parts: KeptRows,
    ) -> None:
        self._config, self._bucket = config, bucket
        self._rows, self._metrics, self._functions = rows, metrics, functions
        self._kept = kept
        self._at_once = calls_at_once(config.requests_per_minute)
        self._row_writer = RowWriter(parts, on_failure=self._stop)
        self._connection = Connection(config, at_once=self._at_once)
        self._slots = asyncio.Semaphore(self._at_once)
        self._paces: dict[Quota, Pace] = {}
        self._runs: list[OnlineRun] = []
        self._respondents: list[KeptAnswers] = []
        self._to_come = dict.fromkeys(range(len(rows)), 0)
        """Number of answers that each unfinished row waits for."""
        self._waiting: list[tuple[int, AnswerToScore]] = []
        """Answered rows that wait for the next batch of the computed metrics."""
        self._found = RowResults()
        self._error: GenopsError | None = None

    def run(self, candidate: KeptAnswers, champion: KeptAnswers | None = None) -> RowResults:
        """Let the candidate, and for `pairwise` the champion, answer the rows, and score the answers.

        Args:
            candidate: the model that is evaluated, with its kept answers.
            champion: the model that it is compared with, with its kept answers; None where no metric compares.

        Raises:
            CloudUnavailable: calls failed after their retries. Earlier results are kept.
            CloudRefused: a call can never succeed, and the row is not the cause.
            AllRefused: all rows are refused.
        """
        self._respondents = [candidate] if champion is None else [candidate, champion]
        with ThreadPoolExecutor(FUNCTIONS_AT_ONCE, thread_name_prefix="score") as self._pool:
            asyncio.run(self._answer_and_score())
        for one in self._respondents:
            one.finish()
        return self._found

    async def _answer_and_score(self) -> None:
        quotas = {self._quota_of(kept) for kept in self._respondents if kept.pending}
        quotas |= {self._quota_of_scoring(metric) for metric in self._metrics if metric.kind != "python"}
        async with self._connection, self._row_writer, AsyncExitStack() as paces:
            for quota in quotas:
                self._paces[quota] = await paces.enter_async_context(Pace.of(self._bucket, quota))
            with first_error():
                async with asyncio.TaskGroup() as self._group:
                    for side, kept in enumerate(self._respondents):
                        self._ask(side, kept)
                    for number in [number for number, missing in self._to_come.items() if not missing]:
                        self._score_row(number)
        if self._error is not None:
            raise self._error

    def _stop(self, error: GenopsError) -> None:
        """Start no further call; calls under way are paid for and are awaited."""
        self._error = self._error or error
        for run in self._runs:
            run.stop(error)

    def _start(self, work: Any) -> None:
        """Start some work as a task; if it fails, no further call is started."""

        async def done() -> None:
            try:
                await work
            except GenopsError as error:
                self._stop(error)

        self._group.create_task(done())

    def _ask(self, side: int, kept: KeptAnswers) -> None:
        pending = kept.pending
        if not pending:
            return
        run = OnlineRun(
            self._config,
            kept.respondent,
            kept=kept.parts,
            pace=self._paces[self._quota_of(kept)],
            at_once=self._at_once,
            on_done=partial(self._take_outcome, side),
        )
        run.before.rows = run.before.answered = len(kept.answers)
        self._runs.append(run)
        for row in pending:
            self._to_come[row.number] += 1
        self._start(run.answer(iter(pending)))

    def _take_outcome(self, side: int, row: PromptRow | BadRow, outcome: Reply | str) -> None:
        if isinstance(outcome, Reply):
            self._respondents[side].add(row.number, outcome)
        else:
            missing = self._found.champion_unanswered if side else self._found.unanswered
            missing[row.number] = f"no answer: {outcome}"
        self._to_come[row.number] -= 1
        if not self._to_come[row.number]:
            self._score_row(row.number)

    def _score_row(self, number: int) -> None:
        """Score a row that has all its answers: at once by metrics that take single rows, in batches by computed ones."""
        del self._to_come[number]
        answer, *others = (self._usable(side, number) for side in range(len(self._respondents)))
        if answer is not None:
            row = self._rows[number]
            one = AnswerToScore(row.prompt, answer, row.reference)
            self._waiting.append((number, one))
            for metric in self._metrics:
                if metric.name == PAIRWISE:
                    if others and others[0] is not None:
                        compared = replace(one, champion_response=others[0])
                        self._start(self._score(metric, [(number, compared)]))
                elif metric.kind != "computed":
                    self._start(self._score(metric, [(number, one)]))
        if len(self._waiting) == INSTANCES_PER_CALL or (self._waiting and not self._to_come):
            batch, self._waiting = self._waiting, []
            for metric in self._metrics:
                if metric.kind == "computed":
                    self._start(self._score(metric, batch))

    def _usable(self, side: int, number: int) -> str | None:
        """Return the text of an answer that can be scored; otherwise note why, and return None."""
        reply = self._respondents[side].answers.get(number)
        if reply is None:
            return None
        if (why := why_not_scorable(reply)) is None:
            return reply.scored_text
        (self._found.champion_unanswered if side else self._found.unanswered)[number] = why
        return None

    async def _score(self, metric: Metric, batch: Sequence[tuple[int, AnswerToScore]]) -> None:
        """Score rows that have no score yet. A batch that is refused is sent again row by row, to find the one that caused it."""
        new = []
        for number, one in batch:
            if (known := self._kept.get(score_key(metric, one))) is not None:
                self._found.scores[number, metric.name] = known
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
        for (number, one), score in zip(new, given, strict=False):
            self._found.scores[number, metric.name] = score
            self._row_writer.put(number, kept_score(number, score_key(metric, one), score))

    async def _call(self, metric: Metric, batch: Sequence[AnswerToScore]) -> list[Score]:
        """Return the scores of a batch; an empty list if the run is stopping."""
        if metric.kind == "python":
            function, loop = self._functions[metric.name], asyncio.get_running_loop()
            return [await loop.run_in_executor(self._pool, _by_function, metric, function, one) for one in batch]
        pace = self._paces[self._quota_of_scoring(metric)]
        # A judge is asked once for each row and sample; a computed metric takes the whole batch in one call.
        turn = partial(pace.begin, 0, calls=len(batch) * metric.samples if metric.judged else 1)
        url = self._connection.url_in(self._config.places.judging, "evaluateInstances")
        body = _encode(request(self._config, metric, batch))
        async with self._slots:
            await turn()
            if self._error is not None:
                return []
            content = await Retries(pace.hold_back).call(
                lambda: self._connection.post(url, body, what=f"score answers by {metric.name}"),
                before_again=turn,
            )
        try:
            return scores(metric, msgspec.json.decode(content, type=dict[str, Any]), count=len(batch))
        except msgspec.DecodeError as error:  # such as a proxy's page with status 200
            what = f"Could not score answers by {metric.name}: the answer cannot be read: {error}."
            raise CloudUnavailable(what, "The next try asks again.") from error

    def _quota_of(self, kept: KeptAnswers) -> Quota:
        return self._config.quota_of(kept.respondent.model, kept.respondent.base_model)

    def _quota_of_scoring(self, metric: Metric) -> Quota:
        """Return the quota of the judge's model; computed metrics count in a quota of the evaluation service."""
        places = self._config.places
        if not metric.judged:
            return quota_for(self._config, places.judging, SCORING)
        judge = metric.judge_model or USUAL_JUDGE
        return quota_for(self._config, places.of_judge(judge), judge)


def _by_function(metric: Metric, function: PythonMetric, one: AnswerToScore) -> Score:
    try:
        value = function(one.prompt, one.response, one.reference)
        return Score.of(metric, float(value))
    except Exception as error:  # noqa: BLE001 - the user's code may raise anything, and other rows may succeed
        return Score(None, f"{metric.name} failed: {type(error).__name__}: {error}")
