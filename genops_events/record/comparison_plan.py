"""The plan of a comparison, which is settled when it begins, so that a retry has the same plan; and the paths of its files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, ClassVar, Literal

from pydantic import field_serializer

from genops_events.config.contestants import Contestant
from genops_events.config.identity import DIGEST_CHARACTERS
from genops_events.reading.object_names import ROOT
from genops_events.record.comparison import ContestantResult
from genops_events.record.document import Document
from genops_events.record.paths import COMPARISONS

MOST_AT_ONCE = 4
"""Contestants of all comparisons that answer at the same time."""


UNANNOUNCED = f"{ROOT}unannounced-comparisons/"
"""Ends of comparisons that have not been announced yet: the sweep looks at these."""


class ComparisonPlan(Document):
    """The contestants, prompts and metrics of a comparison."""

    SCHEMA: ClassVar[str] = "genops.comparison-plan.v1"

    candidate: str
    """The comparison's id."""
    dataset: str
    run_id: str
    """The Dag run of genops_comparison that does it; after a crash, only its own retry continues."""
    started_by: Literal["promotion", "person"]
    champion: str | None = None
    """The candidate that was champion when the plan was settled."""
    contestants: tuple[Contestant, ...]
    prompts: str
    """Name of the object that the prompts were copied from."""
    metrics: tuple[str, ...]
    budget_usd: Decimal | None = None
    notes: tuple[str, ...] = ()

    @field_serializer("contestants")
    def _as_given(self, contestants: tuple[Contestant, ...]) -> list[dict[str, Any]]:
        # Unset settings must not come back as null, which stands for the model's own default.
        return [one.model_dump(mode="json", exclude_unset=True) for one in contestants]

    @property
    def id(self) -> str:
        """The comparison's id."""
        return self.candidate

    def contestant(self, name: str) -> Contestant:
        """Return the contestant of this name, which must exist."""
        return next(one for one in self.contestants if one.name == name)


class ContestantDocument(Document):
    """The result of a contestant. If it did not complete, and a person lets it try again, it is overwritten."""

    SCHEMA: ClassVar[str] = "genops.contestant.v1"

    round: int = 1
    """Number of the round: each end begins a new one, with a reservation of its own."""
    spent_usd: Decimal | None = Decimal(0)
    """Cost of this round; `result` has that of all rounds."""
    result: ContestantResult


def comparison_id(dataset: str, run_id: str) -> str:
    """Return the id of the comparison of a person's Dag run, in the form of a candidate id."""
    return f"{dataset}-{hashlib.sha256(f'comparison {run_id}'.encode()).hexdigest()[:DIGEST_CHARACTERS]}"


def folder(comparison: str) -> str:
    """Return the prefix of all files of a comparison."""
    return f"{COMPARISONS}{comparison}/"


def plan_path(comparison: str) -> str:
    """Return the path of the plan."""
    return f"{folder(comparison)}plan.json"


def prompts_path(comparison: str) -> str:
    """Return the path of the copy of the prompt file that all contestants answer."""
    return f"{folder(comparison)}prompts.jsonl"


def summary_path(comparison: str) -> str:
    """Return the path of the summary."""
    return f"{folder(comparison)}comparison.json"


def unannounced_path(comparison: str, number: int) -> str:
    """Return the path of this end of a comparison until it is announced; a comparison that was cleared may have several."""
    return f"{UNANNOUNCED}{comparison}-{number}.json"


def summary_table(comparison: str) -> str:
    """Return the name, without a suffix, of the figures as a table: a row for each contestant and metric."""
    return f"{folder(comparison)}summary"


def rows_path(comparison: str) -> str:
    """Return the path of the rows, answers side by side, one JSON line each."""
    return f"{folder(comparison)}rows.jsonl"


def report_path(comparison: str) -> str:
    """Return the path of the report for people."""
    return f"{folder(comparison)}report.html"


def result_path(comparison: str, contestant: str) -> str:
    """Return the path of a contestant's result."""
    return f"{_of(comparison, contestant)}result.json"


def answers_path(comparison: str, contestant: str) -> str:
    """Return the path of a contestant's answers; during its run, their parts are beside it."""
    return f"{_of(comparison, contestant)}answers.jsonl"


def scores_prefix(comparison: str, contestant: str) -> str:
    """Return the prefix of a contestant's scores during its run."""
    return f"{_of(comparison, contestant)}scores/"


def contestant_rows_path(comparison: str, contestant: str) -> str:
    """Return the path of a contestant's rows, one JSON line each, in the order of the prompts."""
    return f"{_of(comparison, contestant)}rows.jsonl"


def upload_path(digest: str) -> str:
    """Return the path of a file of prompts that a command has uploaded."""
    return f"{ROOT}comparison-prompts/{digest}.jsonl"


def account(comparison: str, contestant: str, round_: int) -> str:
    """Return the name of a contestant's entry in the ledger; each round has its own."""
    return f"{comparison}/{contestant}" + (f"/{round_}" if round_ > 1 else "")


def summarised(outcomes: Sequence[ContestantResult]) -> str:
    """Return sentences about the outcome: how many contestants completed, and why others did not."""
    if not outcomes:
        return "There were no contestants to compare."
    done = [one for one in outcomes if one.status == "completed"]
    others = [one for one in outcomes if one.status != "completed"]
    count = f"{len(done) or 'None'} of {len(outcomes)} contestants" if others else f"All {len(outcomes)} contestants"
    if len(outcomes) == 1 and not others:
        count = "The contestant"
    text = f"{count} answered and {'was' if len(done) <= 1 else 'were'} scored."
    return " ".join([text, *(f"{one.name} {one.status}: {_with_full_stop(one.reason)}" for one in others)])


def _with_full_stop(text: str) -> str:
    line = " ".join(text.split())
    return line if line.endswith(("!", "?")) else f"{line.rstrip('.')}."


def _of(comparison: str, contestant: str) -> str:
    return f"{folder(comparison)}contestants/{contestant}/"
