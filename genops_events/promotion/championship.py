"""The rules of a challenge and of a rollback, and the models that are kept for one. No I/O."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from genops_events.evaluation.gates import challenge
from genops_events.record.promotion import Champion, Rollback

REMEMBERED_CHAMPIONS = 100
"""Most earlier champions in the document: more than can follow each other while the promotion of one is retried."""

CLOCK_SKEW = timedelta(minutes=5)
"""Greatest difference between the clocks that time an arrival and a promotion."""


@dataclass(frozen=True, slots=True)
class SharedMeans:
    """Means of contender and champion over the rows that both have scores on, by the same metric."""

    champion: str
    """Id of the champion at the time of the contender's evaluation."""
    own: float
    """The contender's mean."""
    champions: float
    """The champion's mean."""
    rows: int
    """Number of these rows."""


@dataclass(frozen=True, slots=True)
class Contender:
    """A model that could be champion."""

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
    """Whether it has the better score, and is held because it arrived before the champion."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of a challenge."""

    margin: float
    late_after: timedelta
    asked_at: datetime | None = None
    """When a person approved this candidate; it then also replaces a newer champion that had the place already."""


def decide(contender: Contender, champion: Champion | None, terms: Terms) -> Decision:
    """Let the contender win if its score exceeds the champion's by the margin and it is not late.

    If the two arrived within `late_after` of each other, the score alone decides, in whatever order they are judged. A
    contender that is older by more is late: the latest upload is the one that counts. Scores are means over the rows that
    both have scores on, where these are known.
    """
    if champion is None:
        decided = challenge(contender.score, None, terms.margin)
        return Decision(decided.wins, decided.reason)
    own, champions = contender.score, champion.scores.get(contender.metric)
    common = contender.common
    if (
        common is not None
        and common.champion == champion.candidate
        and (own, champions) != (common.own, common.champions)
    ):
        rows = "the row" if common.rows == 1 else f"the {common.rows:,} rows"
        decided = challenge(common.own, common.champions, terms.margin)
        reason = f"{decided.reason} These are the means over {rows} that both were scored on."
        decided = dataclasses.replace(decided, reason=reason)
        champions = common.champions
    else:
        decided = challenge(own, champions, terms.margin)
    if decided.wins and champions is None:
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
    # No arrival can be after its own promotion; older documents may have such a time from a forged notification.
    if champion.arrived_at is None or champion.arrived_at > champion.promoted_at + CLOCK_SKEW:
        return timedelta(0)
    return champion.arrived_at - contender.arrived_at


def champion_from(contender: Contender, before: Champion | None, *, now: datetime) -> Champion:
    """Return the contender as champion, with the ids of those before it."""
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


def champion_after_rollback(
    contender: Contender, before: Champion, rollback: Rollback, *, predecessor: str | None, now: datetime
) -> Champion:
    """Return the champion after a rollback.

    Args:
        contender: the new champion.
        before: the present champion.
        rollback: document of the rollback.
        predecessor: target of the next rollback: the champion before the contender, not the one that is rolled back.
        now: aware, UTC.
    """
    return champion_from(contender, before, now=now).model_copy(
        update={
            "predecessor": predecessor,
            "predecessor_score": None,
            "rollback": rollback,
            "unannounced": (*before.unannounced, rollback),
        }
    )


def predecessor_of(candidate: str, earlier: Sequence[str], recorded: str | None) -> str | None:
    """Return the champion before `candidate`: the one that its verdict has recorded, or else its successor in `earlier`."""
    if recorded is not None:
        return recorded
    if candidate not in earlier:
        return None
    after = earlier[earlier.index(candidate) + 1 :]
    return next((one for one in after if one != candidate), None)


def kept_for_rollback(champion: Champion, keep: int) -> tuple[str, ...]:
    """Return the former champions whose models are kept: the last `keep`, and the target of the next rollback."""
    former = [one for one in dict.fromkeys(champion.earlier) if one != champion.candidate]
    kept = former[:keep]
    if keep and champion.predecessor is not None and champion.predecessor not in kept:
        kept.append(champion.predecessor)
    return tuple(kept)


def moment(at: datetime) -> str:
    """Return an instant as text for people."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def duration(length: timedelta) -> str:
    """Return a duration as text for people, in its largest unit."""
    seconds = length.total_seconds()
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"
