"""The plugin's warm start: once in a scheduler, never in its tasks, and no matter for a genops.yaml that is being edited."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from config_texts import MINIMAL

from genops_events.airflow import plugin
from genops_events.config import load_config
from genops_events.gcp import warm_start


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[str]]:
    """A process that Airflow calls the listener in; how often Google's clients were built."""
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")
    monkeypatch.setenv("GENOPS_CONFIG", str(tmp_path / "genops.yaml"))
    monkeypatch.setattr(sys, "argv", ["airflow", "scheduler"])
    built: list[str] = []
    monkeypatch.setattr(warm_start, "warm_start", lambda: built.append("clients"))
    plugin._warm_up.cache_clear()
    yield built
    plugin._warm_up.cache_clear()


def test_a_task_that_is_forked_from_the_scheduler_does_not_warm_up_again(started: list[str], tmp_path: Path) -> None:
    (tmp_path / "genops.yaml").write_text(MINIMAL)
    listener = plugin.WarmStart()
    listener.on_starting(None)
    # A task's process is a fork: the same command line, and the same call.
    listener.on_starting(None)
    assert started == ["clients"]


@pytest.mark.parametrize("text", [None, "project: [", "project: x"])
def test_a_configuration_that_cannot_be_used_stops_no_scheduler_and_is_read_anew(
    started: list[str], tmp_path: Path, text: str | None
) -> None:
    file = tmp_path / "genops.yaml"
    if text is not None:
        file.write_text(text)
    plugin.WarmStart().on_starting(None)
    file.write_text(MINIMAL)
    assert load_config().datasets
    plugin.WarmStart().on_starting(None)
    assert set(started) == {"clients"}


def test_other_processes_of_airflow_import_nothing(started: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["airflow", "triggerer"])
    plugin.WarmStart().on_starting(None)
    monkeypatch.setattr(sys, "argv", ["airflow", "scheduler"])
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    plugin.WarmStart().on_starting(None)
    assert started == []
