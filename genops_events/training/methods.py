"""The check of a line for each method of tuning."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from genops_events.catalogue.tuning_models import METHODS, Method
from genops_events.training.examples import Measure, measure_example, measure_prompt
from genops_events.training.preferences import measure_preference
from genops_events.training.reasons import BadExample

MEASURES: Mapping[Method, Callable[[bytes], Measure]] = {
    "supervised": measure_example,
    "preference": measure_preference,
    "distillation": measure_prompt,
}
_LINES: Mapping[Method, str] = {
    "supervised": "an example with its answer",
    "preference": "a prompt with two answers to choose from",
    "distillation": "a prompt without an answer",
}
# An example with its answer is valid for distillation, too, so that is not suggested; a prompt gets the error about its missing answer.
_MISTAKEN_FOR: Mapping[Method, tuple[Method, ...]] = {
    "supervised": ("preference",),
    "preference": ("supervised", "distillation"),
    "distillation": ("preference",),
}


def meant_for_another(line: bytes, method: Method) -> str:
    """Return a sentence that names the method this line is valid for, if that is not `method`; else an empty text."""
    for other in _MISTAKEN_FOR[method]:
        try:
            MEASURES[other](line)
        except BadExample:
            continue
        return (
            f"This is {_LINES[other]}, as for {METHODS[other]}; the file is checked for {METHODS[method]}. "
            f"Set `tuning.method: {other}` in genops.yaml, or give each line {_LINES[method]}."
        )
    return ""
