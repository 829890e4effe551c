"""What genops.yaml may say: every key has its bounds, and a mistake is told with its place and what is allowed."""

from __future__ import annotations

import copy
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from config_texts import MINIMAL, changed, problems_of

from genops_events.catalogue.metrics import KNOWN_METRICS
from genops_events.config import Config, load_config, parse_config
from genops_events.errors import ConfigError

EXAMPLE = Path(__file__).parents[3] / "examples" / "genops.yaml"


def test_example_is_good() -> None:
    config = load_config(EXAMPLE)
    dataset = config.dataset("banking77")
    assert dataset.tuning.poll_seconds == 1
    assert dataset.evaluation.gate == {"exact_match": 0.4}
    assert dataset.budget.monthly_usd == Decimal(200)


def test_defaults_are_filled_in() -> None:
    config = parse_config(MINIMAL)
    dataset = config.datasets["banking77"]
    assert config.topics.arrivals == "genops-arrivals"
    assert config.topics.completions == "genops-completions"
    assert config.subscription == "genops-arrivals-intake"
    assert dataset.tuning.epochs == 3
    assert dataset.evaluation.decisive == "exact_match"
    assert dataset.evaluation.gate == {}
    assert dataset.budget.inference_usd == Decimal("5.5")
    assert dataset.billed_model == "gemini-2.5-flash"
    assert config.uri("a/b") == "gs://genops-data/a/b"


def test_config_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        parse_config(MINIMAL).bucket = "other"  # type: ignore[misc]


def test_every_problem_is_told_with_key_line_and_what_is_allowed() -> None:
    text = MINIMAL.replace("    evaluation:", "    tuning: {epocs: 3}\n    evaluation:").replace(
        "[exact_match, rouge]", "[exact_mach, rouge]"
    )
    text = text.replace("gemini-2.5-flash", "gemini-2.5-flsh").replace(", monthly_usd: 200", "")
    found = problems_of(text)
    assert list(found) == [
        "datasets.banking77.source_model",
        "datasets.banking77.tuning.epocs",
        "datasets.banking77.evaluation.metrics.0",
        "datasets.banking77.budget.monthly_usd",
    ]
    model, epochs, metric, monthly = found.values()
    assert (model.line, model.found, model.did_you_mean) == (7, "'gemini-2.5-flsh'", "gemini-2.5-flash")
    assert "gemini-2.5-pro" in model.allowed
    assert (epochs.line, epochs.problem, epochs.found, epochs.did_you_mean) == (8, "unknown key", "3", "epochs")
    assert "adapter_size" in epochs.allowed
    assert (metric.line, metric.did_you_mean) == (11, "exact_match")
    assert metric.allowed == f"one of {', '.join(KNOWN_METRICS)}"
    assert (monthly.line, monthly.problem) == (12, "this key is missing")


def test_error_text_reads_as_instructions() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(MINIMAL.replace("source_model", "sourcemodel"), name="my.yaml")
    assert str(caught.value).startswith("my.yaml has 2 problems:\n")
    assert "did you mean `source_model`?" in str(caught.value)
    assert "genops config check" in caught.value.hint


def test_key_one_level_too_high_is_shown_its_place() -> None:
    found = problems_of(changed(epochs=5))
    assert found["datasets.banking77.epochs"].did_you_mean == "tuning.epochs"


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("tuning__epochs", 0, "greater than or equal to 1"),
        ("tuning__epochs", True, "a whole number"),
        ("tuning__epochs", "3", "a whole number"),
        ("tuning__adapter_size", 3, "one of 1, 2, 4, 8, 16 for gemini-2.5-flash"),
        ("tuning__poll_seconds", 0, "greater than 0"),
        ("tuning__timeout_hours", float("inf"), "a finite number"),
        ("tuning", None, "keys and values"),
        ("prefix", "training/banking77", "end with `/`"),
        ("prefix", "genops/mine/", "not be below `genops/`"),
        ("prefix", "gs://genops-data/training/", "a prefix inside the bucket"),
        ("prefix", "", "a prefix inside the bucket"),
        ("prefix", 7, "a text"),
        ("evaluation__file", "training/banking77/evaluation.jsonl", "outside `training/banking77/`"),
        ("evaluation__file", "gs://other/evaluation.jsonl", "in the bucket of this configuration"),
        ("evaluation__file", "genops/x.jsonl", "not be below `genops/`"),
        ("evaluation__file", "folder/", "the name of an object"),
        ("inference__prompts", "training/banking77/p.jsonl", "outside `training/banking77/`"),
        ("tuning__validation_file", "training/banking77/v.jsonl", "outside `training/banking77/`"),
        ("evaluation__metrics", [], "at least one item"),
        ("evaluation__metrics", ["rouge", "rouge"], "each item once"),
        ("evaluation__metrics", "rouge", "a list"),
        ("evaluation__decisive", "bleu", "one of the metrics of this dataset: exact_match, rouge"),
        ("evaluation__gate", {"bleu": 0.1}, "one of the metrics of this dataset: exact_match, rouge"),
        ("evaluation__gate", {"rouge": 1.5}, "from 0 to 1"),
        ("evaluation__gate", {"rouge": -0.1}, "from 0 to 1"),
        ("evaluation__margin", -1, "greater than or equal to 0"),
        ("budget__tuning_usd", True, "a number"),
        ("budget__tuning_usd", -1, "greater than or equal to 0"),
        ("budget__monthly_usd", "much", "a number"),
        ("budget__monthly_usd", float("nan"), "a finite number"),
        ("inference__max_output_tokens", 0, "greater than or equal to 1"),
        ("base_model", "gemini-2.5-pro", "left out"),
    ],
)
def test_value_out_of_bounds_says_what_is_allowed(key: str, value: object, allowed: str) -> None:
    (found,) = problems_of(changed(**{key: value})).values()
    assert found.key.startswith("datasets.banking77." + key.partition("__")[0])
    assert allowed in found.allowed
    assert found.line is not None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("project", "UPPER"),
        ("location", "nowhere"),
        ("bucket", "gs://genops-data"),
        ("subscription", "x"),
        ("requests_per_minute", 0),
        ("datasets", {}),
    ],
)
def test_top_level_values_are_checked(key: str, value: object) -> None:
    data = yaml.safe_load(MINIMAL)
    data[key] = value
    assert list(problems_of(data)) == [key]


@pytest.mark.parametrize("name", ["Banking", "7banking", "-a", "a_b", "a" * 47])
def test_dataset_name_must_make_valid_candidate_ids(name: str) -> None:
    found = problems_of(MINIMAL.replace("  banking77:", f"  {name}:"))[f"datasets.{name}"]
    assert "at most 46 characters" in found.allowed


def test_longest_dataset_name_is_accepted() -> None:
    longest = "a" * 46
    assert list(parse_config(MINIMAL.replace("  banking77:", f"  {longest}:")).datasets) == [longest]


@pytest.mark.parametrize("other", ["training/banking77/", "training/", "training/banking77/more/"])
def test_datasets_must_not_overlap(other: str) -> None:
    data = yaml.safe_load(MINIMAL)
    data["datasets"]["second"] = copy.deepcopy(data["datasets"]["banking77"]) | {"prefix": other}
    assert "overlap" in problems_of(data)["datasets.second.prefix"].allowed


def test_input_under_the_prefix_of_another_dataset_is_refused() -> None:
    data = yaml.safe_load(MINIMAL)
    data["datasets"]["second"] = copy.deepcopy(data["datasets"]["banking77"]) | {"prefix": "evaluation/"}
    found = problems_of(data)
    assert set(found) == {"datasets.banking77.evaluation.file", "datasets.second.evaluation.file"}
    assert "an arrival of second" in found["datasets.banking77.evaluation.file"].allowed


def test_topics_must_differ() -> None:
    assert "topics.completions" in problems_of(MINIMAL + "topics: {arrivals: same, completions: same}\n")


def test_own_gs_addresses_become_object_names() -> None:
    data = changed(
        evaluation__file="gs://genops-data/e.jsonl",
        inference__prompts="gs://genops-data/p.jsonl",
        tuning__validation_file="gs://genops-data/v.jsonl",
    )
    before = copy.deepcopy(data)
    dataset = Config.model_validate(data).dataset("banking77")
    assert [file for _, file in dataset.inputs()] == ["e.jsonl", "p.jsonl", "v.jsonl"]
    assert data == before


def test_tuned_model_can_be_tuned_further_when_its_base_is_named() -> None:
    source = "projects/p/locations/us-central1/models/123"
    dataset = Config.model_validate(changed(source_model=source, base_model="gemini-2.5-pro")).dataset("banking77")
    assert (dataset.source_model, dataset.billed_model) == (source, "gemini-2.5-pro")


def test_tuned_model_as_source_needs_its_base() -> None:
    found = problems_of(changed(source_model="projects/p/locations/us-central1/models/123"))
    assert found["datasets.banking77.base_model"].allowed == (
        "one of gemini-2.5-flash, gemini-2.5-flash-lite, gemini-2.5-pro, gemini-3.1-flash-lite, gemini-3.5-flash, "
        "gemini-3.5-flash-lite (source_model is a tuned model)"
    )


def test_adapter_sizes_are_those_of_the_model() -> None:
    found = problems_of(changed(source_model="gemini-2.5-pro", tuning__adapter_size=16))
    assert found["datasets.banking77.tuning.adapter_size"].allowed == "one of 1, 2, 4, 8 for gemini-2.5-pro"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("training/banking77/a.jsonl", "banking77"),
        ("training/banking77/deep/er/a.jsonl", "banking77"),
        ("training/banking77/", None),
        ("training/banking77/deep/", None),
        ("training/banking77", None),
        ("training/banking778/a.jsonl", None),
        ("evaluation/banking77.jsonl", None),
        ("genops/candidates/x/arrival.json", None),
        ("", None),
    ],
)
def test_object_belongs_to_the_dataset_whose_prefix_it_lies_under(name: str, expected: str | None) -> None:
    found = parse_config(MINIMAL).dataset_for(name)
    assert (found[0] if found else None) == expected


def test_unknown_dataset_names_the_near_one() -> None:
    with pytest.raises(ConfigError, match="Did you mean `banking77`"):
        parse_config(MINIMAL).dataset("banking7")


def test_found_is_never_more_than_a_line() -> None:
    found = problems_of(changed(source_model="x" * 1000))["datasets.banking77.source_model"]
    assert len(found.found) < 210
