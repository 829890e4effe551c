"""The record's documents about promotion alone: a question to a person, the answer, and what was taken away since."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Literal

from genops_events.record import Document
from genops_events.record_paths import folder

SaidBy = Literal["airflow", "shell", "timeout"]


class Question(Document):
    """A candidate may take the champion's place, and a person is asked whether it shall."""

    SCHEMA: ClassVar[str] = "genops.question.v1"

    run_id: str
    """The Dag run of genops_promotion whose task waits."""
    text: str
    """The figures, in words."""
    asked_until: datetime
    on_timeout: Literal["approve", "reject"]

    @property
    def commands(self) -> str:
        """What to say in the shell, in words."""
        return f"`genops approve {self.candidate}` or `genops reject {self.candidate}`"


class PersonsAnswer(Document):
    """What a person said about a candidate: the first answer counts, whichever way it came."""

    SCHEMA: ClassVar[str] = "genops.answer.v1"

    approved: bool
    by: str
    """Who: the identity of the credentials, or the user that Airflow knows; `nobody` where the time was up."""
    reason: str
    through: SaidBy
    claimed: str | None = None
    """Who the environment of the command said it was; None where no command did it, and in older documents."""

    @property
    def told(self) -> str:
        """The answer in words, such as `Rejected by ada@laptop: it swears`."""
        what = "Approved" if self.approved else "Rejected"
        if self.through == "timeout":
            return f"{what} because nobody answered in time, as `promotion.on_timeout` says."
        return f"{what} by {self.by}: {self.reason}"


class Pruned(Document):
    """The candidate's tuned model is taken away; written before the first call that does so."""

    SCHEMA: ClassVar[str] = "genops.pruned.v1"

    by: str
    model: str
    endpoints: tuple[str, ...]
    claimed: str | None = None
    """Who the environment of the command said it was; None where no command did it, and in older documents."""
    done_at: datetime | None = None
    """None as long as something of it may still be there."""


def question_path(candidate: str) -> str:
    """Return where the question to a person is recorded."""
    return f"{folder(candidate)}promotion-question.json"


def answer_path(candidate: str) -> str:
    """Return where a person's answer is recorded."""
    return f"{folder(candidate)}promotion-answer.json"


def pruned_path(candidate: str) -> str:
    """Return where it is recorded that the candidate's model was taken away."""
    return f"{folder(candidate)}pruned.json"
