"""The end of promotion: a candidate that is champion counts as promoted, even if something failed after that."""

from __future__ import annotations

from typing import Any

from genops_events.cascade.stage_end import StageEnd
from genops_events.cascade.stage_run import StageRun, conclude_failed
from genops_events.record.stages import Outcome
from genops_events.record.verdicts import PromotionVerdict, Verdict


def _failed(run: StageRun, reason: str) -> Verdict:
    """Record that promotion failed; a candidate that is champion already is recorded as promoted."""
    champion = run.store.champion(run.arrival.dataset)
    if champion is None or run.candidate not in (champion.candidate, *champion.earlier):
        return conclude_failed(run, reason)
    why = f"It became champion, but not all was done after that. {reason} The model registry may not show it."
    figures: dict[str, Any] = {}
    if champion.candidate == run.candidate:
        figures = {
            "metric": champion.metric,
            "score": champion.score,
            "champion_before": champion.predecessor,
            "champion_score": champion.predecessor_score,
        }
    return run.conclude(PromotionVerdict, Outcome.PROMOTED, why, **figures)


PROMOTION_END = StageEnd(failed=_failed)
