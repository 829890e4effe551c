from __future__ import annotations

import copy
import json
import pickle
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from genops_events.cli.config import app
from genops_events.config import Config, json_schema, load_config, parse_config
from genops_events.errors import ConfigError, ConfigProblem, PermanentError
from genops_events.metrics import KNOWN_METRICS
from genops_events.settings import Settings
from genops_events.yaml_lines import YamlProblem, parse_yaml

EXAMPLE = Path(__file__).parents[2] / "examples" / "genops.yaml"
MINIMAL = """\
project: genops-local
location: us-central1
bucket: genops-data
datasets:
  banking77:
    prefix: training/banking77/
    source_model: gemini-2.5-flash
    evaluation:
      file: evaluation/banking77.jsonl
      metrics: [exact_match, rouge]
    budget: {tuning_usd: 25, inference_usd: 5.5, monthly_usd: 200}
    inference: {prompts: prompts/banking77.jsonl}
"""


def changed(**values: Any) -> dict[str, Any]:
    """Return the minimal configuration as data, with dotted keys (`__` for a dot) of the dataset replaced."""
    data = yaml.safe_load(MINIMAL)
    for path, value in values.items():
        here = data["datasets"]["banking77"]
        *parents, last = path.split("__")
        for parent in parents:
            here = here.setdefault(parent, {})
        here[last] = value
    return data


def problems_of(text_or_data: str | dict[str, Any]) -> dict[str, ConfigProblem]:
    text = text_or_data if isinstance(text_or_data, str) else yaml.safe_dump(text_or_data, sort_keys=False)
    with pytest.raises(ConfigError) as caught:
        parse_config(text)
    for problem in caught.value.problems:
        assert str(problem) in str(caught.value)
    return {problem.key: problem for problem in caught.value.problems}


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
        "one of gemini-2.5-flash, gemini-2.5-flash-lite, gemini-2.5-pro (source_model is a tuned model)"
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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "is empty"),
        ("# only a comment\n", "is empty"),
        ("a: [1\nb: 2\n", "line 2"),
        ("a:\n\t- 1\n", "line 2, column 1"),
        ("project: x\nbucket: y\nproject: z\n", "line 3, column 1: the key `project` is given twice (first on line 1)"),
        ("a: {b: 1, b: 2}\n", "line 1, column 11: the key `b` is given twice"),
        ("--- 1\n--- 2\n", "line 2"),
        ("a: !!python/object:os.system {}\n", "line 1"),
        ("when: 2026-13-45\n", "a value cannot be read"),
        ("a: !!bool x\n", "a value cannot be read"),
        ("a: \x01\n", "characters are not allowed"),
        ("? [a]\n: 1\n", "line 1"),
        ("a: &a [*a]\n", "genops.yaml has"),
        ("- 1\n", "genops.yaml has 1 problem"),
        ("just text", "genops.yaml has 1 problem"),
        ("1: 2\n", "genops.yaml has"),
        ("[" * 1500, "genops.yaml"),
        ("[" * 200_000 + "]" * 200_000, "nested too deeply"),
    ],
)
def test_unusable_yaml_is_a_config_error_with_its_place(text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(text)
    assert expected in str(caught.value)


@settings(deadline=None)
@given(st.text(max_size=80))
def test_any_text_is_good_or_a_config_error(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_config(text)


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(list(Config.model_fields)), inner),
        max_leaves=10,
    )
)
def test_any_data_in_place_of_a_dataset_is_a_config_error(value: object) -> None:
    data = yaml.safe_load(MINIMAL)
    data["datasets"]["banking77"] = value
    with pytest.raises(ConfigError) as caught:
        parse_config(yaml.safe_dump(data, allow_unicode=True))
    assert caught.value.problems


def test_found_is_never_more_than_a_line() -> None:
    found = problems_of(changed(source_model="x" * 1000))["datasets.banking77.source_model"]
    assert len(found.found) < 210


def test_lines_of_nested_keys_and_list_items_are_known() -> None:
    document = parse_yaml("a:\n  b:\n    - 1\n    - c: 2\n")
    assert document.line_of(("a", "b", 1, "c")) == 4
    assert document.line_of(("a", "b", 0)) == 3
    assert document.line_of(("a", "missing")) == 1
    assert document.line_of(("missing",)) is None
    with pytest.raises(YamlProblem):
        parse_yaml("a: 'open")


def test_missing_file_says_where_it_looked_and_how_to_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GENOPS_CONFIG", raising=False)
    with pytest.raises(ConfigError) as caught:
        load_config()
    assert str(tmp_path / "genops.yaml") in caught.value.message
    assert "cp examples/genops.yaml ." in caught.value.hint


def test_genops_config_is_read_when_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mine.yaml"
    monkeypatch.setenv("GENOPS_CONFIG", str(path))
    monkeypatch.setenv("GENOPS_HOME", "/somewhere")
    assert Settings().home == Path("/somewhere")
    with pytest.raises(ConfigError, match="from GENOPS_CONFIG"):
        load_config()
    path.write_text(MINIMAL, encoding="utf-8-sig")
    assert load_config().bucket == "genops-data"
    path.write_bytes(b"project: \xff")
    with pytest.raises(ConfigError, match="not UTF-8 text: byte 9"):
        load_config()
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path)


def test_json_schema_accepts_what_the_models_accept() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(yaml.safe_load(EXAMPLE.read_text()))
    validator.validate(yaml.safe_load(MINIMAL))
    assert not validator.is_valid(changed(source_model="gemini-2.5-flsh"))
    assert not validator.is_valid(changed(tuning__epocs=3))
    assert schema["$defs"]["Budget"]["properties"]["tuning_usd"]["description"]


def test_config_error_survives_pickling() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(MINIMAL.replace("bucket", "bukket"))
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.problems) == (str(caught.value), caught.value.problems)
    assert isinstance(again, PermanentError)


def test_command_prints_the_schema() -> None:
    result = CliRunner().invoke(app, ["schema"])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == json_schema()


def test_command_checks_a_good_file() -> None:
    result = CliRunner().invoke(app, ["check", str(EXAMPLE)])
    assert (result.exit_code, result.stdout) == (0, "")
    assert "banking77" in result.stderr
    result = CliRunner().invoke(app, ["check", str(EXAMPLE), "--json"])
    assert json.loads(result.stdout)["datasets"] == {"banking77": "training/banking77/"}


def test_command_checks_a_bad_file(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(MINIMAL.replace("prefix", "prefx"), encoding="utf-8")
    result = CliRunner().invoke(app, ["check", str(path)])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "did you mean `prefix`?" in result.stderr
    result = CliRunner().invoke(app, ["check", str(path), "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["problems"][0]["line"] is not None
