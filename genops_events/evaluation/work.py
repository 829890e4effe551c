"""The work of an evaluation: what is asked, kept, scored and written, in an order that survives a crash anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from pathlib import PurePosixPath

from genops_events.cascade.spending import estimated, pay_for
from genops_events.cascade.stage_run import StageRun
from genops_events.catalogue.metrics import PAIRWISE, Metric
from genops_events.config.evaluation import Evaluation
from genops_events.evaluation import files as kept
from genops_events.evaluation.estimate import evaluation_steps
from genops_events.evaluation.examples import EvaluationExample, evaluation_examples
from genops_events.evaluation.gates import Gate, judge
from genops_events.evaluation.held_out import in_training
from genops_events.evaluation.judge_usage import judge_cost, judged_tokens
from genops_events.evaluation.pipeline import Ask, Evaluated, evaluate
from genops_events.evaluation.python_metrics import functions_of
from genops_events.evaluation.report import Report, report_html
from genops_events.evaluation.rows import Row, Score, answers_in, causes, failed_rows, summarise
from genops_events.gcp.parts import PartWriter, remove_parts
from genops_events.gemini import answer_rows as inputs
from genops_events.gemini.generation import Answer, answers_cost
from genops_events.gemini.kept_answers import KeptAnswers
from genops_events.gemini.prompts import Prompt
from genops_events.gemini.requests import Requests
from genops_events.gemini.served import evaluation_requests
from genops_events.record.endings import remedies
from genops_events.record.evaluation import (
    Answers,
    EvaluationPlan,
    EvaluationSummary,
    champion_answers_path,
    judgements_prefix,
    plan_path,
    report_path,
    rows_path,
    summary_path,
)
from genops_events.record.paths import evaluation_answers_path, training_path, valid_lines_path
from genops_events.record.stages import Outcome, Stage
from genops_events.record.verdicts import EvaluationVerdict, TuningVerdict, Verdict

CAUSE_CHARACTERS = 300
"""So much of a failure's cause is in the verdict's reason; the summary has it whole."""


class Evaluating:
    """One Dag run's evaluation of its candidate.

    Args:
        run: the stage's run; it has taken the stage on.
    """

    def __init__(self, run: StageRun) -> None:
        self.run = run
        self.bucket = run.store.bucket
        self.candidate = run.candidate

    @property
    def evaluation(self) -> Evaluation:
        """The dataset's entry in genops.yaml."""
        return self.run.dataset.evaluation

    @cached_property
    def plan(self) -> EvaluationPlan:
        """Whom the candidate is held against, settled by the first try.

        Each release of a held evaluation settles it anew: days may lie between, and another champion.
        """
        champion = self.run.store.champion(self.run.arrival.dataset)
        plan = EvaluationPlan(candidate=self.candidate, written_at=datetime.now(UTC))
        if champion is not None and champion.candidate != self.candidate:
            plan = plan.model_copy(
                update={
                    "champion": champion.candidate,
                    "endpoint": champion.endpoint,
                    "model": champion.model,
                    "scores": champion.scores,
                }
            )
        return self.run.store.create_or_read(plan_path(self.candidate, self.run.standing.released), plan)

    @cached_property
    def metrics(self) -> list[Metric]:
        """What is measured: `pairwise` only where there is a champion."""
        return [one for one in self.evaluation.measured() if one.name != PAIRWISE or self.plan.endpoint is not None]

    @cached_property
    def compares(self) -> bool:
        """Whether the champion has to answer, too."""
        return any(metric.name == PAIRWISE for metric in self.metrics)

    @cached_property
    def champion_model(self) -> str:
        """The published model that the champion is billed as: the dataset may be tuned from another one by now."""
        billed = self.run.dataset.billed_model
        tuning = None if self.plan.champion is None else self.run.store.verdict(self.plan.champion, Stage.TUNING)
        source = tuning.source_model if isinstance(tuning, TuningVerdict) else None
        # A champion that was tuned further names the model before it, which has no price of its own.
        return self.run.config.catalogue.known_or(source, billed)

    def verdict(self) -> Verdict:
        """Evaluate, write rows, figures and report, and return the recorded verdict.

        Raises:
            StepAside: a limit is in the way, and the candidate is held until somebody approves it.
            PermanentError: the evaluation file or a metric of genops.yaml cannot be used; nothing was spent.
            CloudUnavailable: a call failed after its retries; the next try goes on from what is kept.
        """
        functions = functions_of(self.evaluation.measured())
        needed = self.evaluation.needs_reference
        examples = evaluation_examples(self.bucket, self.evaluation.file, needs_reference=needed)
        left_out = self._left_out(examples)
        asked = [one for number, one in enumerate(examples) if number not in left_out]
        if not asked:
            return self._nothing_to_ask(left_out)
        pay_for(self.run, "evaluation", self._most(asked))
        prompts = [Prompt(id=one.name, prompt=one.prompt) for one in asked]
        parts = judgements_prefix(self.candidate)
        with ExitStack() as stack:
            own = stack.enter_context(self._own_answers(prompts))
            theirs = stack.enter_context(self._champion_answers(prompts)) if self.compares else None
            paid_by_champion = {} if theirs is None else self._answers_of_champion(prompts)
            if theirs is not None:
                theirs.adopt(paid_by_champion)
            writer = stack.enter_context(PartWriter(self.bucket, parts))

            def keep(key: str, score: Score) -> None:
                kept.keep_score(writer, key, score)

            found = evaluate(
                self.run.config,
                rows=asked,
                metrics=self.metrics,
                candidate=Ask(self.run.endpoint, self._own_requests, own),
                champion=None if theirs is None else Ask(self.plan.endpoint or "", self._champion_requests, theirs),
                functions=functions,
                kept=kept.kept_scores(self.bucket, parts),
                on_score=keep,
            )
        rows = self._rows(examples, left_out, own, theirs, found)
        used = [own.answers[number] for number in sorted(own.answers)]
        compared: list[Answer] = []
        if theirs is not None:
            compared = [answer for number, answer in sorted(theirs.answers.items()) if number not in paid_by_champion]
        verdict = self._conclude(rows, used, compared)
        remove_parts(self.bucket, parts)  # the rows have it all; a crash before this line leaves a few small objects
        return verdict

    def _left_out(self, examples: Sequence[EvaluationExample]) -> dict[int, str]:
        """Return why rows are in no score, by index: they stand in what the model was tuned on."""
        found = kept.training_lines(self.bucket, [valid_lines_path(self.candidate), training_path(self.candidate)])
        if found is None:
            return {}
        name, lines = found
        there = PurePosixPath(name).name
        places = in_training([one.prompt for one in examples], lines)
        return {number: f"stands in the training file ({there}, line {line})" for number, line in places.items()}

    def _nothing_to_ask(self, left_out: Mapping[int, str]) -> Verdict:
        reason = (
            f"Every row of {self.evaluation.file} stands in the training file: scores would say how well the model "
            "remembers. Hold rows out of the training file, and upload it again."
        )
        return self.run.conclude(EvaluationVerdict, Outcome.REFUSED, reason, examples=0, left_out=len(left_out))

    def _most(self, asked: Sequence[EvaluationExample]) -> Decimal:
        """Return the most that answers and judge can cost, by an estimate of the prompts and every answer at its longest."""
        answers, judge = evaluation_steps(
            self.run.config, self.run.dataset, self.metrics, asked, champion_model=self.champion_model
        )
        assert answers.usd is not None
        assert judge.usd is not None
        return answers.usd + judge.usd

    @cached_property
    def _own_requests(self) -> Requests:
        return evaluation_requests(self.run.config, self.run.dataset, self.run.dataset.billed_model)

    @cached_property
    def _champion_requests(self) -> Requests:
        """The same settings; the least thinking is that of the model which the champion was tuned from."""
        return evaluation_requests(self.run.config, self.run.dataset, self.champion_model)

    def _own_answers(self, prompts: Sequence[Prompt]) -> KeptAnswers:
        model, name = self.run.tuning.model or self.run.endpoint, evaluation_answers_path(self.candidate)
        return KeptAnswers(self.bucket, name, prompts, model=model, settings=self._own_requests.asked_as)

    def _champion_answers(self, prompts: Sequence[Prompt]) -> KeptAnswers:
        model, name = self.plan.model or self.plan.endpoint or "", champion_answers_path(self.candidate)
        return KeptAnswers(self.bucket, name, prompts, model=model, settings=self._champion_requests.asked_as)

    def _answers_of_champion(self, prompts: Sequence[Prompt]) -> inputs.Answers:
        """Return what the champion answered to the same prompts when it was evaluated itself: it is paid for."""
        name = evaluation_answers_path(self.plan.champion or "")
        return inputs.answers_to(self.bucket, name, prompts, settings=self._champion_requests.asked_as)

    def _rows(
        self,
        examples: Sequence[EvaluationExample],
        left_out: dict[int, str],
        own: KeptAnswers,
        theirs: KeptAnswers | None,
        found: Evaluated,
    ) -> list[Row]:
        """Return every row of the file with all that is known of it, in its order."""
        champion_rows = {}
        if self.plan.champion is not None:
            champion_rows = {row.key: row for row in kept.read_rows(self.bucket, rows_path(self.plan.champion))}
        rows = []
        number = 0
        for place, example in enumerate(examples):
            row = Row(id=example.name, prompt=example.prompt, reference=example.reference, left_out=left_out.get(place))
            if row.left_out is None:
                row = self._scored(row, number, own, theirs, found, champion_rows.get(row.key))
                number += 1
            rows.append(row)
        return rows

    def _scored(  # noqa: PLR0917 - one row's share of each
        self, row: Row, number: int, own: KeptAnswers, theirs: KeptAnswers | None, found: Evaluated, other: Row | None
    ) -> Row:
        answer = own.answers.get(number)
        champion = None if theirs is None else theirs.answers.get(number)
        scores = {one.name: _score(one, number, found) for one in self.metrics}
        return Row(
            id=row.id,
            prompt=row.prompt,
            reference=row.reference,
            answer=None if answer is None else answer.text,
            state=None if answer is None else answer.state,
            finish_reason=None if answer is None else answer.finish_reason,
            champion_answer=None if champion is None else champion.text,
            champion_state=None if champion is None else champion.state,
            scores={name: one.score for name, one in scores.items() if one.score is not None},
            explanations={name: one.explanation for name, one in scores.items() if one.explanation},
            failures={name: one.failure or "no score" for name, one in scores.items() if one.score is None},
            measures={one.name: one.fingerprint for one in self.metrics if (number, one.name) in found.scores},
            champion_scores={}
            if other is None or other.state not in (None, "complete")  # scored before such answers were left out
            else {
                one.name: other.scores[one.name]
                for one in self.metrics
                if one.name in other.scores and other.measures.get(one.name) == one.fingerprint and one.name != PAIRWISE
            },
        )

    def _conclude(self, rows: list[Row], used: Sequence[Answer], compared: Sequence[Answer]) -> Verdict:
        evaluation, champion = self.evaluation, self.plan.champion
        figures = summarise(rows, self.metrics, self.plan.scores)
        failed = failed_rows(rows)
        gate = Gate(evaluation.gate, evaluation.no_regression, evaluation.failed_rows)
        judgement = judge(figures, gate, failed_rows=failed, champion=champion is not None)
        left_out = [row.id for row in rows if row.left_out is not None]
        causing, answers = causes(rows), answers_in(rows)
        reason = f"{judgement.reason}{_told_of(answers)}{_most_often(causing)}"
        if not judgement.passed:
            reason += _to_mend(answers)
        reason += _named(left_out) if left_out else ""
        now = datetime.now(UTC)
        kept.write_rows(self.bucket, rows_path(self.candidate), rows)
        report = Report(
            candidate=self.candidate,
            dataset=self.run.arrival.dataset,
            champion=champion,
            passed=judgement.passed,
            reason=reason,
            decisive=evaluation.decisive,
            metrics=self.metrics,
            figures=figures,
            conditions=judgement.conditions,
            rows=rows,
            written_at=now,
        )
        kept.write_report(self.bucket, report_path(self.candidate), report_html(report))
        summary = EvaluationSummary(
            candidate=self.candidate,
            written_at=now,
            dataset=self.run.arrival.dataset,
            champion=champion,
            metrics=figures,
            conditions=judgement.conditions,
            rows=len(rows),
            left_out=tuple(left_out),
            answers=answers,
            failed_rows=failed,
            failures=causing,
        )
        self.run.store.put(summary_path(self.candidate), summary)
        judging = judged_tokens(self.metrics, rows)
        judge_usd = judge_cost(self.run.config.rates, evaluation, judging)
        return self.run.conclude(
            EvaluationVerdict,
            Outcome.PASSED if judgement.passed else Outcome.REFUSED,
            reason,
            scores={name: one.mean for name, one in figures.items() if one.mean is not None},
            examples=len(rows) - len(left_out),
            metrics=figures,
            conditions=judgement.conditions,
            answers=answers,
            failed_rows=failed,
            left_out=len(left_out),
            champion=champion,
            estimated_usd=estimated(self.run, "evaluation"),
            judge_calls=judging.calls,
            judge_usd=judge_usd,
            rows_uri=self.run.config.uri(rows_path(self.candidate)),
            report_uri=self.run.config.uri(report_path(self.candidate)),
            input_tokens=sum(answer.input_tokens for answer in (*used, *compared)),
            output_tokens=sum(answer.output_tokens for answer in (*used, *compared)),
            cost_usd=answers_cost(self.run.config.rates_for(self.run.dataset), used)
            + answers_cost(self.run.config.rates(self.champion_model), compared)
            + judge_usd,
        )


def _score(metric: Metric, number: int, found: Evaluated) -> Score:
    """Return a row's score, or why it has none."""
    if (score := found.scores.get((number, metric.name))) is not None:
        return score
    if (why := found.unanswered.get(number)) is not None:
        return Score(None, why)
    return Score(None, f"no answer of the champion: {found.champion_unanswered.get(number, 'none was given')}")


def _told_of(answers: Answers) -> str:
    return f" {told}" if (told := answers.in_words) else ""


def _to_mend(answers: Answers) -> str:
    """Say what to do about answers that are none, and where they are."""
    told = remedies(answers.unusable)
    return f" {told} They are in evaluation-rows.jsonl, beside the report." if told else ""


def _most_often(causing: Mapping[str, int]) -> str:
    """Say why rows have no score: where that is a wrong setting, it is the same for most of them."""
    if not causing:
        return ""
    cause = next(iter(causing)).rstrip(".")
    return f" Most often: {cause[:CAUSE_CHARACTERS]}{'…' if len(cause) > CAUSE_CHARACTERS else ''}."


def _named(left_out: Sequence[str]) -> str:
    shown = ", ".join(left_out[:5]) + (", …" if len(left_out) > 5 else "")  # noqa: PLR2004
    count = "1 row stands" if len(left_out) == 1 else f"{len(left_out)} rows stand"
    return f" {count} in the training file and {'is' if len(left_out) == 1 else 'are'} in no score: {shown}."
