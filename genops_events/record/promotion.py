"""What is recorded of a promotion: the contender's comparisons with the champion, the champion, and rollbacks."""

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
    """The candidate that is champion since."""
    by: str
    reason: str
    claimed: str | None = None
    """Who the environment of the command said it was; None where no command did it, and in older documents."""
    metric: str | None = None
    score: float | None = None
    """Of the candidate that was taken back."""
    champion_score: float | None = None


class Champion(Document):
    """The model that a dataset serves now. `candidate` is the one that it came from."""

    SCHEMA: ClassVar[str] = "genops.champion.v1"

    dataset: str
    model: str
    endpoint: str
    checkpoint: str | None = None
    """Id of the checkpoint behind `endpoint`, where the model has several: what tuning it further starts from."""
    metric: str
    score: float
    scores: dict[str, float]
    promoted_at: AwareDatetime
    predecessor: str | None = None
    earlier: tuple[str, ...] = ()
    """Champions before, the last one first; who died right after becoming one finds itself here."""
    predecessor_score: float | None = None
    predecessor_model: str | None = None
    arrived_at: AwareDatetime | None = None
    """When its training file arrived; None in documents from before this was written."""
    rollback: Rollback | None = None
    """How it came to its place, if by a rollback."""
    unannounced: tuple[Rollback, ...] = ()
    """Rollbacks of which not all is done yet: part of the compare-and-set, so that no crash can come between."""


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


def rollback_path(rollback: Rollback) -> str:
    """Return where a rollback is recorded, beside its dataset's champion; sorted by time."""
    at = rollback.written_at.astimezone(UTC)
    return f"{ROOT}datasets/{rollback.dataset}/rollbacks/{at:%Y%m%dT%H%M%S.%f}-{rollback.candidate}.json"
