"""One prompt as a card that folds: what was asked and expected, and side by side each answer that was given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from html import escape

from genops_events.comparison.record import ComparedAnswer, ComparedRow, ContestantResult
from genops_events.comparison_report.differences import marked
from genops_events.report_parts import TEXT_CHARACTERS, short, text_box

_MOST_DIFFERENT = 60
_REASON_CHARACTERS, _WORDS_CHARACTERS, _MOST_WORDS = 200, 300, 3
_STATES = {
    "cut": "cut at the longest answer",
    "blocked": "blocked, or ended early",
    "empty": "said nothing",
}


@dataclass(slots=True)
class _Given:
    """An answer, with everybody who gave it."""

    answer: str
    state: str = ""
    by: list[tuple[int, str, ComparedAnswer]] = field(default_factory=list)
    """Number and name of the contestant, and its answer with what is to be known of it."""


@dataclass(frozen=True, slots=True)
class _Missing:
    """A contestant without an answer."""

    number: int
    name: str
    reason: str


def answers_card(row: ComparedRow, contestants: Sequence[ContestantResult], metrics: Sequence[str]) -> str:
    """Return the row; answers that are the same stand there once, with all who gave them."""
    given, missing = _gathered(row, contestants)
    # What most gave is what the others are held against; of equals, what came first.
    usual = max(given, key=lambda one: len(one.by)).answer if given else ""
    cards = "".join(_card(one, usual, row.reference, metrics) for one in given[:_MOST_DIFFERENT])
    left = len(given) - _MOST_DIFFERENT
    more = f"<p>And {left:,} answers more, in the file of rows.</p>" if left > 0 else ""
    return (
        f'<details class="row" open><summary><code>{escape(short(row.id))}</code> '
        f'<span class="scores">{_summary(row, given, missing, metrics)}</span></summary>'
        f"<dl>{_asked(row)}</dl>"
        f'<ul class="answers" role="list" aria-label="answers">{cards}{_none(missing)}</ul>{more}</details>\n'
    )


def who(number: int, name: str) -> str:
    """Return a contestant as all parts of the report call it: by number and name."""
    return f'<span class="who"><span class="no">{number}</span> <bdi>{escape(short(name))}</bdi></span>'


def _gathered(row: ComparedRow, contestants: Sequence[ContestantResult]) -> tuple[list[_Given], list[_Missing]]:
    found: dict[tuple[str, str], _Given] = {}
    missing = []
    for number, contestant in enumerate(contestants, start=1):
        answer = row.answers.get(contestant.name)
        if answer is None:
            reason = f"{contestant.status}: {contestant.reason}".removesuffix(": ")
            missing.append(_Missing(number, contestant.name, reason))
        elif answer.answer is None:
            reason = "; ".join(dict.fromkeys(answer.failures.values())) or contestant.reason
            missing.append(_Missing(number, contestant.name, reason))
        else:
            state = _STATES.get(answer.state or "", "")
            if state and answer.finish_reason:
                state += f" ({short(answer.finish_reason, _REASON_CHARACTERS)})"
            one = found.setdefault((answer.answer, state), _Given(answer.answer, state))
            one.by.append((number, contestant.name, answer))
    return list(found.values()), missing


def _summary(row: ComparedRow, given: Sequence[_Given], missing: Sequence[_Missing], metrics: Sequence[str]) -> str:
    different = len({one.answer for one in given})
    parts = ["no answer" if not different else "one answer" if different == 1 else f"{different} different answers"]
    if missing and different:
        parts.append(f"{len(missing)} without one")
    for metric in metrics:
        scores = [one.scores[metric] for one in row.answers.values() if metric in one.scores]
        if scores:
            low, high = min(scores), max(scores)
            between = f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
            parts.append(f"{escape(metric)} <strong>{between}</strong>")
    return " ".join(f"<span>{one}</span>" for one in parts)


def _asked(row: ComparedRow) -> str:
    drawn = f"<dt>prompt</dt><dd>{text_box('prompt', row.prompt)}</dd>"
    if row.reference is not None:
        drawn += f"<dt>reference</dt><dd>{text_box('reference', row.reference)}</dd>"
    return drawn


def _card(one: _Given, usual: str, reference: str | None, metrics: Sequence[str]) -> str:
    scored: dict[str, list[str]] = {}
    for number, name, answer in one.by:
        scored.setdefault(_scores(answer, metrics), []).append(who(number, name))
    givers = "".join(f'<div class="givers">{" ".join(names)}{scores}</div>' for scores, names in scored.items())
    numbers = ", ".join(str(number) for number, *_ in one.by)
    tags = ""
    if reference is not None and one.answer.strip() == reference.strip():
        tags += '<p class="tag passed">same as the reference</p>'
    if one.state:
        tags += f'<p class="tag refused" dir="auto">{escape(one.state)}</p>'
    show = escape if usual == one.answer else partial(marked, other=usual[:TEXT_CHARACTERS])
    text = text_box(f"answer of {numbers}", one.answer, empty="an empty answer", show=show)
    return f'<li class="answer">{givers}{tags}{text}{_failures(one)}{_explained(one)}</li>'


def _none(missing: Sequence[_Missing]) -> str:
    if not missing:
        return ""
    lines = "".join(
        f'<div class="givers">{who(one.number, one.name)} '
        f'<span class="soft" dir="auto">{escape(short(one.reason, _REASON_CHARACTERS))}</span></div>'
        for one in missing
    )
    return f'<li class="answer none"><p class="tag refused">no answer</p>{lines}</li>'


def _scores(answer: ComparedAnswer, metrics: Sequence[str]) -> str:
    told = " · ".join(
        f"{escape(metric)} <strong>{answer.scores[metric]:.4g}</strong>"
        if metric in answer.scores
        else f"{escape(metric)} <em>no score</em>"
        for metric in metrics
        if metric in answer.scores or metric in answer.failures
    )
    return f' <span class="soft">{told}</span>' if told else ""


def _failures(one: _Given) -> str:
    causes = dict.fromkeys(cause for *_, answer in one.by for cause in answer.failures.values())
    return "".join(
        f'<p class="soft" dir="auto">No score: {escape(short(cause, _REASON_CHARACTERS))}</p>'
        for cause in list(causes)[:_MOST_WORDS]
    )


def _explained(one: _Given) -> str:
    """Return the judge's words, folded: they are looked up, not read through."""
    said: dict[tuple[str, str], list[str]] = {}
    for number, _, answer in one.by:
        for metric, text in list(answer.explanations.items())[:_MOST_WORDS]:
            said.setdefault((metric, short(text, _WORDS_CHARACTERS)), []).append(str(number))
    if not said:
        return ""
    drawn = "".join(
        f'<dt>{escape(metric)}, {", ".join(numbers)}</dt><dd dir="auto">{escape(text)}</dd>'
        for (metric, text), numbers in said.items()
    )
    return f'<details class="said"><summary>In the judge\'s words</summary><dl>{drawn}</dl></details>'
