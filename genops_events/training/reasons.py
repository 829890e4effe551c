"""The reasons why a line, or a whole file, cannot be tuned on."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why a line, or a whole file, cannot be tuned on. The set is closed: records and events have these words."""

    EMPTY_FILE = "empty_file"
    """No bytes, or blank lines only."""
    NOT_JSONL = "not_jsonl"
    """Another kind of file: a JSON array, CSV, an archive."""
    WRONG_METHOD = "wrong_method"
    """A file for another method of tuning: pairs of answers for supervised tuning, examples for preference tuning."""
    FILE_TOO_LARGE = "file_too_large"
    COMPRESSED = "compressed"
    """Stored with a `Content-Encoding`: some clients decompress such an object, and others do not."""
    TOO_MANY_BAD_LINES = "too_many_bad_lines"
    """More invalid lines than may be left out."""
    TOO_FEW_EXAMPLES = "too_few_examples"
    TOO_MANY_EXAMPLES = "too_many_examples"
    TOO_MANY_MEDIA_EXAMPLES = "too_many_media_examples"
    """Too many examples with files or inline data."""
    NOT_UTF8 = "not_utf8"
    LINE_TOO_LONG = "line_too_long"
    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    REPEATED_KEY = "repeated_key"
    """An object has a key twice, or in both of its spellings: readers differ in which one they use."""
    UNKNOWN_KEY = "unknown_key"
    WRONG_TYPE = "wrong_type"
    MISSING_CONTENTS = "missing_contents"
    """`contents` is missing or empty."""
    WRONG_ROLE = "wrong_role"
    WRONG_ORDER = "wrong_order"
    """The turns do not alternate, or the first or last one is of the wrong side."""
    WRONG_COMPLETIONS = "wrong_completions"
    """Not two answers with the scores 1 and 0, in a file for preference tuning."""
    EMPTY_PART = "empty_part"
    """A turn without parts or with thoughts alone, or a part that is empty, incomplete, or has several payloads."""
    EMPTY_TEXT = "empty_text"
    WRONG_PART = "wrong_part"
    """A part that is not allowed there: a function call by the user, a file in the system instruction."""
    UNMATCHED_RESPONSE = "unmatched_response"
    """A function's response without a call in the turn before it."""
    BAD_MEDIA = "bad_media"
    """An invalid address, MIME type or inline data."""
    TOO_MANY_FILES = "too_many_files"
    """More images or documents in one example than the model is tuned on."""
    TOO_MANY_TOKENS = "too_many_tokens"


class BadExample(Exception):
    """A line is not a valid example: a result of the check, and not an error of the program.

    Args:
        reason: kind of the mistake.
        message: the mistake, and what to do.
        column: 1-based byte of the line, if the decoder knows it.
        place: path of the wrong value, such as `contents[1].role`, from which the column can be found.
        more: number of further examples that may be on the line.
    """

    def __init__(
        self, reason: Reason, message: str, column: int | None = None, *, place: str = "", more: int = 0
    ) -> None:
        super().__init__(reason, message, column, place, more)
        self.reason = reason
        self.message = message
        self.column = column
        self.place = place
        self.more = more


_SHOWN_CHARACTERS = 40


def shown(text: str, mark: str = "") -> str:
    """Return the beginning of a text for a message, in quotes, or between marks."""
    cut = text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
    return f"{mark}{cut}{mark}" if mark else repr(cut)
