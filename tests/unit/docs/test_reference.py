"""The pages of docs/reference/ that are made from the code say what the code says today."""

from __future__ import annotations

import re

import pytest

from docs.writing.__main__ import PAGES, REFERENCE
from docs.writing.commands_page import commands, the_command
from docs.writing.record_page import documents, paths
from genops_events.config import json_schema
from genops_events.record.events import COMPARISON_TYPES, EVENT_TYPES, HOLD_TYPES, ROLLED_BACK, meaning


def written(name: str) -> str:
    return (REFERENCE / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_as_the_code_is_today(name: str) -> None:
    assert written(name) == PAGES[name](), "`make reference` writes it anew"


def test_every_key_of_genops_yaml_stands_on_its_page_with_what_it_means() -> None:
    schema = json_schema()
    page = written("genops-yaml.md")
    for part in (schema, *schema["$defs"].values()):
        for key, value in part["properties"].items():
            rows = re.findall(rf"^\| `{key}` \| (.*?) \|", page, flags=re.MULTILINE)
            assert rows, key
            assert all(rows), f"{key} has no text: give it one beneath the field"
            assert not value.get("description") or " ".join(value["description"].split()).replace("|", "\\|") in rows


def test_every_link_to_a_section_of_the_settings_leads_to_one() -> None:
    page = written("genops-yaml.md")
    headings = {re.sub(r"[^\w-]", "", one.lower()) for one in re.findall(r"^## `(.*)`$", page, flags=re.MULTILINE)}
    assert set(re.findall(r"\]\(#([\w-]+)\)", page)) <= headings


def test_every_command_and_option_stands_on_its_page() -> None:
    page = written("commands.md")
    found = list(commands(*the_command()))
    assert len(found) > 20
    for words, command, context in found:
        section = page.split(f"\n## {words}\n")[1].split("\n## ")[0]
        for one in command.get_params(context):
            if "--help" not in one.opts and not getattr(one, "hidden", False):
                cells = re.findall(r"^\| `(.*?)` \|", section, flags=re.MULTILINE)
                name = one.name.upper() if one.param_type_name == "argument" else one.opts[0]
                assert any(name in re.split(r"[ ,/]+", cell) for cell in cells), f"{words} {name}"


def test_every_type_of_event_says_when_it_is_published() -> None:
    page = written("events.md")
    for kind in (*EVENT_TYPES, *HOLD_TYPES, *COMPARISON_TYPES, ROLLED_BACK):
        assert f"| `{kind}` | {meaning(kind)} |" in page


def test_paths_and_documents_of_every_stage_are_found() -> None:
    found = dict(paths())
    assert found["`genops/candidates/<candidate>/<stage>.json`, then `<stage>-<retries>.json`"].startswith(
        "The verdict"
    )
    assert found["`genops/queue/<time>-<candidate>.json`"].startswith("The marker")
    assert "`genops/datasets/<dataset>/rollbacks/<time>-<candidate>.json`" in found
    names = {one.SCHEMA for one in documents()}
    assert {"genops.arrival.v1", "genops.champion.v1", "genops.comparison.v1", "genops.ask-plan.v1"} <= names
