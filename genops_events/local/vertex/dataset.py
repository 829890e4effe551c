"""Training data: read line by line, checked, counted."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from genops_events.local.vertex.errors import ApiError
from genops_events.local.vertex.tokens import billable_characters, count_tokens, text_of

MIN_EXAMPLES = 16
MAX_TOKENS_PER_EXAMPLE = 131_072
_SHOWN_EXAMPLES = 3
_BUCKETS = 10


class DatasetRejected(Exception):
    """The training data cannot be learned from; the message says which line and why."""


@dataclass(slots=True)
class Dataset:
    """What was read: each question with its answer, and the statistics that the API shows."""

    pairs: list[tuple[str, str]] = field(default_factory=list)
    examples: int = 0
    stats: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class _Counted:
    """What is counted on the way, an entry for each example."""

    input_tokens: list[int] = field(default_factory=list)
    output_tokens: list[int] = field(default_factory=list)
    messages: list[int] = field(default_factory=list)
    characters: int = 0
    billable: int = 0
    truncated: list[int] = field(default_factory=list)
    shown: list[dict[str, Any]] = field(default_factory=list)


def read_dataset(lines: Iterable[bytes]) -> Dataset:
    """Return what a supervised tuning file in JSON Lines teaches.

    Args:
        lines: the file's lines, with or without their ends; blank ones are passed over.

    Raises:
        DatasetRejected: a line is not a valid example, or there are too few of them.
    """
    dataset, counted = Dataset(), _Counted()
    for number, line in enumerate(lines, start=1):
        if line.strip():
            _read_example(line, number, dataset, counted)
    dataset.examples = len(counted.input_tokens)
    if dataset.examples < MIN_EXAMPLES:
        raise DatasetRejected(
            f"The training dataset has {dataset.examples} valid examples; "
            f"supervised tuning needs at least {MIN_EXAMPLES}."
        )
    dataset.stats = _stats(counted)
    return dataset


def _read_example(line: bytes, number: int, dataset: Dataset, counted: _Counted) -> None:
    """Add the example of one line."""
    try:
        example = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DatasetRejected(f"Line {number} of the training dataset is not JSON in UTF-8: {error}.") from None
    contents = example.get("contents") if isinstance(example, dict) else None
    if not isinstance(contents, list) or not contents or not all(isinstance(turn, dict) for turn in contents):
        raise DatasetRejected(f"Line {number} of the training dataset has no list of turns in `contents`.")
    try:
        turns = [(turn.get("role"), text_of(turn, where=f"contents[{at}]")) for at, turn in enumerate(contents)]
        system = example.get("systemInstruction")
        system_text = text_of(system, where="systemInstruction") if system else ""
    except ApiError as error:
        raise DatasetRejected(f"Line {number} of the training dataset: {error.message}") from None
    for at, (role, _) in enumerate(turns):
        expected = ("user", "model")[at % 2]
        if role != expected:
            raise DatasetRejected(
                f"Line {number} of the training dataset: contents[{at}].role is {role!r} where {expected!r} is due; "
                "turns alternate between user and model, and begin with user."
            )
    if turns[-1][0] != "model":
        raise DatasetRejected(f"Line {number} of the training dataset does not end with a turn of the model.")
    inputs = [system_text, *(text for role, text in turns if role == "user")]
    outputs = [text for role, text in turns if role == "model"]
    input_tokens, output_tokens = sum(map(count_tokens, inputs)), sum(map(count_tokens, outputs))
    if input_tokens + output_tokens > MAX_TOKENS_PER_EXAMPLE:
        counted.truncated.append(number - 1)
        return
    counted.input_tokens.append(input_tokens)
    counted.output_tokens.append(output_tokens)
    counted.messages.append(len(turns))
    counted.characters += sum(map(len, inputs)) + sum(map(len, outputs))
    counted.billable += sum(map(billable_characters, inputs)) + sum(map(billable_characters, outputs))
    if len(counted.shown) < _SHOWN_EXAMPLES:
        counted.shown.append({"role": "user", "parts": [{"text": turns[-2][1]}]})
    dataset.pairs += [(turns[at - 1][1], turns[at][1]) for at in range(1, len(turns), 2)]


def _stats(counted: _Counted) -> dict[str, Any]:
    """Return `supervisedTuningDataStats` but for the number of steps, which depends on the epochs."""
    reason = f"The example has more than {MAX_TOKENS_PER_EXAMPLE} tokens."
    stats: dict[str, Any] = {
        "tuningDatasetExampleCount": str(len(counted.input_tokens)),
        "totalTuningCharacterCount": str(counted.characters),
        "totalBillableCharacterCount": str(counted.billable),
        "totalBillableTokenCount": str(sum(counted.input_tokens) + sum(counted.output_tokens)),
        "userInputTokenDistribution": _distribution(counted.input_tokens),
        "userOutputTokenDistribution": _distribution(counted.output_tokens),
        "userMessagePerExampleDistribution": _distribution(counted.messages),
        "userDatasetExamples": counted.shown,
    }
    if counted.truncated:
        stats["totalTruncatedExampleCount"] = str(len(counted.truncated))
        stats["truncatedExampleIndices"] = [str(index) for index in counted.truncated]
        stats["droppedExampleReasons"] = [reason] * len(counted.truncated)
    return stats


def _distribution(values: Sequence[int]) -> dict[str, Any]:
    low, high = min(values), max(values)
    cuts = statistics.quantiles(values, n=20, method="inclusive")
    width = (high - low) / _BUCKETS or 1.0
    counts = [0] * _BUCKETS
    for value in values:
        counts[min(_BUCKETS - 1, int((value - low) / width))] += 1
    return {
        "sum": str(sum(values)),
        "billableSum": str(sum(values)),
        "min": low,
        "max": high,
        "mean": statistics.fmean(values),
        "median": statistics.median(values),
        "p5": cuts[0],
        "p95": cuts[-1],
        "buckets": [
            {"count": count, "left": low + at * width, "right": low + (at + 1) * width}
            for at, count in enumerate(counts)
            if count
        ],
    }
