"""What answers cost at most, before any prompt is asked."""

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
    """Return what answering these prompts costs at most: by the candidate, and by the champion where there is one.

    Args:
        name: of the step.
        rates: of the model.
        requests: make what it is asked: with them come system instruction, functions, and the longest answer.
        prompts: none has settings of its own.
        champion: the same of the champion, which answers the same prompts.
        file_tokens: of files that come before each prompt, counted by the service; None where nobody has counted them.
    """
    texts = sum(map(estimated_tokens, prompts))
    usd, asked, answered = Decimal(0), 0, 0
    for whose_rates, whose in [(rates, requests), *([] if champion is None else [champion])]:
        own = (
            texts + len(prompts) * (whose.usual_tokens + (file_tokens or 0)),
            len(prompts) * whose.usual_longest_answer,
        )
        usd += whose_rates.most_for(*own)
        asked, answered = asked + own[0], answered + own[1]
    why = f"{len(prompts):,} prompts, answers of at most {requests.usual_longest_answer:,} tokens, thoughts included"
    if champion is not None:
        why += ", by the candidate and the champion"
    if requests.shows_files_before and file_tokens is None:
        return PaidStep(name, None, None, None, answered, f"{why}; {_CACHED_FILES}, which the evaluation stage counts")
    return PaidStep(name, usd, None, asked, answered, why)


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


def inference_step(rates: Rates, inference: Inference, found: PromptTokens, *, limit_usd: Decimal) -> PaidStep:
    """Return what answering a prompt file costs at most, in the way that is sure: online, unless `mode` is batch."""
    cache = inference.cache
    why = f"{found.rows:,} prompts, answers of at most {found.answered:,} tokens together"
    if found.with_files or (cache is not None and cache.files):
        files = (
            _CACHED_FILES if cache is not None and cache.files else f"{found.with_files:,} have files of unknown length"
        )
        return PaidStep(
            "inference", None, limit_usd, None, found.answered, f"{why}; {files}, which the budget stage counts"
        )
    why = "; ".join((why, *(one.rstrip(".") for one in found.assumed.told(0))))
    # Once to make it, and with each prompt; there it may be cheaper, which depends on the model.
    common = 0 if cache is None else estimated_tokens(cache.text or "") * (found.rows + 1)
    asked = found.asked + common
    usd = rates.most_for(asked, found.answered, batch=inference.mode == "batch")
    return PaidStep("inference", usd, limit_usd, asked, found.answered, why)
