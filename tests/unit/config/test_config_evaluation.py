from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml
from config_texts import example

from genops_events.catalogue.metrics import KNOWN_METRICS
from genops_events.catalogue.models import UnknownModelError, shipped
from genops_events.catalogue.prices import rates_of
from genops_events.config import Config, json_schema, parse_config
from genops_events.config.evaluation import Evaluation, priced_as
from genops_events.errors import ConfigError, ConfigProblem
from genops_events.evaluation.examples import EvaluationDataError, EvaluationExample, read_evaluation_examples
from genops_events.evaluation.judge_usage import (
    EXPLANATION_TOKENS,
    JudgeTokens,
    judge_cost,
    judge_tokens,
    judged_tokens,
)
from genops_events.evaluation.rows import Row

EXAMPLE = example()


def config(**evaluation: Any) -> Config:
    data = copy.deepcopy(EXAMPLE)
    file = data["datasets"]["banking77"]["evaluation"]["file"]
    data["datasets"]["banking77"]["evaluation"] = {"file": file, **evaluation}
    return parse_config(yaml.safe_dump(data))


def made(**evaluation: Any) -> Evaluation:
    return config(**evaluation).dataset("banking77").evaluation


def problem(**evaluation: Any) -> ConfigProblem:
    with pytest.raises(ConfigError) as caught:
        config(**evaluation)
    (found,) = caught.value.problems
    assert found.line is not None
    return found


def test_every_known_metric_can_be_asked_for() -> None:
    found = made(metrics=list(KNOWN_METRICS))
    assert tuple(one.name for one in found.measured()) == KNOWN_METRICS
    for one in found.measured():
        assert one.judged == bool(one.template)
    assert found.decisive == "exact_match"


def test_own_metrics_have_criteria_and_a_rubric_and_python_ones_a_path() -> None:
    found = made(
        metrics=["tone", "pairwise", "brevity"],
        own_metrics={"tone": {"criteria": "The answer is polite.", "rating_rubric": {3: "polite", 0: "rude"}}},
        python_metrics={"brevity": "my.metrics:brevity"},
        gate={"tone": 2.5, "pairwise": 0.5, "brevity": -3},
        no_regression={"tone": 0.1},
        judge={"model": "gemini-2.5-pro", "samples": 8},
    )
    tone, pairwise, brevity = found.measured()
    assert (tone.kind, tone.low, tone.high, tone.needs_reference) == ("pointwise", 0.0, 3.0, False)
    assert "The answer is polite." in tone.template
    assert "3: polite\n0: rude" in tone.template
    assert (tone.samples, tone.judge_model) == (8, "gemini-2.5-pro")
    assert (pairwise.kind, brevity.kind, brevity.path) == ("pairwise", "python", "my.metrics:brevity")
    assert found.decisive == "tone"
    assert found.needs_reference == ("pairwise",)


@pytest.mark.parametrize(
    ("evaluation", "key", "allowed"),
    [
        ({"metrics": ["exact_mach"]}, "metrics.0", "one of exact_match"),
        ({"metrics": ["bleu"], "no_regression": {"rouge": 0.1}}, "no_regression.rouge", "one of the metrics"),
        (
            {"metrics": ["bleu", "pairwise"], "no_regression": {"pairwise": 0.1}},
            "no_regression.pairwise",
            "under `gate`",
        ),
        ({"metrics": ["bleu"], "no_regression": {"bleu": -0.1}}, "no_regression.bleu", "greater than or equal to 0"),
        ({"metrics": ["pairwise"]}, "decisive", "other than pairwise"),
        ({"metrics": ["bleu", "pairwise"], "decisive": "pairwise"}, "decisive", "other than pairwise"),
        ({"metrics": ["bleu", "pairwise"], "judge": {"samples": 3}}, "judge.samples", "even"),
        ({"metrics": ["fluency"], "judge": {"samples": 33}}, "judge.samples", "less than or equal to 32"),
        ({"metrics": ["fluency"], "judge": {"model": "My Model"}}, "judge.model", "a published model"),
        ({"metrics": ["fluency"], "gate": {"fluency": 6}}, "gate.fluency", "from 1 to 5"),
        ({"metrics": ["safety"], "gate": {"safety": 2}}, "gate.safety", "from 0 to 1"),
        ({"metrics": ["fluency"], "gate": {"fluency": float("nan")}}, "gate.fluency", "a finite number"),
        ({"metrics": ["bleu"], "failed_rows": -1}, "failed_rows", "greater than or equal to 0"),
        ({"metrics": ["bleu"], "python_metrics": {"mine": "no path"}}, "python_metrics.mine", "module:function"),
        ({"metrics": ["bleu"], "python_metrics": {"bleu": "a:b"}}, "python_metrics.bleu", "no other metric has"),
        ({"metrics": ["bleu"], "python_metrics": {"My One": "a:b"}}, "python_metrics.My One", "lower-case letters"),
        (
            {"metrics": ["bleu"], "own_metrics": {"tone": {"criteria": "x", "rating_rubric": {1: "y"}}}},
            "own_metrics.tone.rating_rubric",
            "at least 2",
        ),
        (
            {"metrics": ["bleu"], "own_metrics": {"tone": {"criteria": "", "rating_rubric": {1: "y", 0: "n"}}}},
            "own_metrics.tone.criteria",
            "what a good answer is",
        ),
    ],
)
def test_what_cannot_be_measured_is_told_with_its_key(evaluation: dict[str, Any], key: str, allowed: str) -> None:
    found = problem(**evaluation)
    assert found.key == f"datasets.banking77.evaluation.{key}"
    assert allowed in found.allowed


def test_a_gate_that_every_score_passes_is_no_mistake() -> None:
    assert made(metrics=["pointwise"], gate={"pointwise": 0.5}).gate == {"pointwise": 0.5}


def test_a_mistyped_metric_is_shown_the_near_one_among_own_ones_too() -> None:
    assert problem(metrics=["rouge_l_summ"]).did_you_mean == "rouge_l_sum"
    rubric = {"criteria": "x", "rating_rubric": {1: "y", 0: "n"}}
    assert problem(metrics=["politness"], own_metrics={"politeness": rubric}).did_you_mean == "politeness"


def test_the_schema_describes_the_new_keys() -> None:
    shown = json_schema()["$defs"]["Evaluation"]["properties"]
    assert {"judge", "own_metrics", "python_metrics", "pairwise", "no_regression", "failed_rows"} <= set(shown)


EXAMPLES = [EvaluationExample("p" * 400, "r" * 40)] * 3


def test_a_judge_is_called_for_each_row_metric_and_sample() -> None:
    computed = made(metrics=["exact_match", "rouge_l"])
    assert judge_tokens(computed.measured(), EXAMPLES, answer_tokens=256) == JudgeTokens()
    asked = made(metrics=["exact_match", "fluency", "pairwise"], judge={"samples": 6})
    tokens = judge_tokens(asked.measured(), EXAMPLES, answer_tokens=256)
    assert tokens.calls == 3 * 2 * 6
    templates = sum(len(one.template) for one in asked.measured()) // 4
    assert tokens.input_tokens >= 3 * 6 * (templates + 2 * 110 + 3 * 256) - 36
    assert tokens.output_tokens == tokens.calls * EXPLANATION_TOKENS


def test_what_was_judged_is_counted_by_the_calls_that_were_made_and_the_answers_that_were_shown() -> None:
    asked = made(metrics=["exact_match", "fluency", "pairwise"], judge={"samples": 2})
    fluency, both = {"fluency": "f"}, {"fluency": "f", "pairwise": "p"}
    rows = [
        Row("1", "p" * 400, "r" * 40, "a" * 4, champion_answer="c" * 4, measures=both),
        Row("2", "p" * 400, "r" * 40, "a" * 4, measures=fluency),
        Row("3", "p" * 400, "r" * 40, left_out="is in the training file"),
    ]
    tokens = judged_tokens(asked.measured(), rows)
    assert tokens.calls == 2 * 3
    # One of these two rows is compared, with answers of two tokens each: two answers there, one elsewhere.
    one, compared = (
        judge_tokens([metric], EXAMPLES[:1], answer_tokens=2) for metric in asked.measured() if metric.judged
    )
    assert tokens.input_tokens == 2 * one.input_tokens + compared.input_tokens
    assert tokens.input_tokens < judge_tokens(asked.measured(), EXAMPLES[:2], answer_tokens=256).input_tokens


@pytest.mark.parametrize(
    ("model", "priced"),
    [
        (None, "gemini-3.5-flash"),
        ("gemini-2.5-pro", "gemini-2.5-pro"),
        ("projects/p/locations/l/publishers/google/models/gemini-2.5-pro", "gemini-2.5-pro"),
        ("projects/p/locations/l/endpoints/1", "projects/p/locations/l/endpoints/1"),
    ],
)
def test_a_judge_has_the_price_of_its_model(model: str | None, priced: str) -> None:
    asked = Evaluation.model_validate({"file": "e.jsonl", "metrics": ["fluency"], "judge": {"model": model}})
    assert priced_as(asked) == priced


def test_a_judge_without_a_price_costs_nothing_only_where_it_is_not_asked() -> None:
    asked = Evaluation.model_validate({"file": "e.jsonl", "metrics": ["fluency"], "judge": {"model": "gemini-9"}})
    assert judge_cost(lambda model: rates_of(shipped(), model), asked, JudgeTokens()) == 0
    with pytest.raises(UnknownModelError, match="gemini-9"):
        judge_cost(lambda model: rates_of(shipped(), model), asked, JudgeTokens(1, 1, 1))


def test_references_are_asked_for_only_where_a_metric_needs_them() -> None:
    line = '{"prompt": "a"}'
    assert list(read_evaluation_examples([line], needs_reference=())) == [EvaluationExample("a")]
    needed = made(metrics=["fluency", "rouge_l"]).needs_reference
    assert needed == ("rouge_l",)
    with pytest.raises(EvaluationDataError, match="Line 1: the key `reference` is missing, which rouge_l needs"):
        list(read_evaluation_examples([line], needs_reference=needed))
    with pytest.raises(EvaluationDataError, match="must be a tool call, which tool_name_match needs"):
        list(read_evaluation_examples(['{"prompt": "a", "reference": "b"}'], needs_reference=["tool_name_match"]))
    with pytest.raises(EvaluationDataError, match="'x' was given before, on line 1"):
        list(read_evaluation_examples(['{"id": "x", "prompt": "a"}'] * 2, needs_reference=()))
