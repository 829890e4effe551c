"""What somebody asks by a form, a command or a call: every mistake is told, by its field."""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any

import pytest
import yaml
from config_texts import example
from hypothesis import given, settings
from hypothesis import strategies as st

from genops_events.asking.form import ARGUMENTS, COMMAND, AskForm, WrongForm, read_form
from genops_events.config import parse_config
from genops_events.gemini.prompts import PromptRow, read_rows

EXAMPLE = example()
CONFIG = parse_config(yaml.safe_dump({**EXAMPLE, "readable": ["gs://bucket/", "gs://my.bucket-1/a/"]}))
MODEL = "gemini-2.5-flash"


def read(**values: Any) -> AskForm:
    return read_form({"prompt": "where", "model": MODEL, **values}, CONFIG)


def wrong(**values: Any) -> str:
    with pytest.raises(WrongForm) as caught:
        read(**values)
    return caught.value.message


def row(question: AskForm) -> PromptRow:
    assert question.row is not None
    [found] = read_rows([question.row], readable=CONFIG.addresses)
    assert isinstance(found, PromptRow)
    return found


def test_what_is_not_filled_in_is_the_usual() -> None:
    found = read()
    assert row(found).prompt == "where"
    assert (found.file, found.model, found.champion_of) == (None, MODEL, None)
    assert (found.system_instruction, found.budget_usd) == (None, Decimal(1))
    assert found.settings.model_fields_set >= {"temperature"}
    assert found.settings.model_dump(exclude_none=True) == {}


def test_the_usual_budget_is_that_of_genops_yaml() -> None:
    config = parse_config(yaml.safe_dump({**EXAMPLE, "ask": {"budget_usd": 0.25}}))
    assert read_form({"prompt": "x", "model": MODEL}, config).budget_usd == Decimal("0.25")
    assert read(budget_usd=0.1).budget_usd == Decimal("0.1")
    assert read(budget_usd="0.30").budget_usd == Decimal("0.30")
    assert read(budget_usd=0).budget_usd == 0


def test_a_champion_has_the_settings_of_its_dataset_and_what_is_given_overrides_them() -> None:
    data = copy.deepcopy(EXAMPLE)
    data["datasets"]["banking77"]["inference"] |= {"temperature": 0.5, "top_k": 3}
    config = parse_config(yaml.safe_dump(data))
    found = read_form({"prompt": "x", "champion_of": "banking77", "settings": {"temperature": 1}}, config).settings
    assert (found.temperature, found.top_k, found.max_output_tokens) == (1, 3, 64)
    taken = read_form({"prompt": "x", "champion_of": "banking77", "settings": {"top_k": None}}, config).settings
    assert (taken.temperature, taken.top_k) == (0.5, None)


def test_one_of_two_is_needed_and_both_are_too_many() -> None:
    assert wrong(prompt="  ") == "Neither `prompt` nor `file` is filled in, and one of them is needed."
    assert wrong(file="gs://bucket/a.jsonl") == "Both `prompt` and `file` are filled in: only one of them can be asked."
    assert wrong(champion_of="banking77").startswith("Both `model` and `champion_of` are filled in")


def test_all_that_is_wrong_is_told_at_once_a_line_each() -> None:
    told = wrong(
        prompt=None, file="gs://bucket/", model="gemini-9", settings={"temprature": 1}, budget_usd="lots"
    ).split("\n")
    assert [one.split(":")[0].split(" ")[0] for one in told] == ["`file`", "`model`", "`settings`", "`budget_usd`"]
    assert "Did you mean `temperature`?" in told[2]


@pytest.mark.parametrize("budget", ["NaN", "inf", -0.01, True, "1e99", [1]])
def test_a_budget_that_is_no_amount_is_refused(budget: object) -> None:
    assert wrong(budget_usd=budget) == f"`budget_usd` must be US dollars, 0 or more; it is {budget!r}."


@pytest.mark.parametrize(
    "file",
    [
        *("gs://", "gs://bucket", "gs://bucket/", "gs://UPPER/a", "s3://bucket/a", "folder/", "gs://bucket/a\n"),
        *("gs://somebody-elses/a", "gs://my.bucket-1/b", "gs://my.bucket-1/a/../b", "https://example.org/a"),
        *("genops/asks/x/prompts.jsonl", "gs://genops-data/genops/asks/x/prompts.jsonl", "a/../genops/x", "/home/me/a"),
        *("genops%2Fasks/x", "genops%252Fasks/x", "gs://genops-data@bucket/a", "\ud800"),
    ],
)
def test_a_file_that_names_no_object_is_refused(file: str) -> None:
    assert wrong(prompt=None, file=file).startswith("`file` must name a file of prompts")


@pytest.mark.parametrize(
    "file", ["gs://bucket/a.jsonl", "gs://my.bucket-1/a/b c.jsonl", "a", "100%.jsonl", "prompts/a.jsonl"]
)
def test_a_file_may_be_an_object_of_a_bucket_that_genops_yaml_names(file: str) -> None:
    found = read(prompt=None, file=file)
    assert (found.file, found.row) == (file, None)


@pytest.mark.parametrize("file", ["/home/me/a.jsonl", "../a.jsonl", "genops/a.jsonl", "a/"])
def test_in_a_shell_a_file_may_be_a_path(file: str) -> None:
    found = read_form({"file": file, "model": MODEL}, CONFIG, names=COMMAND)
    assert found.file == file


def test_fields_are_called_as_they_are_where_they_are_filled_in() -> None:
    for names, told in ((COMMAND, "Neither --model nor --dataset"), (ARGUMENTS, "Neither `model` nor `dataset`")):
        with pytest.raises(WrongForm, match=told):
            read_form({"prompt": "x"}, CONFIG, names=names)


def test_files_go_with_a_prompt_that_is_a_text() -> None:
    asked = row(read(files=["gs://bucket/a.pdf"])).contents[0]["parts"]
    assert [next(iter(part)) for part in asked] == ["fileData", "text"]
    assert wrong(files=["a.pdf"]).startswith("`prompt`: files: 'a.pdf' is no address of an object")
    assert "`files` goes with `prompt`" in wrong(
        prompt=[{"role": "user", "parts": [{"text": "x"}]}], files=["gs://bucket/a.pdf"]
    )
    assert "each row names its own" in wrong(prompt=None, file="a.jsonl", files=["gs://bucket/a.pdf"])


@pytest.mark.parametrize("prompt", [5, {"role": "model", "parts": ["x"]}, [], {1, 2}, object(), "\ud83d"])
def test_a_prompt_that_cannot_be_asked_is_refused(prompt: object) -> None:
    assert "`prompt`" in wrong(prompt=prompt)


@settings(max_examples=50, deadline=None)
@given(st.text().filter(str.strip))
def test_a_prompt_arrives_as_it_was_written(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    assert row(read(prompt=text)).prompt == text
