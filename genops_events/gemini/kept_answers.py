"""The answers of one respondent to prompts that are held in memory: what earlier tries have kept, and what comes."""

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
"""By the number of their row."""


class KeptAnswers:
    """Answers that are in parts while they come, and in one object in the end.

    Args:
        bucket: where they are.
        name: of the object that holds them in the end; the parts are beside it.
        rows: the prompts, numbered from 0 on.
        respondent: who answers.
    """

    def __init__(self, bucket: Bucket, name: str, rows: Sequence[PromptRow], respondent: Respondent) -> None:
        self._bucket, self._name = bucket, name
        self._prefix = f"{name.removesuffix('.jsonl')}.parts/"
        self.rows, self.respondent = rows, respondent
        self.parts = KeptRows(bucket, self._prefix)
        """Where new ones are kept as they come."""
        kept = read_parts(bucket, self._prefix)
        self._has_new = bool(kept)
        # The champion of an earlier round may have been another one: its answers are not this one's.
        mine = [
            row
            for row in (*kept, *answer_rows(bucket, name))
            if row.get("model", respondent.name) == respondent.name and "answer" in row
        ]
        self.answers = _answers_of(mine, rows)

    @property
    def pending(self) -> list[PromptRow]:
        """The rows without an answer; one that was refused in an earlier try is asked again, which costs nothing."""
        return [row for row in self.rows if row.number not in self.answers]

    def add(self, number: int, reply: Reply) -> None:
        """Take an answer that is kept in `parts`."""
        self._has_new = True
        self.answers[number] = reply

    def adopt(self, answers: Answers) -> None:
        """Take answers that are kept elsewhere, where there are none yet."""
        for number, reply in answers.items():
            if number not in self.answers:
                self.add(number, reply)

    def finish(self) -> None:
        """Write a line for each answered row, in their order, and remove the parts; repeating it changes nothing.

        They are paid for: a later try reads them instead of asking again.
        """
        if not self._has_new:
            return
        told = self.respondent
        lines = [
            kept_answer(row, self.answers[row.number], model=told.name, settings=told.settings)
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
    """Return the answers to the same prompts, wherever they stand in the file `name`.

    Only those count that were asked for with the same `settings` (`Requests.asked_as`): a longer answer, or one to another
    system instruction, is another model's as far as a comparison goes. Lines of before do not have them.
    """
    known = {row["prompt"]: row for row in answer_rows(bucket, name) if row.get("settings") == settings}
    return {row.number: Reply.from_json(known[row.prompt]) for row in rows if row.prompt in known}


def answer_rows(bucket: Bucket, name: str) -> list[dict[str, Any]]:
    """Return the lines of a file of answers as they were written; none where there is no such file."""
    from google.api_core.exceptions import NotFound

    with google_call(f"read gs://{bucket.name}/{name}"):
        try:
            content = read_whole(bucket.blob(name), most_bytes=MOST_ROWS_BYTES).decode()
        except NotFound:
            return []
    return [json.loads(line) for line in content.split("\n") if line]


def _answers_of(kept: Iterable[Mapping[str, Any]], rows: Sequence[PromptRow]) -> dict[int, Reply]:
    """Return kept answers by the number of their row; one to another prompt is left out: the file was replaced since."""
    return {
        one["number"]: Reply.from_json(one)
        for one in kept
        if one["number"] < len(rows) and rows[one["number"]].prompt == one["prompt"]
    }
