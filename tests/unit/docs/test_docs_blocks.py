"""Every block of README and docs: commands exist with these options, Python compiles and imports, settings are taken."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from docs_blocks import ROOT, Block, blocks, commands_of

from docs.writing.commands_page import the_command
from gcp_stand_ins.faults import Faults
from genops_events import load_config

LANGUAGES = {"sh", "python", "yaml", "toml", "json", "text", "{toctree}", "{include}"}
EXAMPLE = ROOT / "examples" / "genops.yaml"
GCLOUD: dict[tuple[str, ...], set[str]] = {
    ("services", "enable"): set(),
    ("storage", "cp"): set(),
    ("pubsub", "subscriptions", "create"): {"--topic", "--enable-message-ordering", "--message-filter"},
}
"""Commands and options of gcloud that the docs may name; not compared with https://cloud.google.com/sdk/gcloud/reference yet."""
CURL = {"-X", "-d"}


def named(found: list[Block]) -> Any:
    return pytest.mark.parametrize("block", found, ids=[str(one) for one in found])


def test_every_block_has_a_language_that_is_looked_at() -> None:
    found = blocks()
    assert len(found) > 100
    assert {str(one): one.language for one in found if one.language not in LANGUAGES} == {}
    assert {
        str(one): one.marks for one in found if one.marks not in {(), ("google-cloud",)} and one.language != "{include}"
    } == {}


@named(blocks("sh"))
def test_a_shell_block_runs_programs_that_exist_with_options_that_exist(block: Block, tmp_path: Path) -> None:
    found = commands_of(block.text, tmp_path)
    assert found
    for program, *words in found:
        CHECKS[program](words)


def genops(words: list[str]) -> None:
    command, context = the_command()
    while hasattr(command, "list_commands"):
        name, *words = words
        if name == "--version":
            return
        found = command.get_command(context, name)
        assert found is not None, f"there is no command {name!r}"
        with contextlib.redirect_stderr(io.StringIO()) as said:
            if hasattr(found, "list_commands"):
                context = found.make_context(name, [], parent=context, resilient_parsing=True)
            else:
                found.make_context(name, words, parent=context)  # raises UsageError
        assert said.getvalue() == ""
        command = found


def make(words: list[str]) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert {one for one in words if "=" not in one} <= targets


def airflow(words: list[str]) -> None:
    from airflow.cli.cli_parser import get_parser

    with contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            asked = get_parser().parse_args(words)
        except SystemExit:
            pytest.fail(said.getvalue())
    if getattr(asked, "conf", None):
        json.loads(asked.conf)


def gcloud(words: list[str]) -> None:
    command = next(one for one in GCLOUD if tuple(words[: len(one)]) == one)
    options = {one.partition("=")[0] for one in words if one.startswith("--")}
    assert options <= GCLOUD[command]


def curl(words: list[str]) -> None:
    assert {one for one in words if one.startswith("-")} <= CURL
    if "-d" in words:
        Faults.model_validate_json(words[words.index("-d") + 1])


def python(words: list[str]) -> None:
    if words[0] == "-c":
        compile(words[1], "block", "exec")
    else:
        assert words[0] == "-m"
        assert (ROOT / words[1].replace(".", "/")).with_suffix(".py").exists() or (
            ROOT / words[1].replace(".", "/") / "__main__.py"
        ).exists()


def pytest_(words: list[str]) -> None:
    for one in words:
        if one.startswith("tests/"):
            assert (ROOT / one.partition("::")[0]).exists(), one


def anything(_: list[str]) -> None:
    """Take the words as they are: a program that is not ours."""


CHECKS = {
    "genops": genops,
    "make": make,
    "airflow": airflow,
    "gcloud": gcloud,
    "curl": curl,
    ".venv/bin/python": python,
    ".venv/bin/pytest": pytest_,
    **dict.fromkeys(("git", "head", "uv", ".venv/bin/ruff", ".venv/bin/pre-commit", "pre-commit"), anything),
}


@named(blocks("python"))
def test_a_python_block_compiles_and_its_imports_are_there(block: Block) -> None:
    tree = ast.parse(block.text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            exec(compile(ast.Module([node], type_ignores=[]), str(block), "exec"), {})  # raises ImportError


@named(blocks("python"))
def test_a_python_block_uses_public_names_alone(block: Block) -> None:
    own = {
        node.module
        for node in ast.walk(ast.parse(block.text))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(("genops_events", "triggers"))
    }
    assert own <= {"genops_events", "genops_events.airflow.assets"}


def merged(value: Any, over: Any) -> Any:
    """Return `value` with what `over` says in its place, key by key."""
    if not (isinstance(value, dict) and isinstance(over, dict)):
        return over
    return {**value, **{key: merged(value.get(key), one) for key, one in over.items()}}


@named(blocks("yaml"))
def test_a_block_of_genops_yaml_is_taken_within_the_example(block: Block, tmp_path: Path) -> None:
    whole = merged(yaml.safe_load(EXAMPLE.read_text()), yaml.safe_load(block.text))
    (tmp_path / "models.toml").write_text((ROOT / "examples" / "models.toml").read_text())
    (tmp_path / "genops.yaml").write_text(yaml.safe_dump(whole))
    load_config(tmp_path / "genops.yaml")


@named(blocks("toml"))
def test_a_block_of_models_is_taken_by_the_example(block: Block, tmp_path: Path) -> None:
    (tmp_path / "models.toml").write_text(block.text)
    (tmp_path / "genops.yaml").write_text(EXAMPLE.read_text())
    load_config(tmp_path / "genops.yaml")


@named(blocks("json"))
def test_a_block_of_json_is_json_line_by_line(block: Block) -> None:
    for line in block.text.splitlines():
        json.loads(line)
