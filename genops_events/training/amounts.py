"""Limits on one example, and the most tokens of it that tuning is billed for."""

from __future__ import annotations

from genops_events.catalogue.tuning_models import ModelLimits
from genops_events.training.examples import Measure, fewest_tokens_of
from genops_events.training.file_tokens import Assumed
from genops_events.training.reasons import BadExample, Reason, shown


def refuse_too_much(line: bytes, measure: Measure, limits: ModelLimits) -> None:
    """Raise BadExample for an example over a limit.

    The estimate of tokens may be too high, and must not refuse examples that Google takes. So an example is refused only if
    it has too many tokens for certain, with LONGEST_TOKEN_CHARACTERS in each. Google itself drops others that are over the
    limit, and tunes on the rest.
    """
    for number, limit, what in (
        (measure.images, limits.max_images_per_example, "images"),
        (measure.documents, limits.max_documents_per_example, "PDF documents"),
    ):
        if number > limit:
            raise BadExample(
                Reason.TOO_MANY_FILES,
                f"{number} {what}; {limits.model} is tuned on at most {limit} in one example. Leave some out, or split it.",
            )
    for uri in measure.files:
        if limits.readable is not None and (problem := limits.readable.problem(uri)) is not None:
            raise BadExample(Reason.BAD_MEDIA, f"The file {shown(uri)} {problem}.")
    most = limits.max_tokens_per_example
    if measure.tokens > most and (fewest := fewest_tokens_of(line)) > most:
        raise BadExample(
            Reason.TOO_MANY_TOKENS,
            f"At least {fewest:,} tokens, about {measure.tokens:,}; {limits.model} is tuned on at most {most:,} in one "
            "example. Shorten or split it.",
        )


def most_billed(measure: Measure, limits: ModelLimits, assumed: Assumed) -> int:
    """Return the most tokens that an example is billed for, at most the limit; what is assumed of its files is added to `assumed`."""
    most, files = limits.max_tokens_per_example, 0
    if measure.file_tokens is None and not measure.billed_on_top:  # the usual case, which has to be fast
        return min(measure.tokens, most)
    if measure.file_tokens is not None:
        found = assumed.tokens(measure.file_tokens, limits.file_figures)
        files = most if found is None else found
    return min(measure.tokens + files, most) + min(measure.billed_on_top, most)
