"""What is said of a model that ends, when, and by which command; and what nobody has looked at for long."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from config_texts import changed
from typer.testing import CliRunner

from genops_events.catalogue.__main__ import report
from genops_events.catalogue.facts import Life, Model
from genops_events.catalogue.models import shipped
from genops_events.catalogue.retirement import not_looked_at, notice
from genops_events.cli.config import app
from genops_events.config import Config
from genops_events.doctor.model_notices import model_notices, models_of

TODAY = date(2026, 11, 30)
JUDGE = {"file": "e.jsonl", "metrics": ["fluency"], "judge": {"model": "gemini-2.5-flash-lite"}}


def said(today: date = TODAY, **life: Any) -> str | None:
    return notice("gemini-x", Model(life=Life(**life)), today)


@pytest.mark.parametrize(
    ("life", "text"),
    [
        ({"retires": TODAY}, "gemini-x is retired since 2026-11-30"),
        ({"retires": TODAY + timedelta(days=1)}, "gemini-x retires on 2026-12-01, in 1 day;"),
        ({"retires": TODAY + timedelta(days=90), "replaced_by": ("a", "b")}, "Google names a or b in its place."),
        ({"not_before": TODAY + timedelta(days=90)}, "gemini-x may retire from 2027-02-28 on"),
        (
            {"closed_since": TODAY, "retires": date(2027, 9, 1)},
            "is closed to projects that did not use it before 2026-11-30",
        ),
    ],
)
def test_the_end_of_a_model_is_spoken_of_ninety_days_before(life: dict[str, Any], text: str) -> None:
    assert text in (said(**life) or "")


@pytest.mark.parametrize(
    "life",
    [
        {},
        {"retires": TODAY + timedelta(days=91)},
        {"not_before": TODAY + timedelta(days=91)},
        {"closed_since": TODAY + timedelta(days=1)},
        {"not_before": TODAY, "retires": date(2028, 1, 1)},
    ],
)
def test_nothing_is_said_of_a_model_that_stays(life: dict[str, Any]) -> None:
    assert said(**life) is None


def test_each_role_that_a_model_has_is_named_once() -> None:
    contestants = ["champion", "gemini-2.5-flash-lite"]
    data = changed(source_model="gemini-2.5-flash-lite", evaluation=JUDGE, comparison={"contestants": contestants})
    config = Config.model_validate(data)
    (found,) = model_notices(config.catalogue, models_of(config), TODAY)
    assert found.roles == (
        "banking77: source_model",
        "banking77: evaluation.judge.model",
        "banking77: comparison.contestants",
    )
    assert "retires on 2027-01-28, in 59 days" in str(found)
    assert "Google names gemini-3.1-flash-lite in its place." in str(found)
    assert model_notices(config.catalogue, models_of(config, dataset="another"), TODAY) == ()


def test_a_model_of_today_is_not_spoken_of_today() -> None:
    for name in ("gemini-3.5-flash", "gemini-3.5-flash-lite", "gemini-3.1-flash-lite"):
        assert notice(name, shipped().named(name), TODAY) is None


def test_config_check_warns_and_refuses_nothing(tmp_path: Path) -> None:
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    life = f'[models."gemini-2.5-flash".life]\nretires = {tomorrow}\nreplaced_by = ["gemini-9"]\n'
    (tmp_path / "models.toml").write_text(f'as_of = 2026-11-30\nsource = "a test"\n{life}')
    file = tmp_path / "genops.yaml"
    file.write_text(yaml.safe_dump(changed() | {"models": "models.toml"}))
    done = CliRunner().invoke(app, ["check", str(file)])
    assert (done.exit_code, done.stdout) == (0, "")
    assert f"warning: gemini-2.5-flash retires on {tomorrow}" in done.stderr
    assert "Google names gemini-9 in its place." in done.stderr
    done = CliRunner().invoke(app, ["check", str(file), "--json"])
    assert f"retires on {tomorrow}" in json.loads(done.stdout)["warnings"][0]


def test_figures_that_nobody_has_looked_at_for_long_are_listed_with_their_source() -> None:
    read = max(group.as_of for model in shipped().models.values() if (group := model.calls).as_of is not None)
    names = {(name, group) for name, group, _, _ in not_looked_at(shipped(), read + timedelta(days=61), days=60)}
    assert ("gemini-3.5-flash", "serving") in names
    assert ("gemini-3.5-flash", "tuning.files") in names
    assert ("gemini-3.7-flash", "prices") not in names, "there are none"
    late = report(read + timedelta(days=61))
    assert late.startswith("Not looked at for 60 days")
    assert "supervised-tuning" in late
    soon = {(name, group) for name, group, _, _ in not_looked_at(shipped(), read + timedelta(days=60), days=60)}
    assert ("gemini-3.5-flash", "serving") not in soon
