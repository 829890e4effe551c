"""The work of an evaluation: ask, score, write and conclude, in an order that survives a crash at any point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
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
from genops_events.evaluation.judge_usage import judged_tokens
from genops_events.evaluation.python_metrics import functions_of
from genops_events.evaluation.report import Report, report_html
from genops_events.evaluation.rows import Row, answers_in, causes, failed_rows, summarise
from genops_events.evaluation.scored_run import AnsweringModel, ScoredRun, prompt_rows
from genops_events.gemini.kept_answers import answers_to
from genops_events.gemini.online import Respondent
from genops_events.gemini.served import evaluation_requests
from genops_events.gemini.token_counts import files_before_tokens
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
"""Most characters of a failure's cause in the verdict's reason; the summary has all of it."""


class EvaluationRun:
    """Evaluation of one candidate, in one Dag run.

    Args:
        run: the run of the stage; it has taken the stage on.
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
        """The champion that the candidate is compared with; the first try settles it.

        Each release of a held evaluation settles it anew, since there may be another champion by then.
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
        return self.run.store.create_or_read(plan_path(self.candidate, self.run.rounds.released), plan)

    @cached_property
    def metrics(self) -> list[Metric]:
        """The metrics of the dataset, `pairwise` only where there is a champion."""
        return [one for one in self.evaluation.measured() if one.name != PAIRWISE or self.plan.endpoint is not None]

    @cached_property
    def champion_model(self) -> str:
        """The published model that the champion is billed as; the dataset's source model may have changed since."""
        billed = self.run.dataset.billed_model
        tuning = None if self.plan.champion is None else self.run.store.verdict(self.plan.champion, Stage.TUNING)
        source = tuning.source_model if isinstance(tuning, TuningVerdict) else None
        # The source of a champion that was tuned further is a tuned model, which has no price of its own.
        return self.run.config.catalogue.known_or(source, billed)

    def verdict(self) -> Verdict:
        """Evaluate, write rows, figures and report, and return the recorded verdict.

        Raises:
            StepAside: it would go over a limit, and the candidate is held until a person approves it.
            PermanentError: the evaluation file or a metric of genops.yaml cannot be used; nothing was spent.
            CloudUnavailable: a call failed after its retries; the next try continues from what is kept.
        """
        functions = functions_of(self.evaluation.measured())
        needed = self.evaluation.needs_reference
        examples = evaluation_examples(self.bucket, self.evaluation.file, needs_reference=needed)
        left_out = self._left_out(examples)
        asked = [one for number, one in enumerate(examples) if number not in left_out]
        if not asked:
            return self._nothing_to_ask(left_out)
        pay_for(self.run, "evaluation", self._most(asked))
        scored = self._scored_run(asked)
        scored.ask_and_score(functions)
        verdict = self._conclude(scored, self._rows(examples, left_out, scored))
        scored.forget()
        return verdict

    def _left_out(self, examples: Sequence[EvaluationExample]) -> dict[int, str]:
        """Return why rows are not scored, by their index: they are in the training file."""
        found = kept.training_lines(self.bucket, [valid_lines_path(self.candidate), training_path(self.candidate)])
        if found is None:
            return {}
        name, lines = found
        there = PurePosixPath(name).name
        places = in_training([one.prompt for one in examples], lines)
        return {number: f"is in the training file ({there}, line {line})" for number, line in places.items()}

    def _nothing_to_ask(self, left_out: Mapping[int, str]) -> Verdict:
        reason = (
            f"Every row of {self.evaluation.file} is in the training file: scores would measure what the model has "
            "memorised. Hold rows out of the training file, and upload it again."
        )
        return self.run.conclude(EvaluationVerdict, Outcome.REFUSED, reason, examples=0, left_out=len(left_out))

    def _most(self, asked: Sequence[EvaluationExample]) -> Decimal:
        """Return the most in USD that answers and judge can cost, by estimated prompts and answers of the greatest length."""
        config, dataset = self.run.config, self.run.dataset
        answers, judge = evaluation_steps(
            config,
            dataset,
            self.metrics,
            asked,
            champion_model=self.champion_model,
            file_tokens=max(
                files_before_tokens(config, dataset, one) for one in {dataset.billed_model, self.champion_model}
            ),
        )
        assert answers.usd is not None
        assert judge.usd is not None
        return answers.usd + judge.usd

    def _scored_run(self, asked: Sequence[EvaluationExample]) -> ScoredRun:
        config, dataset = self.run.config, self.run.dataset
        own = evaluation_requests(config, dataset, dataset.billed_model)
        return ScoredRun(
            config,
            self.evaluation,
            self.bucket,
            examples=asked,
            metrics=self.metrics,
            scores=judgements_prefix(self.candidate),
            candidate=AnsweringModel(
                respondent=Respondent(
                    self.run.endpoint,
                    own,
                    name=self.run.tuning.model or self.run.endpoint,
                    base_model=dataset.billed_model,
                    settings=own.asked_as,
                ),
                rates=config.rates_for(dataset),
                answers=evaluation_answers_path(self.candidate),
            ),
            champion=self._champion(asked) if any(metric.name == PAIRWISE for metric in self.metrics) else None,
        )

    def _champion(self, asked: Sequence[EvaluationExample]) -> AnsweringModel:
        """Return the champion, with the answers that its own evaluation has paid for."""
        # The same settings, with the least thinking of the model that the champion was tuned from.
        requests = evaluation_requests(self.run.config, self.run.dataset, self.champion_model)
        endpoint, before = self.plan.endpoint or "", evaluation_answers_path(self.plan.champion or "")
        return AnsweringModel(
            respondent=Respondent(
                endpoint,
                requests,
                name=self.plan.model or endpoint,
                base_model=self.champion_model,
                settings=requests.asked_as,
            ),
            rates=self.run.config.rates(self.champion_model),
            answers=champion_answers_path(self.candidate),
            paid=answers_to(self.bucket, before, prompt_rows(asked), settings=requests.asked_as),
        )

    def _rows(self, examples: Sequence[EvaluationExample], left_out: Mapping[int, str], scored: ScoredRun) -> list[Row]:
        """Return every row of the file in order, with answers and scores."""
        before = {}
        if self.plan.champion is not None:
            before = {row.key: row for row in kept.read_rows(self.bucket, rows_path(self.plan.champion))}
        rows = iter(scored.rows())
        return [
            Row(id=one.name, prompt=one.prompt, reference=one.reference, left_out=left_out[place])
            if place in left_out
            else self._beside_champion(next(rows), before)
            for place, one in enumerate(examples)
        ]

    def _beside_champion(self, row: Row, before: Mapping[str, Row]) -> Row:
        """Return a row with the champion's scores on it, by the same metrics, from the champion's own evaluation."""
        other = before.get(row.key)
        if other is None or other.state not in (None, "complete"):  # older versions scored unusable answers
            return row
        same = [one.name for one in self.metrics if other.measures.get(one.name) == one.fingerprint]
        return replace(
            row,
            champion_scores={name: other.scores[name] for name in same if name in other.scores and name != PAIRWISE},
        )

    def _conclude(self, scored: ScoredRun, rows: list[Row]) -> Verdict:
        evaluation, champion = self.evaluation, self.plan.champion
        figures = summarise(rows, self.metrics, self.plan.scores)
        failed = failed_rows(rows)
        gate = Gate(evaluation.gate, evaluation.no_regression, evaluation.failed_rows)
        judgement = judge(figures, gate, failed_rows=failed, champion=champion is not None)
        left_out = [row.id for row in rows if row.left_out is not None]
        causing, answers = causes(rows), answers_in(rows)
        reason = f"{judgement.reason}{_answers_sentence(answers)}{_main_cause_sentence(causing)}"
        if not judgement.passed:
            reason += _remedies_sentence(answers, causing)
        reason += _left_out_sentence(left_out) if left_out else ""
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
        bought = scored.bought()
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
            judge_calls=judged_tokens(self.metrics, rows).calls,
            judge_usd=scored.judge_usd(rows),
            rows_uri=self.run.config.uri(rows_path(self.candidate)),
            report_uri=self.run.config.uri(report_path(self.candidate)),
            input_tokens=bought.input_tokens,
            output_tokens=bought.output_tokens,
            cost_usd=scored.spent_usd(rows),
        )


def _answers_sentence(answers: Answers) -> str:
    return f" {words}" if (words := answers.in_words) else ""


def _remedies_sentence(answers: Answers, causing: Mapping[str, int]) -> str:
    """Return what to do about unusable answers, and where they are; empty where there are none."""
    words = remedies(answers.unusable, causing)
    return f" {words} They are in evaluation-rows.jsonl, beside the report." if words else ""


def _main_cause_sentence(causing: Mapping[str, int]) -> str:
    """Return the most frequent cause of missing scores: a wrong setting causes most of them. Empty where there are none."""
    if not causing:
        return ""
    cause = next(iter(causing)).rstrip(".")
    return f" Most often: {cause[:CAUSE_CHARACTERS]}{'…' if len(cause) > CAUSE_CHARACTERS else ''}."


def _left_out_sentence(left_out: Sequence[str]) -> str:
    shown = ", ".join(left_out[:5]) + (", …" if len(left_out) > 5 else "")  # noqa: PLR2004
    count = "1 row is" if len(left_out) == 1 else f"{len(left_out)} rows are"
    return f" {count} in the training file and {'was' if len(left_out) == 1 else 'were'} not scored: {shown}."
