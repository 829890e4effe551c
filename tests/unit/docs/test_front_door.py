"""What a contributor meets first says the same as the Makefile and pyproject.toml: hooks, hosted CI, commands."""

from __future__ import annotations

import re
import tomllib

import yaml
from docs_blocks import ROOT
from packaging.specifiers import SpecifierSet


def recipe(target: str) -> list[str]:
    """Return the commands of a target of the Makefile."""
    text = (ROOT / "Makefile").read_text()
    found = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", text, flags=re.MULTILINE)
    assert found is not None, target
    return [line.strip().replace("$(BIN)", ".venv/bin") for line in found[1].splitlines()]


def test_the_hooks_run_what_make_check_runs() -> None:
    [own] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert own["repo"] == "local"
    assert [hook["entry"] for hook in own["hooks"]] == [*recipe("lint"), "make unit"]
    assert {(hook["language"], hook["pass_filenames"]) for hook in own["hooks"]} == {("system", False)}
    assert re.search(r"^check: lint unit\b", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)


def test_hosted_ci_runs_the_script_on_every_python_that_is_asked_for() -> None:
    [job] = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"].values()
    assert job["steps"][-1] == {"run": ".ci/run"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = SpecifierSet(project["requires-python"])
    assert job["strategy"]["matrix"]["python"] == [f"3.{minor}" for minor in range(30) if f"3.{minor}" in asked]
    for version in job["strategy"]["matrix"]["python"]:
        assert f"Programming Language :: Python :: {version}" in project["classifiers"]


def test_readme_and_contributing_name_the_tiers_of_tests_with_the_same_times() -> None:
    tiers = re.compile(r"^\| `(make \w+)` \| .* \| ([^|]*) \|$", flags=re.MULTILINE)
    readme, contributing = (tiers.findall((ROOT / name).read_text()) for name in ("README.md", "CONTRIBUTING.md"))
    assert readme == contributing
    assert [name for name, _ in readme] == ["make check", "make test", "make chaos"]
