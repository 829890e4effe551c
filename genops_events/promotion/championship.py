"""Who is champion: the rules of a challenge and of a rollback, and whose models are kept for one. No I/O."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from genops_events.evaluation.gates import challenge
from genops_events.record.promotion import Champion, Rollback

REMEMBERED_CHAMPIONS = 100
"""More than can follow each other while one of them is being retried."""

CLOCK_SKEW = timedelta(minutes=5)
"""How far the clock that says when an object arrived may be from the one that says when it became champion."""


@dataclass(frozen=True, slots=True)
class SharedMeans:
    """The means over the rows that both were scored on in the same way: files and failures differ, these rows do not."""

    champion: str
    """The champion when the contender was evaluated."""
    own: float
    theirs: float
    rows: int


@dataclass(frozen=True, slots=True)
class Contender:
    """A model that could be champion, with what is known about it."""

    candidate: str
    dataset: str
    model: str
    endpoint: str
    checkpoint: str | None
    metric: str
    score: float
    scores: Mapping[str, float]
    arrived_at: datetime
    common: SharedMeans | None = None
    """In `metric`; None where no row was scored for both."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a contender takes the champion's place, and why."""

    wins: bool
    reason: str
    late: bool = False
    """It is the better one, and held because it arrived before the champion."""


@dataclass(frozen=True, slots=True)
class Terms:
    """On which terms a contender is held against the champion."""

    margin: float
    late_after: timedelta
    asked_at: datetime | None = None
    """When a person asked for this candidate: also in the place of a newer champion, if that one was there already."""


def decide(contender: Contender, champion: Champion | None, terms: Terms) -> Decision:
    """Let the contender win if its score exceeds the champion's by the margin and it is not late.

    Two that arrive within `late_after` of each other compete by score alone, whichever is judged first. One that is
    older than the champion by more is late: what was uploaded last is what its owner wants. Scores are those of the rows
    that both were scored on, where these are known.
    """
    if champion is None:
        decided = challenge(contender.score, None, terms.margin)
        return Decision(decided.wins, decided.reason)
    own, theirs = contender.score, champion.scores.get(contender.metric)
    common = contender.common
    if common is not None and common.champion == champion.candidate and (own, theirs) != (common.own, common.theirs):
        rows = "the row" if common.rows == 1 else f"the {common.rows:,} rows"
        decided = challenge(common.own, common.theirs, terms.margin)
        reason = f"{decided.reason} These are the means over {rows} that both were scored on."
        decided = dataclasses.replace(decided, reason=reason)
        theirs = common.theirs
    else:
        decided = challenge(own, theirs, terms.margin)
    if decided.wins and theirs is None:
        reason = f"{champion.candidate}, the champion, was never measured by {contender.metric}: its place is taken."
        decided = dataclasses.replace(decided, reason=reason)
    if not decided.wins:
        since = f"{champion.candidate} is champion since {moment(champion.promoted_at)}."
        return Decision(wins=False, reason=f"{decided.reason} {since}")
    older_by = _older_by(contender, champion)
    if older_by <= terms.late_after:
        return Decision(wins=True, reason=decided.reason)
    late = f"it arrived {duration(older_by)} before {champion.candidate}, the champion"
    asked_before = ""
    if terms.asked_at is not None:
        if terms.asked_at >= champion.promoted_at:
            return Decision(wins=True, reason=f"{decided.reason} Although {late}.")
        asked_before = f" It was approved before {champion.candidate} had the place."
    reason = (
        f"{decided.reason} But {late}: a late candidate takes no newer one's place unasked.{asked_before} "
        f"`genops rollback {contender.dataset} --to {contender.candidate}` gives it the place."
    )
    return Decision(wins=False, reason=reason, late=True)


def _older_by(contender: Contender, champion: Champion) -> timedelta:
    # Nobody arrives after having become champion: older documents may have such a time from a forged notification.
    if champion.arrived_at is None or champion.arrived_at > champion.promoted_at + CLOCK_SKEW:
        return timedelta(0)
    return champion.arrived_at - contender.arrived_at


def crowned(contender: Contender, before: Champion | None, *, now: datetime) -> Champion:
    """Return the contender as champion, the one before it kept by name."""
    return Champion(
        candidate=contender.candidate,
        written_at=now,
        dataset=contender.dataset,
        model=contender.model,
        endpoint=contender.endpoint,
        checkpoint=contender.checkpoint,
        metric=contender.metric,
        score=contender.score,
        scores=dict(contender.scores),
        promoted_at=now,
        predecessor=None if before is None else before.candidate,
        earlier=() if before is None else (before.candidate, *before.earlier)[:REMEMBERED_CHAMPIONS],
        predecessor_score=None if before is None else before.scores.get(contender.metric),
        predecessor_model=None if before is None else before.model,
        arrived_at=contender.arrived_at,
        unannounced=() if before is None else before.unannounced,
    )


def restored(
    contender: Contender, before: Champion, rollback: Rollback, *, predecessor: str | None, now: datetime
) -> Champion:
    """Return the champion after a rollback.

    Args:
        contender: who gets the place.
        before: who has it now.
        rollback: by whom and why.
        predecessor: whom the next rollback leads to: the one before the contender, not the one that is taken back.
        now: when.
    """
    return crowned(contender, before, now=now).model_copy(
        update={
            "predecessor": predecessor,
            "predecessor_score": None,
            "rollback": rollback,
            "unannounced": (*before.unannounced, rollback),
        }
    )


def predecessor_of(candidate: str, earlier: Sequence[str], told: str | None) -> str | None:
    """Return who was champion before `candidate`: what its verdict told, or else who follows it in `earlier`."""
    if told is not None:
        return told
    if candidate not in earlier:
        return None
    after = earlier[earlier.index(candidate) + 1 :]
    return next((one for one in after if one != candidate), None)


def kept_for_rollback(champion: Champion, keep: int) -> tuple[str, ...]:
    """Return the former champions whose models stay: the last `keep`, and whom the next rollback leads to."""
    former = [one for one in dict.fromkeys(champion.earlier) if one != champion.candidate]
    kept = former[:keep]
    if keep and champion.predecessor is not None and champion.predecessor not in kept:
        kept.append(champion.predecessor)
    return tuple(kept)


def moment(at: datetime) -> str:
    """Return an instant as people read it."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def duration(length: timedelta) -> str:
    """Return a duration as people read it, in its largest unit."""
    seconds = length.total_seconds()
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"
