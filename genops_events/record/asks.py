"""Documents and files of a run that asks a model by hand: its plan, its result, and their paths."""

from __future__ import annotations

import hashlib
import re
from decimal import Decimal
from typing import Any, ClassVar

from genops_events.config.answers import AnswerSettings
from genops_events.money.ledger import usd
from genops_events.money.unpriced import unpriced
from genops_events.reading.object_names import ROOT
from genops_events.record.document import Document
from genops_events.record.endings import in_words

ASKS = f"{ROOT}asks/"
ANSWER_KEYS = ("answer", "function_calls", "sources", "citations", "thoughts", "other_answers")
"""Figures of a single prompt that have content of the model."""
_RUN = re.compile(r"ask-[0-9a-f]{16}")


class AskPlan(Document):
    """The model, the prompts and the most that they can cost: settled before the first call, so that a retry has the same plan.

    `candidate` is the id of the run, `ask-…`.
    """

    SCHEMA: ClassVar[str] = "genops.ask-plan.v1"

    by: str
    dataset: str | None = None
    """The dataset whose champion is asked; None for a published model."""
    champion: str | None = None
    model: str
    """The model that is called: a publisher's model, or an endpoint."""
    billed_model: str
    system_instruction: str | None = None
    settings: dict[str, Any]
    """As under `inference` in genops.yaml."""
    common: list[dict[str, Any]]
    """Contents that are sent before every prompt: those of `inference.cache`."""
    source: str
    """The prompt file, or `the prompt`."""
    is_single: bool
    """Whether there is one prompt, and no file."""
    rows: int
    bad_rows: int = 0
    """Rows of the file that cannot be asked."""
    input_tokens: int
    """Counted by Vertex AI."""
    billable_characters: int = 0
    """Counted by Vertex AI."""
    longest_answers: int
    """Output tokens, thinking included, if every answer has the most that it may have."""
    budget_usd: Decimal
    most_usd: Decimal
    """The most that the answers can cost; reserved in the ledger."""
    estimated_usd: Decimal
    """The same by an estimate of each prompt's tokens, from which each prompt's share of `most_usd` is computed."""

    @property
    def is_over(self) -> bool:
        """Whether the answers may cost more than the budget."""
        return self.most_usd > self.budget_usd

    @property
    def estimate(self) -> str:
        """A sentence with the model, the prompts, their tokens and the most that they can cost."""
        rows = self.rows - self.bad_rows
        prompts = "one prompt" if self.is_single else f"{rows:,} {'prompt' if rows == 1 else 'prompts'}"
        bad = (
            f" ({self.bad_rows:,} further {'row' if self.bad_rows == 1 else 'rows'} cannot be asked)"
            if self.bad_rows
            else ""
        )
        champion = "" if self.champion is None else f" ({self.champion}, champion of {self.dataset})"
        return (
            f"{self.billed_model}{champion}: {prompts}{bad}, {self.input_tokens:,} input tokens, "
            f"{self.billable_characters:,} billable characters, answers of up to {self.longest_answers:,} tokens: "
            f"at most {usd(self.most_usd)}, the budget is {usd(self.budget_usd)}"
        )

    @property
    def unpriced(self) -> tuple[str, ...]:
        """Sentences about the parts that cost money and have no price."""
        return unpriced(AnswerSettings.model_validate(self.settings))

    def counted_json(self) -> dict[str, Any]:
        """Return the figures of a count; amounts are strings, since JSON's numbers are not exact."""
        shown = {
            "dataset",
            "champion",
            "model",
            "billed_model",
            "source",
            "bad_rows",
            "input_tokens",
            "billable_characters",
        }
        shown |= {"longest_answers", "most_usd", "budget_usd"}
        counts = self.model_dump(mode="json", include=shown)
        return counts | {
            "prompts": self.rows - self.bad_rows,
            "over_budget": self.is_over,
            "unpriced": list(self.unpriced),
        }

    @property
    def share(self) -> Decimal:
        """Ratio of the most that all prompts can cost to their estimate; applied to the estimate of each prompt."""
        return self.most_usd / self.estimated_usd if self.estimated_usd else Decimal(1)


class AskResult(Document):
    """The result of a run that asks. `candidate` is the id of the run."""

    SCHEMA: ClassVar[str] = "genops.ask-result.v1"

    dataset: str | None = None
    champion: str | None = None
    model: str
    prompts: int
    answered: int
    blocked: int
    cut: int
    empty: int = 0
    failed: int
    input_tokens: int
    output_tokens: int
    """Tokens of answers and thinking."""
    cached_tokens: int = 0
    thinking_tokens: int = 0
    cost_usd: Decimal
    most_usd: Decimal
    budget_usd: Decimal
    answers_uri: str | None = None
    failures_uri: str | None = None
    row: dict[str, Any] | None = None
    """For a single prompt: its answer with state and reason, or the reason why it has none."""
    most_often: str = ""
    """The most frequent reason of failures."""

    @property
    def reason(self) -> str | None:
        """Why a single prompt has no answer, or none that is complete."""
        found = (self.row or {}).get("reason")
        return None if found is None else f"{str(found).removeprefix('Line 1: ').rstrip('.')}."

    def figures(self) -> dict[str, Any]:
        """Return the figures for programs; for a single prompt the answer, too. Amounts are strings."""
        figures: dict[str, Any] = {"run": self.candidate}
        left_out = {"schema_name", "candidate", "written_at", "row", "most_often"}
        figures |= self.model_dump(mode="json", exclude=left_out, exclude_none=True)
        row = self.row or {}
        figures |= {} if self.reason is None else {"reason": self.reason}
        return figures | {key: row[key] for key in (*ANSWER_KEYS, "state") if key in row}

    @property
    def is_whole(self) -> bool:
        """Whether every prompt has a complete answer."""
        return not (self.failed or self.blocked or self.cut or self.empty)

    @property
    def bill(self) -> str:
        """Tokens and cost, in words."""
        thinking = f" ({self.thinking_tokens:,} of thinking)" if self.thinking_tokens else ""
        tokens = f"{self.input_tokens:,} input and {self.output_tokens:,} output tokens{thinking}"
        return f"{tokens}, {usd(self.cost_usd)} of at most {usd(self.most_usd)}"

    @property
    def outcome(self) -> str:
        """Sentences with the number of answered prompts, and the reasons of the others."""
        text = f"Answered {self.answered:,} of {self.prompts:,} prompts."
        if unusable := in_words({"blocked": self.blocked, "cut": self.cut, "empty": self.empty}):
            text += f" Of the answers, {unusable}."
        return text + (f" Most often: {self.most_often.rstrip('.')}." if self.failed else "")


def run_of(name: str) -> str:
    """Return the id of the run of this name; a retry with the same name has the same id."""
    return f"ask-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def is_run(run: str) -> bool:
    """Return whether a text has the form of a run's id."""
    return _RUN.fullmatch(run) is not None


def folder(run: str) -> str:
    """Return the prefix of all documents and files of a run."""
    return f"{ASKS}{run}/"


def plan_path(run: str) -> str:
    """Return the path of the plan."""
    return f"{folder(run)}plan.json"


def result_path(run: str) -> str:
    """Return the path of the result."""
    return f"{folder(run)}result.json"


def prompts_path(run: str) -> str:
    """Return the path of the copy of the prompts that is answered."""
    return f"{folder(run)}prompts.jsonl"


def parts_prefix(run: str) -> str:
    """Return the prefix of finished rows during a run."""
    return f"{folder(run)}parts/"


def answers_path(run: str) -> str:
    """Return the path of the answers."""
    return f"{folder(run)}answers.jsonl"


def failures_path(run: str) -> str:
    """Return the path of the rows that have no answer, with the reason."""
    return f"{folder(run)}failures.jsonl"
