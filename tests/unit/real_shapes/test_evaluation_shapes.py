"""What Vertex AI's evaluation service answers, metric by metric: a score for each row, or why there is none."""

from __future__ import annotations

import pytest
from shapes import Shape, shapes_of

from genops_events.catalogue.metrics import COMPUTED, PAIRWISE, JudgeCalls, Metric, computed, pairwise, ready_made
from genops_events.catalogue.rubrics import PAIRWISE_CRITERIA
from genops_events.evaluation.vertex import scores

JUDGE = JudgeCalls("gemini-2.5-pro", 1)


def metric_of(name: str) -> Metric:
    if name == PAIRWISE:
        return pairwise(PAIRWISE_CRITERIA, show_reference=False, judge=JUDGE)
    return computed(name) if name in COMPUTED else ready_made(name, JUDGE)


@pytest.mark.parametrize("shape", shapes_of("evaluation"), ids=str)
def test_a_row_has_its_own_score_or_the_reason_why_it_has_none(shape: Shape) -> None:
    metric = metric_of(shape.told["metric"])
    given = scores(metric, shape.document, count=shape.told["count"])
    assert [one.score for one in given] == shape.expect["scores"], shape.told["otherwise"]
    assert [one.failure for one in given] == shape.expect["failures"]
    if "explanations" in shape.expect:
        assert [one.explanation for one in given] == shape.expect["explanations"]


def test_there_is_a_shape_of_every_computed_metric() -> None:
    assert {one.told["metric"] for one in shapes_of("evaluation")} >= set(COMPUTED)
