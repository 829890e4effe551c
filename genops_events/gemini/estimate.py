"""Estimate the most that answers can cost, before any prompt is asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from genops_events.catalogue.file_figures import NO_FIGURES, FileFigures
from genops_events.catalogue.prices import Rates
from genops_events.catalogue.tokens import estimated_tokens
from genops_events.config.inference import Inference
from genops_events.gemini.prompts import BadRow, PromptRow
from genops_events.gemini.requests import Requests
from genops_events.money.steps import PaidStep
from genops_events.training.file_tokens import Assumed, FileTokens, take_file

_CACHED_FILES = "`inference.cache` has files"


def answers_step(
    name: str,
    rates: Rates,
    requests: Requests,
    prompts: Sequence[str],
    *,
    champion: tuple[Rates, Requests] | None = None,
    file_tokens: int | None = None,
) -> PaidStep:
    """Return the most that answering these prompts can cost: by the candidate, and by the champion where there is one.

    Args:
        name: of the step.
        rates: of the candidate's model.
        requests: of the candidate: they give system instruction, functions and the longest answer.
        prompts: texts; none has settings of its own.
        champion: rates and requests of the champion, which answers the same prompts; None for none.
        file_tokens: of the files before each prompt, as the service counted them; None where they were not counted.
    """
    texts = sum(map(estimated_tokens, prompts))
    usd, asked, answered = Decimal(0), 0, 0
    for model_rates, model_requests in [(rates, requests), *([] if champion is None else [champion])]:
        own = (
            texts + len(prompts) * (model_requests.usual_tokens + (file_tokens or 0)),
            len(prompts) * model_requests.usual_longest_answer,
        )
        usd += model_rates.most_for(*own)
        asked, answered = asked + own[0], answered + own[1]
    why = f"{len(prompts):,} prompts, answers of at most {requests.usual_longest_answer:,} tokens, thoughts included"
    if champion is not None:
        why += ", by the candidate and the champion"
    if requests.shows_files_before and file_tokens is None:
        return PaidStep(name, None, None, None, answered, f"{why}; {_CACHED_FILES}, which the evaluation stage counts")
    return PaidStep(name, usd, None, asked, answered, why)


@dataclass(slots=True)
class PromptTokens:
    """Estimated tokens of a prompt file, and the most that its answers may have."""

    rows: int = 0
    """Rows that can be asked."""
    bad_rows: int = 0
    first_bad: BadRow | None = None
    with_files: int = 0
    """Rows with files that only the service can count: `asked` does not include the tokens of these files."""
    assumed: Assumed = field(default_factory=Assumed)
    """What was assumed of all other files: `asked` includes their tokens."""
    asked: int = 0
    """Input tokens."""
    answered: int = 0
    """The most output tokens."""


def prompt_tokens(
    rows: Iterable[PromptRow | BadRow], requests: Requests, figures: FileFigures = NO_FIGURES
) -> PromptTokens:
    """Estimate the tokens of the rows of a prompt file, each with its own settings; makes no call.

    Args:
        rows: of the file.
        requests: of the run that will ask them.
        figures: tokens of the model for each kind of file.
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


def inference_step(
    rates: Rates, inference: Inference, found: PromptTokens, *, limit_usd: Decimal, requests_per_minute: int
) -> PaidStep:
    """Return the most that answering a prompt file can cost: at online prices, unless `mode` is batch.

    Args:
        rates: prices of the model.
        inference: of the dataset.
        found: of its prompts.
        limit_usd: `budget.inference_usd`.
        requests_per_minute: the quota: for so long as it takes, a context cache is kept.
    """
    cache = inference.cache
    why = f"{found.rows:,} prompts, answers of at most {found.answered:,} tokens together"
    if found.with_files or (cache is not None and cache.files):
        files = (
            _CACHED_FILES if cache is not None and cache.files else f"{found.with_files:,} have files of unknown length"
        )
        return PaidStep(
            "inference", None, limit_usd, None, found.answered, f"{why}; {files}, which the budget stage counts"
        )
    why = "; ".join((why, *(one.rstrip(".") for one in found.assumed.sentences(0))))
    # The cache is billed once when it is made, and with each prompt, where the model may have a lower price for it.
    common = 0 if cache is None else estimated_tokens(cache.text or "")
    asked = found.asked + common * (found.rows + 1)
    usd = rates.most_for(asked, found.answered, batch=inference.mode == "batch")
    if cache is not None:
        usd += rates.keeping_cost(common, cache.kept_minutes(found.rows, requests_per_minute) / 60)
    return PaidStep("inference", usd, limit_usd, asked, found.answered, why)
