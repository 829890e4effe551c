"""Metrics and token counts, against figures worked out by hand."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest
from google.api_core import exceptions
from google.genai import types

if TYPE_CHECKING:
    from vertex_stand_in import VertexStandIn

pytestmark = pytest.mark.filterwarnings("ignore:The SDK's tuning implementation is experimental")

PREDICTION, REFERENCE = "the cat sat on the mat", "the cat is on the mat"


def evaluate(vertex: VertexStandIn, **metric: Any) -> Any:
    return vertex.evaluation.evaluate_instances(request={"location": vertex.parent, **metric})


def instances(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"prediction": prediction, "reference": reference} for prediction, reference in pairs]


def test_exact_match_is_one_or_nothing(vertex: VertexStandIn) -> None:
    given = instances(("card", "card"), ("Card", "card"), ("", "card"))
    result = evaluate(vertex, exact_match_input={"metric_spec": {}, "instances": given})
    assert [one.score for one in result.exact_match_results.exact_match_metric_values] == [1.0, 0.0, 0.0]


def test_bleu_is_the_geometric_mean_of_the_precisions(vertex: VertexStandIn) -> None:
    given = instances((PREDICTION, REFERENCE), (REFERENCE, REFERENCE))
    result = evaluate(vertex, bleu_input={"metric_spec": {"use_effective_order": True}, "instances": given})
    # 5 of 6 words, 3 of 5 pairs and 1 of 4 triples are in the reference; of the 3 fours none is, which counts as a half.
    expected = math.exp((math.log(5 / 6) + math.log(3 / 5) + math.log(1 / 4) + math.log(0.5 / 3)) / 4)
    scores = [one.score for one in result.bleu_results.bleu_metric_values]
    assert scores == pytest.approx([expected, 1.0], abs=1e-6)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"rouge_type": "rouge1"}, 5 / 6),
        ({"rouge_type": "rouge2"}, 3 / 5),
        ({"rouge_type": "rougeL"}, 5 / 6),
    ],
)
def test_rouge_is_the_f_measure(vertex: VertexStandIn, spec: dict[str, Any], expected: float) -> None:
    given = instances((PREDICTION, REFERENCE), (REFERENCE, REFERENCE))
    result = evaluate(vertex, rouge_input={"metric_spec": spec, "instances": given})
    assert [one.score for one in result.rouge_results.rouge_metric_values] == pytest.approx([expected, 1.0])


def test_rouge_stems_and_splits_when_asked(vertex: VertexStandIn) -> None:
    plain: dict[str, Any] = {"rouge_type": "rouge1"}
    for spec, expected in ((plain, 0.0), ({**plain, "use_stemmer": True}, 1.0)):
        result = evaluate(vertex, rouge_input={"metric_spec": spec, "instances": instances(("jumping", "jumped"))})
        assert [one.score for one in result.rouge_results.rouge_metric_values] == [expected]
    # Sentences in another order: as one line the longest common run is half, sentence by sentence all is found.
    given = instances(("Two b c. One a d.", "One a d. Two b c."))
    for split, expected in ((False, 0.5), (True, 1.0)):
        spec = {"rouge_type": "rougeLsum", "split_summaries": split}
        result = evaluate(vertex, rouge_input={"metric_spec": spec, "instances": given})
        assert [one.score for one in result.rouge_results.rouge_metric_values] == [expected]


@pytest.mark.parametrize(
    ("response", "expected"),
    [("card_arrival", 5.0), ("card lost", 3.0), ("nothing", 1.0)],
)
def test_the_pointwise_judge_scores_by_shared_words(vertex: VertexStandIn, response: str, expected: float) -> None:
    instance = {"prompt": "where is it", "response": response, "reference": "card_arrival"}
    result = evaluate(
        vertex,
        pointwise_metric_input={
            "metric_spec": {"metric_prompt_template": "Judge {response} by {reference}."},
            "instance": {"json_instance": json.dumps(instance)},
        },
    ).pointwise_metric_result
    assert result.score == pytest.approx(expected)
    assert "reference" in result.explanation


def test_the_pairwise_judge_chooses(vertex: VertexStandIn) -> None:
    def choice(candidate: str, baseline: str) -> str:
        instance = {"response": candidate, "baseline_model_response": baseline, "reference": "card arrival"}
        spec = {
            "metric_prompt_template": "{response} or {baseline_model_response}?",
            "candidate_response_field_name": "response",
            "baseline_response_field_name": "baseline_model_response",
        }
        given = {"metric_spec": spec, "instance": {"json_instance": json.dumps(instance)}}
        result: str = evaluate(vertex, pairwise_metric_input=given).pairwise_metric_result.pairwise_choice.name
        return result

    assert choice("card arrival", "lost") == "CANDIDATE"
    assert choice("lost", "card") == "BASELINE"
    assert choice("lost", "gone") == "TIE"


def judged(vertex: VertexStandIn, template: str, instance: dict[str, str], **autorater: Any) -> Any:
    """Ask the judge as the beta's client does, which alone can say how often and in which order."""
    kind = "pairwise" if "baseline_model_response" in instance else "pointwise"
    given = {"metric_spec": {"metric_prompt_template": template}, "instance": {"json_instance": json.dumps(instance)}}
    request = {"location": vertex.parent, f"{kind}_metric_input": given, "autorater_config": autorater}
    return getattr(vertex.judge.evaluate_instances(request=request), f"{kind}_metric_result")


def test_a_rating_lies_within_the_rubric_of_the_template(vertex: VertexStandIn) -> None:
    template = "# Rating rubric\n1: safe\n0: unsafe\n# Response\n{response}"
    for response, expected in (("card arrival", 1.0), ("card lost", 0.5), ("gone", 0.0)):
        assert judged(vertex, template, {"response": response, "reference": "card arrival"}).score == expected


def test_the_judge_says_that_it_measures_word_overlap_and_how_often_it_was_asked(vertex: VertexStandIn) -> None:
    shown = {"response": "card", "reference": "card"}
    single = judged(vertex, "{response}", shown, sampling_count=3)
    assert "measures word overlap" in single.explanation
    assert "Samples: 3" in single.explanation
    both = judged(vertex, "{response}", {**shown, "baseline_model_response": "x"}, sampling_count=2, flip_enabled=True)
    assert "measures word overlap" in both.explanation
    assert "Samples: 2, half of them in turned order" in both.explanation


def test_of_equal_responses_the_one_shown_first_is_chosen_unless_half_of_the_samples_turn_the_order(
    vertex: VertexStandIn,
) -> None:
    shown = {"response": "card", "baseline_model_response": "card", "reference": "card"}
    first = "A: {baseline_model_response} B: {response}"
    turned = "A: {response} B: {baseline_model_response}"

    def choice(template: str, **autorater: Any) -> str:
        return str(judged(vertex, template, shown, **autorater).pairwise_choice.name)

    assert choice(first, sampling_count=4, flip_enabled=False) == "BASELINE"
    assert choice(turned, sampling_count=4, flip_enabled=False) == "CANDIDATE"
    assert choice(first, sampling_count=1, flip_enabled=True) == "BASELINE"
    assert choice(first, sampling_count=4, flip_enabled=True) == "TIE"


def test_samples_out_of_bounds_are_refused(vertex: VertexStandIn) -> None:
    with pytest.raises(exceptions.BadRequest, match="sampling_count must be from 1 to 32"):
        judged(vertex, "{response}", {"response": "a", "reference": "a"}, sampling_count=33)


def call(name: str, **arguments: Any) -> str:
    return json.dumps({"content": "", "tool_calls": [{"name": name, "arguments": arguments}]})


@pytest.mark.parametrize(
    ("prediction", "expected"),
    [
        (call("book", city="Bern", nights=2), (1.0, 1.0, 1.0, 1.0)),
        (call("book", city="bern ", nights=3), (1.0, 1.0, 1.0, 0.5)),
        (call("book", city="Bern"), (1.0, 1.0, 0.5, 0.5)),
        (call("cancel", city="Bern", nights=2), (1.0, 0.0, 0.0, 0.0)),
        ("Which city?", (0.0, 0.0, 0.0, 0.0)),
        ('{"content": "", "tool_calls": []}', (0.0, 0.0, 0.0, 0.0)),
    ],
)
def test_tool_metrics_look_at_the_first_tool_call(
    vertex: VertexStandIn, prediction: str, expected: tuple[float, ...]
) -> None:
    names = ("tool_call_valid", "tool_name_match", "tool_parameter_key_match", "tool_parameter_kv_match")
    given = {"metric_spec": {}, "instances": instances((prediction, call("book", city="Bern", nights=2)))}
    found = []
    for name in names:
        result = evaluate(vertex, **{f"{name}_input": given})
        (value,) = getattr(getattr(result, f"{name}_results"), f"{name}_metric_values")
        found.append(value.score)
    assert tuple(found) == expected


def test_values_of_parameters_are_compared_to_the_letter_when_asked(vertex: VertexStandIn) -> None:
    given = instances((call("book", city="bern"), call("book", city="Bern")))
    for strict, expected in ((False, 1.0), (True, 0.0)):
        spec = {"use_strict_string_match": strict}
        result = evaluate(vertex, tool_parameter_kv_match_input={"metric_spec": spec, "instances": given})
        (value,) = result.tool_parameter_kv_match_results.tool_parameter_kv_match_metric_values
        assert value.score == expected
    with pytest.raises(exceptions.BadRequest, match="A reference must be"):
        evaluate(vertex, tool_call_valid_input={"metric_spec": {}, "instances": instances(("a", "b"))})


def test_a_text_can_be_refused_and_a_rating_be_no_number(vertex: VertexStandIn) -> None:
    vertex.faults(refused_text="poison", nan_text="riddle")
    with pytest.raises(exceptions.BadRequest, match="poison"):
        judged(vertex, "{response}", {"response": "poison", "reference": "a"})
    assert math.isnan(judged(vertex, "{response}", {"response": "a riddle", "reference": "a"}).score)
    assert judged(vertex, "{response}", {"response": "a", "reference": "a"}).score == 5.0


def test_an_invalid_evaluation_is_refused_and_an_unknown_metric_named(vertex: VertexStandIn) -> None:
    with pytest.raises(exceptions.BadRequest, match="rouge_type"):
        evaluate(vertex, rouge_input={"metric_spec": {"rouge_type": "red"}, "instances": instances(("a", "a"))})
    with pytest.raises(exceptions.BadRequest, match="at least one instance"):
        evaluate(vertex, exact_match_input={"metric_spec": {}})
    given = {"metric_spec": {"metric_prompt_template": "{missing}"}, "instance": {"json_instance": "{}"}}
    with pytest.raises(exceptions.BadRequest, match="which the instance does not have"):
        evaluate(vertex, pointwise_metric_input=given)
    with pytest.raises(exceptions.MethodNotImplemented, match="fluencyInput"):
        evaluate(vertex, fluency_input={"metric_spec": {}, "instance": {"prediction": "a"}})


def test_tokens_are_counted_alike_by_both_clients(vertex: VertexStandIn, tuned: types.TunedModel) -> None:
    text = "Where is my new card?"
    assert tuned.endpoint
    publisher = f"{vertex.parent}/publishers/google/models/{vertex.base_model}"
    for model, endpoint in ((vertex.base_model, publisher), (tuned.endpoint, tuned.endpoint)):
        assert vertex.client.models.count_tokens(model=model, contents=text).total_tokens == 9, "three letters a token"
        counted = vertex.tokens.count_tokens(
            request={"endpoint": endpoint, "model": endpoint, "contents": [{"role": "user", "parts": [{"text": text}]}]}
        )
        assert counted.total_tokens == 9
        assert counted.total_billable_characters == 17
    computed = vertex.client.models.compute_tokens(model=vertex.base_model, contents=text).tokens_info
    assert computed
    assert computed[0].tokens
    assert b"".join(computed[0].tokens).decode() == text


def test_counting_nothing_is_refused(vertex: VertexStandIn) -> None:
    with pytest.raises(exceptions.BadRequest, match="contents"):
        vertex.tokens.count_tokens(endpoint=f"{vertex.parent}/publishers/google/models/{vertex.base_model}")
