"""Read the files that genops.yaml names, and write the answers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS
from genops_events.gcp.errors import google_call
from genops_events.gcp.streams import MOST_ROWS_BYTES, read_whole
from genops_events.gemini.generation import Answer
from genops_events.gemini.prompts import Prompt
from genops_events.record.endings import ending

if TYPE_CHECKING:
    from google.cloud.storage import Bucket

Answers = dict[int, Answer]
"""By the index of their prompt."""
_NOT_FOUND = 404


def answers_to(bucket: Bucket, name: str, asked: Sequence[Prompt], *, settings: str) -> Answers:
    """Return the answers to the same prompts, wherever they stand in the file `name`, by their index in `asked`.

    Only those count that were asked for with the same `settings` (`Requests.asked_as`): a longer answer, or one to another system instruction,
    is another model's as far as a comparison goes. Lines of before do not have them.
    """
    known = {row["prompt"]: row for row in answer_rows(bucket, name) if row.get("settings") == settings}
    rows = [{**known[one.prompt], "number": number} for number, one in enumerate(asked) if one.prompt in known]
    return answers_of(rows, asked)


def answer_rows(bucket: Bucket, name: str) -> list[dict[str, Any]]:
    """Return the lines of a file of answers as they were written; none where there is no such file."""
    from google.api_core.exceptions import NotFound

    with google_call(f"read gs://{bucket.name}/{name}"):
        try:
            content = read_whole(bucket.blob(name), most_bytes=MOST_ROWS_BYTES).decode()
        except NotFound:
            return []
    return [json.loads(line) for line in content.split("\n") if line]


def answers_of(rows: Iterable[Mapping[str, Any]], asked: Sequence[Prompt]) -> Answers:
    """Return the answers that `answer_row` has written, by the index of their prompt in `asked`.

    An answer to another prompt is left out: the file of prompts was replaced since.
    """
    return {
        row["number"]: _answer(row)
        for row in rows
        if row["number"] < len(asked) and asked[row["number"]].prompt == row["prompt"]
    }


def _answer(row: Mapping[str, Any]) -> Answer:
    # Lines of before have neither state nor reason, and not all the figures.
    end = ending(row["finish_reason"], says=bool(row["answer"].strip()))
    return Answer(
        row["answer"],
        row["input_tokens"],
        row["output_tokens"],
        row["finish_reason"],
        row.get("cached_tokens", 0),
        row.get("thinking_tokens", 0),
        row.get("seconds"),
        state=row.get("state", end.state),
        reason=row.get("reason", end.reason),
    )


def answer_row(number: int, prompt: Prompt, answer: Answer, *, model: str, settings: str) -> dict[str, Any]:
    """Return an answer as it is kept, ready for JSON."""
    return {
        "number": number,
        "id": prompt.id,
        "prompt": prompt.prompt,
        "answer": answer.text,
        "model": model,
        "settings": settings,
        "state": answer.state,
        "finish_reason": answer.finish_reason,
        **({} if answer.reason is None else {"reason": answer.reason}),
        "input_tokens": answer.input_tokens,
        "output_tokens": answer.output_tokens,
        "cached_tokens": answer.cached_tokens,
        "thinking_tokens": answer.thinking_tokens,
        "seconds": answer.seconds,
    }


def write_answers(
    bucket: Bucket, name: str, asked: Sequence[Prompt], answers: Mapping[int, Answer], *, model: str, settings: str
) -> None:
    """Write one JSON line per answered prompt, in the order of the prompts, before anything is done with the answers.

    They are paid for: a later try of the stage reads them instead of asking again.
    """
    lines = [
        json.dumps(answer_row(number, asked[number], answer, model=model, settings=settings), ensure_ascii=False)
        for number, answer in sorted(answers.items())
    ]
    with google_call(f"write gs://{bucket.name}/{name}"):
        bucket.blob(name).upload_from_string(
            "\n".join(lines) + "\n", content_type="application/jsonl", timeout=CALL_TIMEOUT_SECONDS
        )
