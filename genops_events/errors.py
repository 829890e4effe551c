"""Every error of this project, so that one `except GenopsError` sees them all and retries are decided in one place.

GenopsError                what happened (message) and what to do (hint)
├── TransientError         the same call may succeed later: retry with back-off
└── PermanentError         repeating changes nothing: something must change first
    └── ConfigError        genops.yaml is missing or wrong; carries one ConfigProblem for each thing to mend

Other modules derive from TransientError or PermanentError, never from GenopsError itself.

StepAside                  no error: there is nothing to do here now
"""

from __future__ import annotations

from dataclasses import dataclass


class GenopsError(Exception):
    """What went wrong and what to do about it, in words for the person on call."""

    def __init__(self, message: str, hint: str = "") -> None:
        # Both go to Exception.args: an error must survive pickling between Airflow's processes.
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class TransientError(GenopsError):
    """The cause is expected to pass by itself: try again later."""


class PermanentError(GenopsError):
    """Trying again gives the same result: fail at once."""


class StepAside(Exception):
    """There is nothing to do here now: another Dag run does it, or something else must come first. Nothing went wrong.

    Args:
        reason: a sentence for the person who looks at the task, which Airflow shows as skipped.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """One thing that is wrong in genops.yaml."""

    key: str
    """Path of the key, e.g. `datasets.banking77.tuning.epochs`; empty for the file as a whole."""
    line: int | None
    """1-based line in the file; None where the problem has no line."""
    problem: str
    found: str
    allowed: str
    did_you_mean: str | None = None

    def __str__(self) -> str:
        where = self.key or "the file"
        at = f" (line {self.line})" if self.line is not None else ""
        rows = [f"{where}{at}: {self.problem}"]
        if self.found:
            rows.append(f"  found: {self.found}")
        if self.allowed:
            rows.append(f"  allowed: {self.allowed}")
        if self.did_you_mean is not None:
            rows.append(f"  did you mean `{self.did_you_mean}`?")
        return "\n".join(rows)


class ConfigError(PermanentError):
    """The configuration cannot be used as it is."""

    def __init__(self, message: str, hint: str = "", problems: tuple[ConfigProblem, ...] = ()) -> None:
        super().__init__(message, hint)
        self.args = (message, hint, problems)
        self.problems = problems
