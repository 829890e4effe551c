"""Checks run at once, each for itself."""

from __future__ import annotations

import threading
import time

from waiting import HANG_SECONDS, until

from genops_events.cli.diagnosis import run
from genops_events.doctor.findings import Check, Diagnosis, Finding, Result, Status, failed, ok, skipped
from genops_events.errors import PermanentError

SHORT_SECONDS = 0.5
"""For checks that are to be late; those that are not try again on a machine that is too busy for it."""


def fine() -> Finding:
    return ok("fine")


def statuses(*checks: Check, timeout_seconds: float = HANG_SECONDS) -> dict[str, Status]:
    return {one.name: one.finding.status for one in run(checks, timeout_seconds=timeout_seconds)}


def test_checks_run_at_once_and_come_back_in_their_order() -> None:
    together = threading.Barrier(3, timeout=HANG_SECONDS)

    def meet() -> Finding:
        together.wait()
        return fine()

    results = run([Check(name, meet) for name in ("c", "a", "b")], timeout_seconds=HANG_SECONDS)
    assert [(one.name, one.finding.status) for one in results] == [("c", "ok"), ("a", "ok"), ("b", "ok")]


def test_what_needs_a_failed_check_is_skipped_and_what_needs_that_as_well() -> None:
    looked = []

    def look() -> Finding:
        looked.append(1)
        return fine()

    found = statuses(
        Check("far", look, needs=("near", "other")),
        Check("near", look, needs=("broken",)),
        Check("broken", lambda: failed("no", "because")),
        Check("other", fine),
        Check("warned", lambda: Finding(Status.WARNING, "hm")),
        Check("after a warning", fine, needs=("warned",)),
    )
    assert found == {
        "far": "skipped",
        "near": "skipped",
        "broken": "failed",
        "other": "ok",
        "warned": "warning",
        "after a warning": "ok",
    }
    assert looked == []


def test_a_check_that_crashes_has_failed_and_the_others_are_told() -> None:
    def crash() -> Finding:
        raise KeyError("surprise")

    def refuse() -> Finding:
        raise PermanentError("It is closed.", "Open it.")

    crashed, refused, good = run(
        [Check("a", crash), Check("b", refuse), Check("c", fine)], timeout_seconds=HANG_SECONDS
    )
    assert crashed.finding.status is Status.FAILED
    assert "KeyError: 'surprise'" in crashed.finding.found
    assert (refused.finding.found, refused.finding.cause) == ("It is closed.", "Open it.")
    assert crashed.finding.remedy
    assert refused.finding.remedy
    assert good.finding.status is Status.OK


def test_a_check_that_never_ends_holds_nothing_up() -> None:
    release = threading.Event()

    def hang() -> Finding:
        release.wait()
        return fine()

    checks = [Check("hung", hang), Check("after", fine, needs=("hung",)), Check("good", fine)]

    def told() -> tuple[Result, ...] | None:
        """Return the results, unless the machine was too busy for the good one."""
        results = run(checks, timeout_seconds=SHORT_SECONDS)
        return results if results[-1].finding.status is Status.OK else None

    try:
        hung, after, _ = until(told, what="the good check ends in time")
    finally:
        release.set()
    assert f"No answer within {SHORT_SECONDS} s" in hung.finding.found
    assert (hung.finding.status, after.finding.status) == ("failed", "skipped")


def test_the_time_of_a_check_begins_when_what_it_needs_is_known() -> None:
    def slow() -> Finding:
        time.sleep(0.6 * SHORT_SECONDS)
        return fine()

    def both() -> bool:
        """Return whether both end in time: never, if the second one's time began with the first one's."""
        found = statuses(Check("a", slow), Check("b", slow, needs=("a",)), timeout_seconds=SHORT_SECONDS)
        return found == {"a": "ok", "b": "ok"}

    until(both, what="two checks that take more than half of the time each")


def test_only_a_failed_check_makes_a_diagnosis_unhealthy() -> None:
    def diagnosis(*findings: Finding) -> Diagnosis:
        checks = [Check(str(number), lambda one=one: one) for number, one in enumerate(findings)]
        return Diagnosis("local stack", run(checks, timeout_seconds=HANG_SECONDS), 0.0)

    calm = diagnosis(ok("a"), Finding(Status.WARNING, "b"), skipped("c"))
    assert calm.healthy
    assert not diagnosis(ok("a"), failed("b", "c", "mend it")).healthy
    (told,) = diagnosis(failed("b", "c", "mend it")).to_json()["checks"]
    assert told.pop("seconds") >= 0
    assert told == {"name": "0", "status": "failed", "found": "b", "cause": "c", "remedy": ["mend it"]}
