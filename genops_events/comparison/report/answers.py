"""One prompt as a card that folds: prompt and reference, and all different answers side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from genops_events.comparison.report.contestant_name import ContestantName, contestant_name
from genops_events.comparison.report.differences import marked
from genops_events.record.comparison import ComparedAnswer, ComparedRow, ContestantResult
from genops_events.reports import TextBox, short, shown, text_box

_MOST_DIFFERENT = 60
_REASON_CHARACTERS, _WORDS_CHARACTERS, _MOST_WORDS = 200, 300, 3
_STATES = {
    "cut": "cut at the longest answer",
    "blocked": "blocked, or ended early",
    "empty": "no text",
}


@dataclass(frozen=True, slots=True)
class SummaryPart:
    """A part of the summary of all answers to a prompt: words, and the figure after them."""

    words: str
    figure: str = ""


@dataclass(frozen=True, slots=True)
class AnswerScore:
    """A score of an answer; empty where the metric gave none."""

    metric: str
    score: str


@dataclass(frozen=True, slots=True)
class AnswerGroup:
    """Contestants with the same answer and the same scores."""

    who: Sequence[ContestantName]
    scores: Sequence[AnswerScore]


@dataclass(frozen=True, slots=True)
class Explanation:
    """The judge's explanation of a score."""

    metric: str
    numbers: str
    """Numbers of the contestants with this answer."""
    text: str


@dataclass(frozen=True, slots=True)
class AnswerCard:
    """An answer, with all contestants that gave it."""

    givers: Sequence[AnswerGroup]
    is_the_reference: bool
    state: str
    """Why the answer is not complete; empty where it is."""
    box: TextBox
    failures: Sequence[str]
    explanations: Sequence[Explanation]


@dataclass(frozen=True, slots=True)
class MissingAnswer:
    """A contestant without an answer."""

    who: ContestantName
    reason: str


@dataclass(frozen=True, slots=True)
class PromptCard:
    """A prompt, with all answers."""

    id: str
    summary: Sequence[SummaryPart]
    asked: Sequence[TextBox]
    answers: Sequence[AnswerCard]
    missing: Sequence[MissingAnswer]
    more: str
    """Number of answers that are not shown; empty where all are."""


@dataclass(slots=True)
class _DistinctAnswer:
    answer: str
    state: str = ""
    by: list[tuple[int, str, ComparedAnswer]] = field(default_factory=list)
    """Number and name of each contestant with this answer, and its answer with scores."""


def prompt_card(row: ComparedRow, contestants: Sequence[ContestantResult], metrics: Sequence[str]) -> PromptCard:
    """Return the card of a row; the same answer of several contestants is shown once."""
    given, missing = _gathered(row, contestants)
    # Other answers are compared with the most frequent one; of equally frequent ones, with the first.
    usual = max(given, key=lambda one: len(one.by)).answer if given else ""
    left = len(given) - _MOST_DIFFERENT
    texts = (("prompt", row.prompt), ("reference", row.reference))
    return PromptCard(
        id=short(row.id),
        summary=_summary(row, given, missing, metrics),
        asked=[text_box(name, text) for name, text in texts if text is not None],
        answers=[_card(one, usual, row.reference, metrics) for one in given[:_MOST_DIFFERENT]],
        missing=missing,
        more=f"{left:,}" if left > 0 else "",
    )


def _gathered(
    row: ComparedRow, contestants: Sequence[ContestantResult]
) -> tuple[list[_DistinctAnswer], list[MissingAnswer]]:
    found: dict[tuple[str, str], _DistinctAnswer] = {}
    missing = []
    for number, contestant in enumerate(contestants, start=1):
        answer = row.answers.get(contestant.name)
        if answer is None:
            reason = f"{contestant.status}: {contestant.reason}".removesuffix(": ")
            missing.append(MissingAnswer(contestant_name(number, contestant.name), short(reason, _REASON_CHARACTERS)))
        elif answer.answer is None:
            reason = "; ".join(dict.fromkeys(answer.failures.values())) or contestant.reason
            missing.append(MissingAnswer(contestant_name(number, contestant.name), short(reason, _REASON_CHARACTERS)))
        else:
            state = _STATES.get(answer.state or "", "")
            if state and answer.finish_reason:
                state += f" ({short(answer.finish_reason, _REASON_CHARACTERS)})"
            one = found.setdefault((answer.answer, state), _DistinctAnswer(answer.answer, state))
            one.by.append((number, contestant.name, answer))
    return list(found.values()), missing


def _summary(
    row: ComparedRow, given: Sequence[_DistinctAnswer], missing: Sequence[MissingAnswer], metrics: Sequence[str]
) -> list[SummaryPart]:
    different = len({one.answer for one in given})
    counted = {0: "no answer", 1: "one answer"}
    parts = [SummaryPart(counted.get(different, f"{different} different answers"))]
    if missing and different:
        parts.append(SummaryPart(f"{len(missing)} without one"))
    for metric in metrics:
        scores = [one.scores[metric] for one in row.answers.values() if metric in one.scores]
        if scores:
            low, high = min(scores), max(scores)
            parts.append(SummaryPart(metric, f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"))
    return parts


def _card(one: _DistinctAnswer, usual: str, reference: str | None, metrics: Sequence[str]) -> AnswerCard:
    scored: dict[tuple[AnswerScore, ...], list[ContestantName]] = {}
    for number, name, answer in one.by:
        scored.setdefault(_scores(answer, metrics), []).append(contestant_name(number, name))
    pieces = None if usual == one.answer else marked(shown(one.answer), shown(usual))
    numbers = ", ".join(str(number) for number, *_ in one.by)
    return AnswerCard(
        givers=[AnswerGroup(names, scores) for scores, names in scored.items()],
        is_the_reference=reference is not None and one.answer.strip() == reference.strip(),
        state=one.state,
        box=text_box(f"answer of {numbers}", one.answer, empty="an empty answer", pieces=pieces),
        failures=_failures(one),
        explanations=_explanations(one),
    )


def _scores(answer: ComparedAnswer, metrics: Sequence[str]) -> tuple[AnswerScore, ...]:
    return tuple(
        AnswerScore(metric, f"{answer.scores[metric]:.4g}" if metric in answer.scores else "")
        for metric in metrics
        if metric in answer.scores or metric in answer.failures
    )


def _failures(one: _DistinctAnswer) -> list[str]:
    causes = dict.fromkeys(cause for *_, answer in one.by for cause in answer.failures.values())
    return [short(cause, _REASON_CHARACTERS) for cause in list(causes)[:_MOST_WORDS]]


def _explanations(one: _DistinctAnswer) -> list[Explanation]:
    found: dict[tuple[str, str], list[str]] = {}
    for number, _, answer in one.by:
        for metric, text in list(answer.explanations.items())[:_MOST_WORDS]:
            found.setdefault((metric, short(text, _WORDS_CHARACTERS)), []).append(str(number))
    return [Explanation(metric, ", ".join(numbers), text) for (metric, text), numbers in found.items()]
