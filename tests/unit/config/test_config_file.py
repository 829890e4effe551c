"""How genops.yaml is found and read, its JSON Schema, and the commands `genops config`."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import jsonschema
import pytest
import yaml
from config_texts import MINIMAL, changed
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from genops_events.cli.config import app
from genops_events.config import Config, json_schema, load_config, parse_config
from genops_events.config.environment import Settings
from genops_events.errors import ConfigError, PermanentError
from genops_events.reading.yaml_lines import YamlProblem, parse_yaml

EXAMPLE = Path(__file__).parents[3] / "examples" / "genops.yaml"


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
        ("a: &a [*a]\n", "an alias stands within what it names"),
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
    assert "cp examples/genops.yaml examples/models.toml ." in caught.value.hint


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
    validator.validate(changed(source_model="gemini-9") | {"models": "models.toml"})
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
