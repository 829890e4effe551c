"""Answers that were paid for: kept as they come, and never asked for again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from genops_events.gcp.parts import PartWriter, read_parts, remove_parts
from genops_events.gemini import answer_rows as inputs
from genops_events.gemini.prompts import Prompt

if TYPE_CHECKING:
    from google.cloud.storage import Bucket

    from genops_events.gemini.generation import Answer


class KeptAnswers:
    """The answers to some prompts: what an earlier try kept, and every new one within a second or so.

    Args:
        bucket: where to keep them.
        name: of the object that holds them in the end; until then they are in parts beside it.
        asked: the prompts.
        model: what answers.
        settings: how it is asked, as `Requests.asked_as` says.
    """

    def __init__(self, bucket: Bucket, name: str, asked: Sequence[Prompt], *, model: str, settings: str) -> None:
        self._bucket, self._name, self._asked, self._model, self._settings = bucket, name, asked, model, settings
        self._prefix = f"{name.removesuffix('.jsonl')}.parts/"
        self._parts = PartWriter(bucket, self._prefix)
        rows = read_parts(bucket, self._prefix)
        kept = [*rows, *inputs.answer_rows(bucket, name)]
        # The champion of an earlier round may have been another one: its answers are not this one's.
        mine = [row for row in kept if row.get("model", model) == model]
        self.answers: dict[int, Answer] = inputs.answers_of(mine, asked)
        """By the index of their prompt."""
        self._new = bool(rows)

    @property
    def uri(self) -> str:
        """Where the answers are in the end."""
        return f"gs://{self._bucket.name}/{self._name}"

    def add(self, number: int, answer: Answer) -> None:
        """Keep a new answer."""
        self._new = True
        self.answers[number] = answer
        row = inputs.answer_row(number, self._asked[number], answer, model=self._model, settings=self._settings)
        self._parts.add(row)

    def adopt(self, answers: Mapping[int, Answer]) -> None:
        """Take answers that are kept elsewhere, where there are none yet."""
        for number, answer in answers.items():
            if number not in self.answers:
                self.add(number, answer)

    def __enter__(self) -> Self:
        self._parts.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write the parts that are left; a whole file only after a good end, so that a repeated run finds either."""
        self._parts.__exit__(kind, error, trace)
        if error is None and self._new:
            inputs.write_answers(
                self._bucket, self._name, self._asked, self.answers, model=self._model, settings=self._settings
            )
            remove_parts(self._bucket, self._prefix)
