"""Documents of a promotion: the champion, the question to a person and the answer, rollbacks, and deleted models."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar, Literal

from pydantic import AwareDatetime

from genops_events.reading.object_names import ROOT
from genops_events.record.document import Document
from genops_events.record.paths import folder


class Rollback(Document):
    """A person took a dataset's champion (`candidate`) from its place and gave it to another one."""

    SCHEMA: ClassVar[str] = "genops.rollback.v1"

    dataset: str
    champion: str
    """The candidate that is champion since then."""
    by: str
    reason: str
    claimed: str | None = None
    """The person by the environment of the command; None where no command did it, and in older documents."""
    metric: str | None = None
    score: float | None = None
    """Score of the candidate that has lost its place."""
    champion_score: float | None = None


class Champion(Document):
    """The model that a dataset serves now; `candidate` is the candidate of this model."""

    SCHEMA: ClassVar[str] = "genops.champion.v1"

    dataset: str
    model: str
    endpoint: str
    checkpoint: str | None = None
    """Id of the checkpoint that `endpoint` serves, where the model has several; further tuning starts from it."""
    metric: str
    score: float
    scores: dict[str, float]
    promoted_at: AwareDatetime
    predecessor: str | None = None
    earlier: tuple[str, ...] = ()
    """Earlier champions, the latest first; a promotion that died after its compare-and-set may find its candidate here."""
    predecessor_score: float | None = None
    predecessor_model: str | None = None
    arrived_at: AwareDatetime | None = None
    """When its training file arrived; None in older documents."""
    rollback: Rollback | None = None
    """The rollback by which it became champion; None after a promotion."""
    unannounced: tuple[Rollback, ...] = ()
    """Unfinished rollbacks: part of the compare-and-set, so that none is lost in a crash."""


AnswerSource = Literal["airflow", "shell", "timeout"]
"""How a person's answer was given."""


class Question(Document):
    """A person is asked whether a candidate becomes champion."""

    SCHEMA: ClassVar[str] = "genops.question.v1"

    run_id: str
    """The Dag run of genops_promotion whose task waits."""
    text: str
    """The question with its figures, in Markdown."""
    asked_until: datetime
    on_timeout: Literal["approve", "reject"]

    @property
    def commands(self) -> str:
        """The commands that answer the question."""
        return f"`genops approve {self.candidate}` or `genops reject {self.candidate}`"


class PersonsAnswer(Document):
    """A person's decision about a candidate: the first answer counts, from Airflow or from the shell."""

    SCHEMA: ClassVar[str] = "genops.answer.v1"

    approved: bool
    by: str
    """The person, by the identity of the credentials or as Airflow's user; `nobody` after a timeout."""
    reason: str
    through: AnswerSource
    claimed: str | None = None
    """The person by the environment of the command; None where no command did it, and in older documents."""

    @property
    def sentence(self) -> str:
        """The answer as a sentence, such as `Rejected by ada@laptop: it swears`."""
        what = "Approved" if self.approved else "Rejected"
        if self.through == "timeout":
            return f"{what} because nobody answered in time, as `promotion.on_timeout` says."
        return f"{what} by {self.by}: {self.reason}"


class Pruned(Document):
    """The candidate's tuned model is deleted; written before the first call that deletes."""

    SCHEMA: ClassVar[str] = "genops.pruned.v1"

    by: str
    model: str
    endpoints: tuple[str, ...]
    claimed: str | None = None
    """The person by the environment of the command; None where no command did it, and in older documents."""
    done_at: datetime | None = None
    """None as long as the model or an endpoint may still exist."""


def question_path(candidate: str) -> str:
    """Return the path of the question to a person."""
    return f"{folder(candidate)}promotion-question.json"


def answer_path(candidate: str) -> str:
    """Return the path of a person's answer."""
    return f"{folder(candidate)}promotion-answer.json"


def pruned_path(candidate: str) -> str:
    """Return the path of the record of the candidate's deleted model."""
    return f"{folder(candidate)}pruned.json"


def rollback_path(rollback: Rollback) -> str:
    """Return the path of a rollback, beside its dataset's champion; sorted by time."""
    at = rollback.written_at.astimezone(UTC)
    return f"{ROOT}datasets/{rollback.dataset}/rollbacks/{at:%Y%m%dT%H%M%S.%f}-{rollback.candidate}.json"
