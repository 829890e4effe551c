"""A candidate is promoted by the rows that it and the champion were both scored on, as its evaluation's verdict has them."""

from __future__ import annotations

import pytest
from made_up import arrived, context, ended, tuned

from genops_events.airflow.promotion import PromoteModel
from genops_events.cascade.stage_run import StageRun
from genops_events.config import Config
from genops_events.gcp.record_store import RecordStore
from genops_events.record.evaluation import MetricSummary
from genops_events.record.stages import Outcome, Stage
from genops_events.record.verdicts import PromotionVerdict

METRIC = "exact_match"


def promoted(
    config: Config, store: RecordStore, score: float, against: tuple[str, float, float] | None = None
) -> PromotionVerdict:
    candidate = arrived(config, store).candidate
    tuned(store, candidate)
    figures = {"count": 10, "mean": score}
    if against is not None:
        figures |= {"common_rows": 8, "common_mean": against[1], "champion_mean": against[2]}
    ended(
        store,
        Stage.EVALUATION,
        Outcome.PASSED,
        candidate,
        scores={METRIC: score},
        metrics={METRIC: MetricSummary.model_validate(figures)},
        champion=None if against is None else against[0],
    )
    ended(store, Stage.BUDGET, Outcome.APPROVED, candidate)
    run = StageRun(Stage.PROMOTION, candidate, "run-1")
    made = PromoteModel(task_id="promote").work(run, context(candidate))
    assert isinstance(made, PromotionVerdict)
    return made


@pytest.mark.parametrize(
    ("score", "own", "outcome"), [(0.9, 0.7, Outcome.HELD), (0.6, 0.85, Outcome.PROMOTED), (0.6, 0.8, Outcome.HELD)]
)
def test_rows_that_only_one_of_them_was_scored_on_decide_nothing(
    config: Config, store: RecordStore, score: float, own: float, outcome: Outcome
) -> None:
    champion = promoted(config, store, 0.75).candidate
    made = promoted(config, store, score, (champion, own, 0.8))
    assert made.outcome is outcome
    assert "over the 8 rows that both were scored on" in made.reason
    assert (made.score, made.champion_score) == (score, 0.75), "the verdict keeps the means over all rows"
