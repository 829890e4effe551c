"""What is compared, with whom: settled when a comparison begins, so that whatever dies, the next try goes on with the same."""

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
"""Contestants that answer at the same time, of all comparisons."""


UNANNOUNCED = f"{ROOT}unannounced-comparisons/"
"""Ends of comparisons that have not been announced yet: the sweep looks at these."""


class ComparisonPlan(Document):
    """What is compared, and with whom."""

    SCHEMA: ClassVar[str] = "genops.comparison-plan.v1"

    candidate: str
    """The comparison's id."""
    dataset: str
    run_id: str
    """The Dag run of genops_comparison that does it; only a retry of it goes on after a crash."""
    started_by: Literal["promotion", "person"]
    champion: str | None = None
    """The candidate that was champion then."""
    contestants: tuple[Contestant, ...]
    prompts: str
    """Name of the object that the prompts were copied from."""
    metrics: tuple[str, ...]
    budget_usd: Decimal | None = None
    notes: tuple[str, ...] = ()

    @field_serializer("contestants")
    def _as_given(self, contestants: tuple[Contestant, ...]) -> list[dict[str, Any]]:
        # What was not given must not come back as given: null would be the model's own default.
        return [one.model_dump(mode="json", exclude_unset=True) for one in contestants]

    @property
    def id(self) -> str:
        """The comparison's id."""
        return self.candidate

    def contestant(self, name: str) -> Contestant:
        """Return the contestant of this name; it is there."""
        return next(one for one in self.contestants if one.name == name)


class ContestantDocument(Document):
    """A contestant has ended. One that did not complete is overwritten if a person lets it try again."""

    SCHEMA: ClassVar[str] = "genops.contestant.v1"

    round: int = 1
    """How often it was tried until its end: each has a reservation of its own."""
    spent_usd: Decimal | None = Decimal(0)
    """What this round has spent: `result` has what all of them have."""
    result: ContestantResult


def comparison_id(dataset: str, run_id: str) -> str:
    """Return the id of the comparison that a person's Dag run makes: of the form of a candidate id."""
    return f"{dataset}-{hashlib.sha256(f'comparison {run_id}'.encode()).hexdigest()[:DIGEST_CHARACTERS]}"


def folder(comparison: str) -> str:
    """Return the prefix of everything about a comparison."""
    return f"{COMPARISONS}{comparison}/"


def plan_path(comparison: str) -> str:
    """Return where it is written what is compared."""
    return f"{folder(comparison)}plan.json"


def prompts_path(comparison: str) -> str:
    """Return where the copy of the prompt file lies that everybody answers."""
    return f"{folder(comparison)}prompts.jsonl"


def summary_path(comparison: str) -> str:
    """Return where the `Comparison` lies."""
    return f"{folder(comparison)}comparison.json"


def unannounced_path(comparison: str, number: int) -> str:
    """Return where this end of a comparison lies until it is announced; a cleared one may have several."""
    return f"{UNANNOUNCED}{comparison}-{number}.json"


def summary_table(comparison: str) -> str:
    """Return the name, without an ending, of the figures as a table: a row for each contestant and metric."""
    return f"{folder(comparison)}summary"


def rows_path(comparison: str) -> str:
    """Return where the rows lie, answers side by side, one JSON line each."""
    return f"{folder(comparison)}rows.jsonl"


def report_path(comparison: str) -> str:
    """Return where the report for people lies."""
    return f"{folder(comparison)}report.html"


def result_path(comparison: str, contestant: str) -> str:
    """Return where it is written how a contestant ended."""
    return f"{_of(comparison, contestant)}result.json"


def answers_path(comparison: str, contestant: str) -> str:
    """Return where a contestant's answers lie; parts of them beside it while it is under way."""
    return f"{_of(comparison, contestant)}answers.jsonl"


def scores_prefix(comparison: str, contestant: str) -> str:
    """Return where a contestant's scores lie while it is under way."""
    return f"{_of(comparison, contestant)}scores/"


def contestant_rows_path(comparison: str, contestant: str) -> str:
    """Return where a contestant's rows lie, one JSON line each, in the order of the prompts."""
    return f"{_of(comparison, contestant)}rows.jsonl"


def upload_path(digest: str) -> str:
    """Return where a file of prompts lies that a command brought along."""
    return f"{ROOT}comparison-prompts/{digest}.jsonl"


def account(comparison: str, contestant: str, round_: int) -> str:
    """Return under which name the ledger has what a contestant costs; each try after an end has its own."""
    return f"{comparison}/{contestant}" + (f"/{round_}" if round_ > 1 else "")


def summarised(outcomes: Sequence[ContestantResult]) -> str:
    """Say how it went: who completed, who did not and why."""
    if not outcomes:
        return "There were no contestants to compare."
    done = [one for one in outcomes if one.status == "completed"]
    others = [one for one in outcomes if one.status != "completed"]
    count = f"{len(done) or 'None'} of {len(outcomes)} contestants" if others else f"All {len(outcomes)} contestants"
    if len(outcomes) == 1 and not others:
        count = "The contestant"
    told = f"{count} answered and {'was' if len(done) <= 1 else 'were'} scored."
    return " ".join([told, *(f"{one.name} {one.status}: {_stopped(one.reason)}" for one in others)])


def _stopped(text: str) -> str:
    line = " ".join(text.split())
    return line if line.endswith(("!", "?")) else f"{line.rstrip('.')}."


def _of(comparison: str, contestant: str) -> str:
    return f"{folder(comparison)}contestants/{contestant}/"
