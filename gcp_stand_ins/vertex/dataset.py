"""Training data: read line by line, checked, counted."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from gcp_stand_ins.vertex.errors import ApiError
from gcp_stand_ins.vertex.tokens import billable_characters, call_tokens, count_tokens, media_tokens, text_of
from gcp_stand_ins.vertex.tuning_requests import DISTILLATION, PREFERENCE, SUPERVISED, Method

MIN_EXAMPLES = 16
MAX_TOKENS_PER_EXAMPLE = 131_072
_SHOWN_EXAMPLES = 3
_BUCKETS = 10
_MIN_COMPLETIONS = 2
_NAMES = {
    SUPERVISED.field: "supervised tuning",
    PREFERENCE.field: "preference tuning",
    DISTILLATION.field: "distillation",
}


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
    scores: list[float] = field(default_factory=list)
    variances: list[float] = field(default_factory=list)


def read_dataset(lines: Iterable[bytes], method: Method, *, teach: Callable[[str], str] = str) -> Dataset:
    """Return what a training file in JSON Lines teaches, in the form that the way of tuning asks for.

    Supervised tuning learns each turn of the model; preference tuning the completion with the best score;
    distillation the last turn of the model, or the teacher's answer where the prompt has none.

    Args:
        lines: the file's lines, with or without their ends; blank ones are passed over.
        method: the way of tuning.
        teach: the teacher of a distillation.

    Raises:
        DatasetRejected: a line is not a valid example, or there are too few of them.
    """
    dataset, counted = Dataset(), _Counted()
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                example = _read_example(line, method, teach)
            except _BadLine as error:
                raise DatasetRejected(f"Line {number} of the training dataset{error}") from None
            _count(example, number, counted, dataset)
    dataset.examples = len(counted.input_tokens)
    if dataset.examples < MIN_EXAMPLES:
        raise DatasetRejected(
            f"The training dataset has {dataset.examples} valid examples; "
            f"{_NAMES[method.field]} needs at least {MIN_EXAMPLES}."
        )
    dataset.stats = _stats(counted) if method is SUPERVISED else _general_stats(counted, method)
    return dataset


class _BadLine(Exception):
    """What is wrong with a line, to follow its number."""


@dataclass(slots=True)
class _Example:
    """One line as it is learned from and counted."""

    pairs: list[tuple[str, str]]
    inputs: list[str]
    outputs: list[str]
    messages: int
    shown: dict[str, Any]
    scores: list[float] = field(default_factory=list)
    beside: int = 0
    """Tokens of what is no text: files, calls of functions and their answers, declarations."""


def _read_example(line: bytes, method: Method, teach: Callable[[str], str]) -> _Example:
    try:
        example = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _BadLine(f" is not JSON in UTF-8: {error}.") from None
    turns, system = _read_turns(example)
    inputs = [system, *(text for role, text in turns if role == "user")]
    outputs = [text for role, text in turns if role == "model"]
    pairs = [(turns[at - 1][1], turns[at][1]) for at in range(1, len(turns), 2)]
    question = turns[-1 if turns[-1][0] == "user" else -2][1]
    shown: dict[str, Any] = {"role": "user", "parts": [{"text": question}]}
    scores: list[float] = []
    if method is PREFERENCE:
        if turns[-1][0] != "user":
            raise _BadLine(" does not end with a turn of the user; the answers belong into `completions`.")
        completions = _read_completions(example.get("completions"))
        scores = [score for score, _ in completions]
        pairs = [(question, max(completions)[1])]
        outputs += [text for _, text in completions]
        shown = {"contents": [shown], "completions": [_completion_view(*one) for one in completions]}
    elif method is DISTILLATION and turns[-1][0] == "user":
        pairs.append((question, teach(question)))
    elif turns[-1][0] != "model":
        raise _BadLine(" does not end with a turn of the model.")
    contents, tools = example["contents"], example.get("tools")
    beside = media_tokens(contents).total() + call_tokens(contents)
    beside += count_tokens(json.dumps(tools, ensure_ascii=False, separators=(",", ":"))) if tools else 0
    return _Example(
        pairs=pairs,
        inputs=inputs,
        outputs=outputs,
        messages=len(turns),
        shown=shown,
        scores=scores,
        beside=beside,
    )


def _read_turns(example: Any) -> tuple[list[tuple[str, str]], str]:
    """Return role and text of each turn, and the system instruction."""
    contents = example.get("contents") if isinstance(example, dict) else None
    if not isinstance(contents, list) or not contents or not all(isinstance(turn, dict) for turn in contents):
        raise _BadLine(" has no list of turns in `contents`.")
    try:
        turns = [(str(turn.get("role")), text_of(turn, where=f"contents[{at}]")) for at, turn in enumerate(contents)]
        system = example.get("systemInstruction") or example.get("system_instruction")
        system_text = text_of(system, where="systemInstruction") if system else ""
    except ApiError as error:
        raise _BadLine(f": {error.message}") from None
    for at, (role, _) in enumerate(turns):
        expected = ("user", "model")[at % 2]
        if role != expected:
            raise _BadLine(
                f": contents[{at}].role is {role!r} where {expected!r} is due; "
                "turns alternate between user and model, and begin with user."
            )
    return turns, system_text


def _read_completions(completions: Any) -> list[tuple[float, str]]:
    """Return score and text of each completion of a preference example."""
    if not isinstance(completions, list) or len(completions) < _MIN_COMPLETIONS:
        raise _BadLine(f" needs at least {_MIN_COMPLETIONS} `completions` to choose from.")
    read = []
    for at, one in enumerate(completions):
        score = one.get("score") if isinstance(one, dict) else None
        if isinstance(score, bool) or not isinstance(score, int | float):
            raise _BadLine(f": completions[{at}] has no number as `score`.")
        completion = one.get("completion")
        if not isinstance(completion, dict) or completion.get("role") != "model":
            raise _BadLine(f": completions[{at}].completion is not a turn of the model.")
        try:
            read.append((float(score), text_of(completion, where=f"completions[{at}].completion")))
        except ApiError as error:
            raise _BadLine(f": {error.message}") from None
    best, second = sorted((score for score, _ in read), reverse=True)[:2]
    if best == second:
        raise _BadLine(": no completion has a better `score` than all others.")
    return read


def _completion_view(score: float, text: str) -> dict[str, Any]:
    return {"score": score, "completion": {"role": "model", "parts": [{"text": text}]}}


def _count(example: _Example, number: int, counted: _Counted, dataset: Dataset) -> None:
    """Add one example, unless it is too long."""
    input_tokens = sum(map(count_tokens, example.inputs)) + example.beside
    output_tokens = sum(map(count_tokens, example.outputs))
    if input_tokens + output_tokens > MAX_TOKENS_PER_EXAMPLE:
        counted.truncated.append(number - 1)
        return
    counted.input_tokens.append(input_tokens)
    counted.output_tokens.append(output_tokens)
    counted.messages.append(example.messages)
    counted.characters += sum(map(len, example.inputs)) + sum(map(len, example.outputs))
    counted.billable += sum(map(billable_characters, [*example.inputs, *example.outputs]))
    if len(counted.shown) < _SHOWN_EXAMPLES:
        counted.shown.append(example.shown)
    if example.scores:
        counted.scores += example.scores
        counted.variances.append(statistics.pvariance(example.scores))
    dataset.pairs += example.pairs


def _general_stats(counted: _Counted, method: Method) -> dict[str, Any]:
    """Return `preferenceOptimizationDataStats` or `DatasetStats` but for the number of steps; its indices begin with 1."""
    stats = _stats(counted)
    left_out = {"totalTruncatedExampleCount", "truncatedExampleIndices"}
    if method is PREFERENCE:
        left_out |= {"totalTuningCharacterCount", "totalBillableCharacterCount", "userMessagePerExampleDistribution"}
    shown = {field: value for field, value in stats.items() if field not in left_out}
    shown["userInputTokenDistribution"] = _distribution(counted.input_tokens)
    shown["userOutputTokenDistribution"] = _distribution(counted.output_tokens)
    if method is PREFERENCE:
        shown["scoresDistribution"] = _distribution(counted.scores)
        shown["scoreVariancePerExampleDistribution"] = _distribution(counted.variances)
    else:
        shown["userMessagePerExampleDistribution"] = _distribution(counted.messages)
    if counted.truncated:
        shown["droppedExampleIndices"] = [str(index + 1) for index in counted.truncated]
    return shown


def _stats(counted: _Counted) -> dict[str, Any]:
    """Return `supervisedTuningDataStats` but for the number of steps, which depends on the epochs."""
    reason = f"The example has more than {MAX_TOKENS_PER_EXAMPLE} tokens."
    stats: dict[str, Any] = {
        "tuningDatasetExampleCount": str(len(counted.input_tokens)),
        "totalTuningCharacterCount": str(counted.characters),
        "totalBillableCharacterCount": str(counted.billable),
        "totalBillableTokenCount": str(sum(counted.input_tokens) + sum(counted.output_tokens)),
        "userInputTokenDistribution": _supervised_distribution(counted.input_tokens),
        "userOutputTokenDistribution": _supervised_distribution(counted.output_tokens),
        "userMessagePerExampleDistribution": _supervised_distribution(counted.messages),
        "userDatasetExamples": counted.shown,
    }
    if counted.truncated:
        stats["totalTruncatedExampleCount"] = str(len(counted.truncated))
        stats["truncatedExampleIndices"] = [str(index) for index in counted.truncated]
        stats["droppedExampleReasons"] = [reason] * len(counted.truncated)
    return stats


def _supervised_distribution(values: Sequence[int]) -> dict[str, Any]:
    """Return a `SupervisedTuningDatasetDistribution`: its sums are integers of 64 bits, its counts are numbers."""
    shown = _distribution(values)
    buckets = [{**bucket, "count": int(bucket["count"])} for bucket in shown["buckets"]]
    return {**shown, "sum": str(sum(values)), "billableSum": str(sum(values)), "buckets": buckets}


def _distribution(values: Sequence[float]) -> dict[str, Any]:
    """Return a `DatasetDistribution`: its sum is a number, its counts are integers of 64 bits."""
    low, high = min(values), max(values)
    cuts = statistics.quantiles(values, n=20, method="inclusive")
    width = (high - low) / _BUCKETS or 1.0
    counts = [0] * _BUCKETS
    for value in values:
        counts[min(_BUCKETS - 1, int((value - low) / width))] += 1
    return {
        "sum": sum(values),
        "min": low,
        "max": high,
        "mean": statistics.fmean(values),
        "median": statistics.median(values),
        "p5": cuts[0],
        "p95": cuts[-1],
        "buckets": [
            {"count": str(count), "left": low + at * width, "right": low + (at + 1) * width}
            for at, count in enumerate(counts)
            if count
        ],
    }
