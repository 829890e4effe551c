"""Files of settings that are hostile: an error that says why, in no time and no memory."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from config_texts import example

from genops_events.catalogue.models import shipped
from genops_events.config import load_config, parse_config
from genops_events.config.contestants import BadContestants, read_contestants
from genops_events.errors import ConfigError
from genops_events.reading import yaml_lines
from genops_events.reading.toml_tables import parse_toml
from genops_events.reading.yaml_lines import YamlProblem, parse_yaml

EXAMPLE = yaml.safe_dump(example(), sort_keys=False)


def nine_times_nine(first: str, form: str) -> str:
    """Return a document whose aliases stand for nine to the power of nine values."""
    lines = [f"a: &a {first}"]
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{name}: &{name} " + form.format(", ".join([f"*{before}"] * 9)))
    return "\n".join(lines)


BOMBS = {
    "lists": nine_times_nine("[x, x, x, x, x, x, x, x, x]", "[{}]"),
    "merges": nine_times_nine("{k: 1}", "{{<<: [{}]}}"),
    "mappings": nine_times_nine("x", "{{k: [{}]}}"),
}


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS.keys())
def test_a_bomb_of_aliases_is_refused_before_it_is_unfolded(text: str) -> None:
    with pytest.raises(ConfigError, match="with its aliases, it has more than 200,000 values") as caught:
        parse_config(text)
    assert "line " in caught.value.message
    with pytest.raises(BadContestants, match="with its aliases"):
        read_contestants([text], shipped(), "gemini-2.5-flash")


def test_aliases_that_are_few_are_what_they_were() -> None:
    found = parse_yaml("a: &a {x: 1}\nb: *a\nc: {<<: *a, y: 2}\n")
    assert found.value == {"a": {"x": 1}, "b": {"x": 1}, "c": {"x": 1, "y": 2}}


@pytest.mark.parametrize("text", ["a: &a [*a]", "a: &a {b: *a}", "&a [[*a]]"])
def test_an_alias_within_what_it_names_is_refused(text: str) -> None:
    with pytest.raises(YamlProblem, match="an alias stands within what it names"):
        parse_yaml(text)


@pytest.mark.parametrize(
    "number", ["9" * 5_000, "0x" + "f" * 5_000, "0b" + "1" * 20_000, "1" * 5_000 + ".5", "-" + "1" * 401]
)
def test_a_number_of_thousands_of_digits_is_named_with_its_line(number: str) -> None:
    text = EXAMPLE.replace("requests_per_minute: 6000", f"requests_per_minute: {number}")
    assert text != EXAMPLE
    line = EXAMPLE[: EXAMPLE.index("requests_per_minute")].count("\n") + 1
    with pytest.raises(ConfigError, match=rf"line {line}, .*a number has [0-9,]+ characters, at most 400"):
        parse_config(text)


@pytest.mark.parametrize("number", ["9" * 5_000, "0x" + "f" * 5_000, "0." + "1" * 5_000])
def test_a_number_of_thousands_of_digits_in_toml_is_named_with_its_line(number: str) -> None:
    with pytest.raises(ConfigError, match=r"m.toml is not TOML: a number of over 400 digits \(at line 2\)"):
        parse_toml(f"a = 1\nb = {number}\n", name="m.toml")


def test_toml_that_is_nested_too_deeply_is_no_traceback() -> None:
    with pytest.raises(ConfigError, match="nested too deeply"):
        parse_toml("a = " + "[" * 50_000 + "]" * 50_000, name="m.toml")


def test_a_file_of_settings_is_read_up_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "genops.yaml"
    file.write_text(EXAMPLE + "#" * 10_000, encoding="utf-8")
    assert load_config(file).datasets
    monkeypatch.setattr(yaml_lines, "MOST_BYTES", 10_000)
    with pytest.raises(ConfigError, match="cannot be read: it has more than 10,000 bytes"):
        load_config(file)
    with pytest.raises(ConfigError, match="cannot be read: it has more than 10,000 bytes"):
        load_config(Path("/dev/zero"))
    with pytest.raises(YamlProblem, match="at most 10,000 are read"):
        parse_yaml("a: " + "x" * 10_000)
