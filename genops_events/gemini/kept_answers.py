"""The answers of one respondent to prompts that are held in memory: those that earlier tries have kept, and new ones."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS
from genops_events.gcp.errors import google_call
from genops_events.gcp.parts import read_parts, remove_parts
from genops_events.gcp.streams import MOST_ROWS_BYTES, read_whole
from genops_events.gemini.kept import KeptRows
from genops_events.gemini.online import Respondent, kept_answer
from genops_events.gemini.prompts import PromptRow
from genops_events.gemini.replies import Reply

if TYPE_CHECKING:
    from google.cloud.storage import Bucket

Answers = Mapping[int, Reply]
"""Answers by the number of their row."""


class KeptAnswers:
    """Answers that are kept in parts during a run, and in one object when it is finished.

    Args:
        bucket: of parts and object.
        name: of the object; the parts are in a folder beside it.
        rows: the prompts, numbered from 0 on.
        respondent: the model, and how it is asked.
    """

    def __init__(self, bucket: Bucket, name: str, rows: Sequence[PromptRow], respondent: Respondent) -> None:
        self._bucket, self._name = bucket, name
        self._prefix = f"{name.removesuffix('.jsonl')}.parts/"
        self.rows, self.respondent = rows, respondent
        self.parts = KeptRows(bucket, self._prefix)
        """Parts for new answers."""
        kept = read_parts(bucket, self._prefix)
        self._has_new = bool(kept)
        # Another model may have been champion in an earlier round: its answers are left out.
        of_this_model = [
            row
            for row in (*kept, *answer_rows(bucket, name))
            if row.get("model", respondent.name) == respondent.name and "answer" in row
        ]
        self.answers = _answers_of(of_this_model, rows)

    @property
    def pending(self) -> list[PromptRow]:
        """The rows without an answer; a row that an earlier try was refused is asked again, since a refusal costs nothing."""
        return [row for row in self.rows if row.number not in self.answers]

    def add(self, number: int, reply: Reply) -> None:
        """Take an answer that is kept in `parts`."""
        self._has_new = True
        self.answers[number] = reply

    def adopt(self, answers: Answers) -> None:
        """Take over answers that are kept elsewhere, for the rows without one."""
        for number, reply in answers.items():
            if number not in self.answers:
                self.add(number, reply)

    def finish(self) -> None:
        """Write a line for each answered row, in order, and remove the parts; repeating it changes nothing.

        The answers are paid for: a later try reads them instead of asking again.
        """
        if not self._has_new:
            return
        model, settings = self.respondent.name, self.respondent.settings
        lines = [
            kept_answer(row, self.answers[row.number], model=model, settings=settings)
            for row in self.rows
            if row.number in self.answers
        ]
        with google_call(f"write gs://{self._bucket.name}/{self._name}"):
            self._bucket.blob(self._name).upload_from_string(
                b"".join(line + b"\n" for line in lines),
                content_type="application/jsonl",
                timeout=CALL_TIMEOUT_SECONDS,
            )
        remove_parts(self._bucket, self._prefix)


def answers_to(bucket: Bucket, name: str, rows: Sequence[PromptRow], *, settings: str) -> Answers:
    """Return the answers to the same prompts, in whatever order the file `name` has them.

    Only answers that were asked for with the same `settings` (`Requests.asked_as`) count: a comparison may not mix them
    with longer ones, or those to another system instruction. Lines of older versions have no `settings`.
    """
    known = {row["prompt"]: row for row in answer_rows(bucket, name) if row.get("settings") == settings}
    return {row.number: Reply.from_json(known[row.prompt]) for row in rows if row.prompt in known}


def answer_rows(bucket: Bucket, name: str) -> list[dict[str, Any]]:
    """Return the lines of a file of answers as JSON objects; none where there is no such file."""
    from google.api_core.exceptions import NotFound

    with google_call(f"read gs://{bucket.name}/{name}"):
        try:
            content = read_whole(bucket.blob(name), most_bytes=MOST_ROWS_BYTES).decode()
        except NotFound:
            return []
    return [json.loads(line) for line in content.split("\n") if line]


def _answers_of(kept: Iterable[Mapping[str, Any]], rows: Sequence[PromptRow]) -> dict[int, Reply]:
    """Return kept answers by the number of their row, without those whose prompt has changed since."""
    return {
        one["number"]: Reply.from_json(one)
        for one in kept
        if one["number"] < len(rows) and rows[one["number"]].prompt == one["prompt"]
    }
