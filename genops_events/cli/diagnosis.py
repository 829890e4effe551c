"""Run every check of `genops doctor`, each for itself: none can stop, delay or crash another."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from genops_events.doctor.findings import Check, Diagnosis, Finding, Result, Status, failed, ok, skipped
from genops_events.errors import ConfigError, GenopsError

if TYPE_CHECKING:
    from genops_events.airflow_rest.client import AirflowRest
    from genops_events.config import Config

CHECK_SECONDS = 30.0
"""Bound of one check, all its calls together."""

_STOPS = (Status.FAILED, Status.SKIPPED)


def diagnose(config: Config | ConfigError) -> Diagnosis:
    """Look at everything that the cascade needs, and say what is wrong and what fixes it.

    Args:
        config: the configuration; or why it cannot be used, and then nothing else is looked at.
    """
    from genops_events.config.environment import Settings

    began = time.monotonic()
    is_local = "STORAGE_EMULATOR_HOST" in os.environ
    if isinstance(config, ConfigError):
        finding = failed(config.message, config.hint, "genops config check")
        results: tuple[Result, ...] = (
            Result("configuration", finding),
            Result("all else", skipped("needs a configuration")),
        )
    else:
        names = ", ".join(config.datasets)
        good = Result("configuration", ok(f"{Settings().config}: project {config.project}, datasets {names}"))
        results = (good, *run(list(_checks(config, is_local=is_local)), timeout_seconds=CHECK_SECONDS))
    target = "local stack" if is_local else "Google Cloud"
    return Diagnosis(target=target, results=results, seconds=time.monotonic() - began)


def _checks(config: Config, *, is_local: bool) -> Iterator[Check]:
    from genops_events.doctor.airflow_checks import AirflowChecks
    from genops_events.doctor.cloud_checks import CloudChecks
    from genops_events.doctor.remedies import Remedies

    rest = known_airflow()
    remedies = Remedies(config, is_local, "$GENOPS_AIRFLOW_URL" if rest is None else rest.url)
    yield from CloudChecks(remedies).all()
    yield from AirflowChecks(rest, remedies).all()


def known_airflow() -> AirflowRest | None:
    """Return the Airflow that GENOPS_AIRFLOW_URL names; None where it is not set."""
    from genops_events.airflow_rest import client as rest

    return rest.known_airflow()


def run(checks: Sequence[Check], *, timeout_seconds: float) -> tuple[Result, ...]:
    """Run the checks at once, each after those that it needs; return their results in the order of `checks`.

    Args:
        checks: whose `needs` name others of them.
        timeout_seconds: a check that takes longer has failed; it is left behind, in a thread that holds nothing up.
    """
    names = {check.name for check in checks}
    assert all(name in names for check in checks for name in check.needs), "a check needs one that is not there"
    results: dict[str, Result] = {}
    began: dict[str, float] = {}
    done: SimpleQueue[Result] = SimpleQueue()
    while len(results) < len(checks):
        for check in checks:
            if check.name in began or check.name in results:
                continue
            stopped = [name for name in check.needs if name in results and results[name].finding.status in _STOPS]
            if stopped:
                results[check.name] = Result(check.name, skipped(f"cannot be judged without: {', '.join(stopped)}"))
            elif all(name in results for name in check.needs):
                began[check.name] = time.monotonic()
                threading.Thread(target=_look, args=(check, done), name=f"check {check.name}", daemon=True).start()
        running = {name: at + timeout_seconds for name, at in began.items() if name not in results}
        if not running:
            continue
        try:
            result = done.get(timeout=max(0.0, min(running.values()) - time.monotonic()))
        except Empty:
            late = min(running, key=lambda name: running[name])
            results[late] = Result(late, _timed_out(timeout_seconds), timeout_seconds)
        else:
            results.setdefault(result.name, result)
    return tuple(results[check.name] for check in checks)


def _look(check: Check, done: SimpleQueue[Result]) -> None:
    began = time.monotonic()
    try:
        finding = check.look()
    except GenopsError as error:
        finding = failed(error.message, error.hint, "genops doctor")
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not keep the others from being told
        finding = failed(
            f"The check itself failed: {type(error).__name__}: {error}",
            "This is a mistake in genops-events, or an answer that it does not know.",
            "genops doctor --json",
        )
    done.put(Result(check.name, finding, time.monotonic() - began))


def _timed_out(seconds: float) -> Finding:
    return failed(
        f"No answer within {seconds:g} s.", "The service, the network or this machine is overloaded.", "genops doctor"
    )
