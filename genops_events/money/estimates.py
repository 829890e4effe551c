"""What a training file will cost before anything is spent: tuning, evaluation with its judge, inference.

Every figure is an upper estimate: answers at their longest, amounts rounded up. What cannot be told is None, never 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from genops_events.config_parts.inference import Inference
from genops_events.evaluation.data import EvaluationExample
from genops_events.evaluation.judge_usage import judge_cost, judge_tokens, priced_as
from genops_events.evaluation.metrics import PAIRWISE, Metric
from genops_events.inference.prompts import BadRow, PromptRow
from genops_events.inference.requests import Requests
from genops_events.inference.served import evaluation_requests
from genops_events.money.pricing import Rates
from genops_events.tokens import estimated_tokens
from genops_events.training.file_tokens import NO_FIGURES, Assumed, FileFigures, FileTokens, take_file

if TYPE_CHECKING:
    from genops_events.config import Config, Dataset


@dataclass(frozen=True, slots=True)
class Step:
    """One paid step."""

    name: str
    usd: Decimal | None
    """None: not known, `why` says why."""
    limit_usd: Decimal | None = None
    """What genops.yaml allows for this step; None where it has no limit of its own."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    why: str = ""

    @property
    def is_over(self) -> bool:
        """Whether the step would be held."""
        return self.usd is not None and self.limit_usd is not None and self.usd > self.limit_usd

    def to_json(self) -> dict[str, Any]:
        """Return the step as `--json` prints it; amounts are texts."""
        return {
            "usd": None if self.usd is None else str(self.usd),
            "limit_usd": None if self.limit_usd is None else str(self.limit_usd),
            "over_limit": self.is_over,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "why": self.why,
        }


def tuning_step(rates: Rates, *, tokens: int, epochs: int, limit_usd: Decimal) -> Step:
    """Return what tuning costs: the file's tokens, once for each epoch."""
    passes = f"{epochs} {'epoch' if epochs == 1 else 'epochs'}"
    why = f"{tokens:,} tokens, {passes}"
    return Step("tuning", rates.tuning_cost(tokens, epochs), limit_usd, tokens * epochs, None, why)


def answers_step(
    name: str,
    rates: Rates,
    requests: Requests,
    prompts: Sequence[str],
    *,
    champion: tuple[Rates, Requests] | None = None,
) -> Step:
    """Return what answering these prompts costs at most: by the candidate, and by the champion where there is one.

    Args:
        name: of the step.
        rates: of the model.
        requests: make what it is asked: with them come system instruction, functions, and the longest answer.
        prompts: none has settings of its own.
        champion: the same of the champion, which answers the same prompts.
    """
    texts = sum(map(estimated_tokens, prompts))
    usd, asked, answered = Decimal(0), 0, 0
    for whose_rates, whose in [(rates, requests), *([] if champion is None else [champion])]:
        own = (texts + len(prompts) * whose.usual_tokens, len(prompts) * whose.usual_longest_answer)
        usd += whose_rates.most_for(*own)
        asked, answered = asked + own[0], answered + own[1]
    why = f"{len(prompts):,} prompts, answers of at most {requests.usual_longest_answer:,} tokens, thoughts included"
    if champion is not None:
        why += ", by the candidate and the champion"
    return Step(name, usd, None, asked, answered, why)


@dataclass(slots=True)
class PromptTokens:
    """About how many tokens a prompt file has, and the most that its answers may have."""

    rows: int = 0
    """That can be asked."""
    bad_rows: int = 0
    first_bad: BadRow | None = None
    with_files: int = 0
    """Rows with files whose tokens nobody can tell but the service: they are not among the tokens."""
    assumed: Assumed = field(default_factory=Assumed)
    """What was assumed of the other files, which are."""
    asked: int = 0
    answered: int = 0


def prompt_tokens(
    rows: Iterable[PromptRow | BadRow], requests: Requests, figures: FileFigures = NO_FIGURES
) -> PromptTokens:
    """Count what the rows of a prompt file ask for, each with its own settings; asks nobody.

    Args:
        rows: of the file.
        requests: that are made of them.
        figures: what the model counts files as.
    """
    found = PromptTokens()
    for row in rows:
        if isinstance(row, BadRow):
            found.bad_rows += 1
            found.first_bad = found.first_bad or row
            continue
        found.rows += 1
        if row.has_files:
            files = _files_of(row, has_resolution=requests.media_resolution(row) is not None)
            known = found.assumed.tokens(files, figures)
            found.with_files += known is None
            found.asked += known or 0
        found.asked += estimated_tokens(row.sent) + estimated_tokens(requests.system_instruction(row))
        found.asked += requests.declared_tokens(row)
        found.answered += requests.longest_answer(row)
    return found


def _files_of(row: PromptRow, *, has_resolution: bool) -> FileTokens:
    found = FileTokens(has_resolution=has_resolution)
    for part in (part for turn in row.contents for part in turn["parts"]):
        shown = part.get("fileData") or part.get("inlineData")
        if shown:
            take_file(found, str(shown["mimeType"]), part.get("videoMetadata"))
    return found


def inference_step(rates: Rates, inference: Inference, found: PromptTokens, *, limit_usd: Decimal) -> Step:
    """Return what answering a prompt file costs at most, in the way that is sure: online, unless `mode` is batch."""
    cache = inference.cache
    why = f"{found.rows:,} prompts, answers of at most {found.answered:,} tokens together"
    if found.with_files or (cache is not None and cache.files):
        files = (
            "`inference.cache` has files"
            if cache is not None and cache.files
            else f"{found.with_files:,} have files of unknown length"
        )
        return Step(
            "inference", None, limit_usd, None, found.answered, f"{why}; {files}, which the budget stage counts"
        )
    why = "; ".join((why, *(one.rstrip(".") for one in found.assumed.told(0))))
    # Once to make it, and with each prompt; there it may be cheaper, which depends on the model.
    common = 0 if cache is None else estimated_tokens(cache.text or "") * (found.rows + 1)
    asked = found.asked + common
    usd = rates.most_for(asked, found.answered, batch=inference.mode == "batch")
    return Step("inference", usd, limit_usd, asked, found.answered, why)


def evaluation_steps(
    config: Config,
    dataset: Dataset,
    metrics: Sequence[Metric],
    examples: Sequence[EvaluationExample],
    *,
    champion_model: str | None = None,
) -> tuple[Step, Step]:
    """Return what an evaluation costs at most: the answers, and the judge. What is reserved for it is this, too.

    Args:
        config: what models cost, and how they think.
        dataset: whose evaluation; its candidate is billed as its model.
        metrics: what is measured; for `pairwise`, the champion answers, too.
        examples: the rows that are asked about.
        champion_model: the one that the champion is billed as; the dataset's if not given.
    """
    evaluation = dataset.evaluation

    def asked(model: str) -> tuple[Rates, Requests]:
        return config.rates(model), evaluation_requests(config, dataset, model)

    compares = any(metric.name == PAIRWISE for metric in metrics)
    answers = answers_step(
        "evaluation",
        *asked(dataset.billed_model),
        [one.prompt for one in examples],
        champion=asked(champion_model or dataset.billed_model) if compares else None,
    )
    longest = asked(dataset.billed_model)[1].usual_judged_tokens
    tokens = judge_tokens(metrics, examples, answer_tokens=longest)
    usd = judge_cost(config.rates, evaluation, tokens)
    judged = ", ".join(metric.name for metric in metrics if metric.judged)
    why = f"{tokens.calls:,} calls of {priced_as(evaluation)} for {judged}" if judged else "no metric asks a judge"
    return answers, Step("judge", usd, None, tokens.input_tokens, tokens.output_tokens, why)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one candidate will cost."""

    dataset: str
    model: str
    as_of: str
    """Day of the price table."""
    steps: tuple[Step, ...]
    candidate_limit_usd: Decimal | None = None
    notes: tuple[str, ...] = ()

    @property
    def total_usd(self) -> Decimal:
        """The sum of what is known."""
        return sum((one.usd for one in self.steps if one.usd is not None), Decimal(0))

    @property
    def is_complete(self) -> bool:
        """Whether every step is known."""
        return all(one.usd is not None for one in self.steps)

    @property
    def is_over(self) -> bool:
        """Whether the candidate would be held by a limit on its own cost."""
        most = self.candidate_limit_usd
        return any(one.is_over for one in self.steps) or (most is not None and self.total_usd > most)

    def to_json(self) -> dict[str, Any]:
        """Return what `--json` prints; amounts are texts, since JSON's numbers are no money."""
        return {
            "dataset": self.dataset,
            "model": self.model,
            "prices_as_of": self.as_of,
            "steps": {one.name: one.to_json() for one in self.steps},
            "total_usd": str(self.total_usd),
            "complete": self.is_complete,
            "candidate_limit_usd": None if self.candidate_limit_usd is None else str(self.candidate_limit_usd),
            "over_limit": self.is_over,
            "notes": list(self.notes),
        }
