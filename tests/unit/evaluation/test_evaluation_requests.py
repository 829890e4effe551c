"""What goes to Vertex AI's evaluation service and what comes back, in Google's own messages."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from google.cloud.aiplatform_v1beta1 import EvaluateInstancesRequest, EvaluateInstancesResponse
from google.protobuf.json_format import MessageToDict, ParseDict

from genops_events.catalogue import metrics
from genops_events.catalogue.rubrics import PAIRWISE_CRITERIA
from genops_events.config import load_config
from genops_events.evaluation.vertex import AnswerToScore, request, scores

CONFIG = load_config(Path(__file__).parents[3] / "examples" / "genops.yaml")
JUDGE = metrics.JudgeCalls("gemini-2.5-pro", 8)
ONE = AnswerToScore("prompt", "own", "reference", "theirs")


def read(asked: dict[str, Any]) -> EvaluateInstancesRequest:
    """Return our request as Google's message; a name that the message does not have raises."""
    message = EvaluateInstancesRequest()
    ParseDict(asked, EvaluateInstancesRequest.pb(message))
    return message


def answered(**fields: Any) -> dict[str, Any]:
    """Return what the REST API answers, by Google's own writing of its message."""
    message = EvaluateInstancesResponse.pb(EvaluateInstancesResponse(fields))
    answer: dict[str, Any] = json.loads(json.dumps(MessageToDict(message)))
    return answer


def test_a_score_is_the_number_that_was_meant_and_not_its_nearest_32_bit_float() -> None:
    values = [{"score": 0.7}, {"score": 0.0}, {"score": math.nan}, {}]
    found = scores(metrics.computed("rouge_l_sum"), answered(rouge_results={"rouge_metric_values": values}), count=4)
    assert [one.score for one in found] == [0.7, 0.0, None, None]
    assert "gave nan" in str(found[2].failure)
    assert "gave no score" in str(found[3].failure)


def test_values_that_cannot_be_matched_with_their_rows_are_scores_of_none() -> None:
    response = answered(bleu_results={"bleu_metric_values": [{"score": 1.0}]})
    found = scores(metrics.computed("bleu"), response, count=2)
    assert [(one.score, one.failure) for one in found] == [(None, "bleu gave 1 scores for 2 rows")] * 2


@pytest.mark.parametrize(("choice", "score"), [(1, 0.0), (2, 1.0), (3, 0.5), (0, None)])
def test_a_row_is_won_lost_tied_or_undecided(choice: int, score: float | None) -> None:
    metric = metrics.pairwise(PAIRWISE_CRITERIA, show_reference=True, judge=JUDGE)
    result = {"pairwise_choice": choice, "explanation": "why"}
    (found,) = scores(metric, answered(pairwise_metric_result=result), count=1)
    assert (found.score, found.explanation) == (score, "why")


def test_two_answers_are_compared_in_both_orders_by_the_judge_that_was_named() -> None:
    metric = metrics.pairwise(PAIRWISE_CRITERIA, show_reference=True, judge=JUDGE)
    asked = read(request(CONFIG, metric, [ONE]))
    assert (asked.autorater_config.flip_enabled, asked.autorater_config.sampling_count) == (True, 8)
    model = f"projects/{CONFIG.project}/locations/{CONFIG.location}/publishers/google/models/gemini-2.5-pro"
    assert asked.autorater_config.autorater_model == model
    given = asked.pairwise_metric_input
    shown = json.loads(given.instance.json_instance)
    assert shown[given.metric_spec.candidate_response_field_name] == "own"
    assert shown[given.metric_spec.baseline_response_field_name] == "theirs"
    assert shown["reference"] == "reference"


def test_a_judge_sees_the_reference_only_where_the_rubric_shows_it() -> None:
    for name, fields in (("fluency", {"prompt", "response"}), ("pointwise", {"prompt", "response", "reference"})):
        asked = read(request(CONFIG, metrics.ready_made(name, JUDGE), [ONE])).pointwise_metric_input
        assert set(json.loads(asked.instance.json_instance)) == fields
        template = asked.metric_spec.metric_prompt_template
        assert {field for field in ("prompt", "response", "reference") if f"{{{field}}}" in template} == fields


@pytest.mark.parametrize("name", sorted(metrics.COMPUTED))
def test_every_computed_metric_is_a_request_that_google_knows(name: str) -> None:
    asked = read(request(CONFIG, metrics.computed(name), [ONE, ONE]))
    kind = metrics.COMPUTED[name].input
    assert f"{kind}_input" in asked
    assert len(getattr(asked, f"{kind}_input").instances) == 2


def test_an_answer_without_what_was_asked_for_has_no_score() -> None:
    for metric in (metrics.computed("bleu"), metrics.ready_made("fluency", JUDGE)):
        (found,) = scores(metric, {}, count=1)
        assert found.score is None
        assert "gave " in str(found.failure)
