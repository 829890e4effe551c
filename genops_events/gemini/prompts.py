"""Read a prompt file (JSON Lines) row by row; an error in a row is reported for that row alone.

A row is {"prompt": …} or {"contents": […]}, with an `id`, `files` (gs:// addresses, for a prompt) and settings of its own
(the keys of `inference` about answers, and `system_instruction`) where it needs them. {"request": {"contents": …}}, the
row of a batch job, is read, too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Self

from pydantic import ValidationError

from genops_events.config.answers import RowSettings
from genops_events.config.media import mime_type_of
from genops_events.reading.addresses import Readable, addresses_in, form_problem
from genops_events.reading.json_lines import MOST_LINE_BYTES, RowNames, given, name_of
from genops_events.reading.json_objects import SaidTwice, WrongJson, read_json
from genops_events.reading.media_types import TYPES, not_taken, plain_type
from genops_events.training.forms import foreign_form
from genops_events.training.reasons import shown

FORMS = '{"prompt": …}, {"contents": [{"role": "user", "parts": […]}]} or {"request": {"contents": …}}'
FOUND_CHARACTERS = 200
_OWN_KEYS = ("id", "prompt", "contents", "request", "files")
_SETTINGS = tuple(RowSettings.model_fields)
_SNAKE = {
    "file_data": "fileData",
    "file_uri": "fileUri",
    "mime_type": "mimeType",
    "inline_data": "inlineData",
    "function_call": "functionCall",
    "function_response": "functionResponse",
    "video_metadata": "videoMetadata",
    "start_offset": "startOffset",
    "end_offset": "endOffset",
    "thought_signature": "thoughtSignature",
}
_PART_KEYS = ("text", "fileData", "inlineData", "functionCall", "functionResponse")
_BESIDE = ("videoMetadata", "thought", "thoughtSignature")
_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class PromptRow:
    """A prompt to answer."""

    number: int
    """0 for the first row that is not blank."""
    line: int
    """1-based line of the file."""
    id: str
    contents: list[dict[str, Any]]
    """As the REST API takes them."""
    size_bytes: int
    prompt: str | None = None
    """The text of a row that has text alone; None for all others."""
    settings: RowSettings | None = None

    @classmethod
    def of_text(cls, number: int, text: str, *, line: int, name: str) -> Self:
        """Return a row that has text alone, as an example of an evaluation file has."""
        contents = [{"role": "user", "parts": [{"text": text}]}]
        return cls(number, line, name, contents, len(text.encode()), prompt=text)

    @property
    def has_files(self) -> bool:
        """Whether the row has files; the number of their tokens does not follow from their size."""
        return any(
            key in part for turn in self.contents for part in turn["parts"] for key in ("fileData", "inlineData")
        )

    @property
    def text(self) -> str:
        """The texts of all parts, without the content of files."""
        return "".join(
            part["text"] for turn in self.contents for part in turn["parts"] if isinstance(part.get("text"), str)
        )

    @property
    def sent(self) -> str:
        """All of the row that is sent as text: its texts, its function calls and the responses to them."""
        calls = (
            json.dumps(part[key], ensure_ascii=False)
            for turn in self.contents
            for part in turn["parts"]
            for key in ("functionCall", "functionResponse")
            if key in part
        )
        return "".join((self.text, *calls))


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be asked, and why."""

    number: int
    line: int
    id: str
    reason: str
    found: str = ""


def in_chunks(
    rows: Iterable[PromptRow | BadRow], *, most: int, most_bytes: int = 4 * 1024 * 1024
) -> Iterator[list[PromptRow | BadRow]]:
    """Yield the rows in lists that are held in memory, each bounded by the number of its rows and by their bytes.

    Args:
        rows: of a prompt file.
        most: the most rows in a list.
        most_bytes: size in bytes that ends a list; the row that reaches it is its last.
    """
    some: list[PromptRow | BadRow] = []
    held = 0
    for row in rows:
        some.append(row)
        held += 0 if isinstance(row, BadRow) else row.size_bytes
        if len(some) == most or held >= most_bytes:
            yield some
            some, held = [], 0
    if some:
        yield some


class _Wrong(Exception):
    """Why a row cannot be asked."""


def read_rows(lines: Iterable[bytes | int], *, readable: Readable) -> Iterator[PromptRow | BadRow]:
    """Yield every row of a prompt file, in order; blank lines are skipped, and counted.

    Of rows with the same `id` the first one is asked, and the others are bad: an answer could not be matched to one of
    them. A file that is not JSON Lines but an archive or a JSON array is one bad row, and the rest of it is not read.

    Args:
        lines: of the file.
        readable: the files that rows may name; a row that names any other file is bad.
    """
    number = 0
    names = RowNames()
    for line, content in enumerate(lines, start=1):
        if isinstance(content, bytes) and not content.removeprefix(_MARK).strip():
            continue
        row = _row(number, line, content, readable)
        if number == 0 and isinstance(content, bytes) and (form := foreign_form(content, is_json=True)):
            yield BadRow(number, line, row.id, f"Line {line}: this is {form}; each line must read {FORMS}.")
            return
        is_named = row.id != name_of(line)
        if isinstance(row, PromptRow) or not is_named:  # the id of a bad row stays free for a good row
            why = names.refusal(line, row.id if is_named else None)
            if isinstance(row, PromptRow) and why is not None:
                row = BadRow(number, line, row.id, f"Line {line}: {why}.")
        yield row
        number += 1


def _row(number: int, line: int, content: bytes | int, readable: Readable) -> PromptRow | BadRow:
    name = name_of(line)
    try:
        text = _short(content)
        value = _object(text.removeprefix(_MARK) if line == 1 else text)
        if "id" in value:
            name = _text(value, "id")
        contents = _contents(value)
        _refuse_unreadable(contents, readable)
        return PromptRow(
            number=number,
            line=line,
            id=name,
            contents=contents,
            size_bytes=len(text),
            prompt=_only_text(contents),
            settings=_settings(value),
        )
    except _Wrong as error:
        shown = content if isinstance(content, bytes) else b""
        found = shown[: 4 * FOUND_CHARACTERS].decode("utf-8", "replace").strip()
        cut = found[:FOUND_CHARACTERS] + ("…" if len(found) > FOUND_CHARACTERS else "")
        return BadRow(number, line, name, f"Line {line}: {error}.", cut)


def _short(content: bytes | int) -> bytes:
    if isinstance(content, int):
        raise _Wrong(f"it has {content:,} bytes, and Vertex AI takes requests of at most {MOST_LINE_BYTES:,}")
    return content


def _object(content: bytes) -> dict[str, Any]:
    try:
        value = read_json(content)
    except SaidTwice as error:
        raise _Wrong(error.message) from None
    except WrongJson as error:
        raise _Wrong(f"{error.message}; each line must read {FORMS}") from None
    if not isinstance(value, dict):
        raise _Wrong(f"it is not a JSON object; each line must read {FORMS}")
    # A setting that is null has a meaning: the model's own default in place of the dataset's value.
    value = {**given(value), **{key: value[key] for key in _SETTINGS if key in value}}
    if others := [key for key in value if key not in _OWN_KEYS and key not in _SETTINGS]:
        raise _Wrong(f"the key {shown(others[0], '`')} is not known, allowed are {', '.join((*_OWN_KEYS, *_SETTINGS))}")
    return value


def _text(value: Mapping[str, Any], key: str) -> str:
    text = value[key]
    if not isinstance(text, str) or not text.strip():
        raise _Wrong(f"`{key}` must be a text that is not empty")
    return text


def _contents(value: dict[str, Any]) -> list[dict[str, Any]]:
    given = [key for key in ("prompt", "contents", "request") if key in value]
    if len(given) != 1:
        raise _Wrong(f"exactly one of `prompt`, `contents` and `request` is needed; each line must read {FORMS}")
    if "files" in value and given != ["prompt"]:
        raise _Wrong("`files` goes with `prompt`; in `contents`, a file is a part with `fileData`")
    if given == ["prompt"]:
        files = value.get("files", [])
        if not isinstance(files, list):
            raise _Wrong("`files` must be a list of gs:// addresses")
        parts = [*(_file(one) for one in files), {"text": _text(value, "prompt")}]
        return [{"role": "user", "parts": parts}]
    if given == ["contents"]:
        return _turns(value["contents"])
    request = value["request"]
    if not isinstance(request, dict) or set(request) != {"contents"}:
        raise _Wrong("`request` must hold `contents` and nothing else; settings stand beside it, as in genops.yaml")
    return _turns(request["contents"])


def _turns(contents: Any) -> list[dict[str, Any]]:
    if isinstance(contents, str) and contents.strip():
        return [{"role": "user", "parts": [{"text": contents}]}]
    turns = [contents] if isinstance(contents, dict) else contents
    if not isinstance(turns, list) or not turns:
        raise _Wrong("`contents` must be a list of turns, each with `role` and `parts`")
    read = [_turn(turn, f"contents[{number}]") for number, turn in enumerate(turns)]
    if read[-1]["role"] != "user":
        raise _Wrong("the last turn of `contents` must be the user's, or there is nothing to answer")
    return read


def _turn(turn: Any, where: str) -> dict[str, Any]:
    turn = given(turn) if isinstance(turn, dict) else turn
    if not isinstance(turn, dict) or set(turn) - {"role", "parts"}:
        raise _Wrong(f"{where} must be an object of `role` and `parts`")
    role = turn.get("role", "user")
    if role not in ("user", "model", "function"):
        raise _Wrong(f"{where}.role must be user or model; it is {shown(str(role))}")
    parts = turn.get("parts")
    if isinstance(parts, (str, dict)):
        parts = [parts]
    if not isinstance(parts, list) or not parts:
        raise _Wrong(f"{where}.parts must be a list with at least one part")
    return {
        "role": "user" if role == "function" else role,
        "parts": [_part(part, f"{where}.parts[{number}]") for number, part in enumerate(parts)],
    }


def _part(part: Any, where: str) -> dict[str, Any]:
    if isinstance(part, str):
        part = {"text": part}
    if not isinstance(part, dict):
        raise _Wrong(f"{where} must be an object with one of {', '.join(_PART_KEYS)}")
    part = {_SNAKE.get(key, key): value for key, value in given(part).items()}
    kinds = [key for key in part if key in _PART_KEYS]
    others = [key for key in part if key not in _PART_KEYS and key not in _BESIDE]
    if len(kinds) != 1 or others:
        raise _Wrong(f"{where} must hold exactly one of {', '.join(_PART_KEYS)}; it has {', '.join(part) or 'nothing'}")
    (kind,) = kinds
    if kind == "text" and (not isinstance(part["text"], str) or not part["text"]):
        raise _Wrong(f"{where}.text must be a text that is not empty")
    if kind in ("fileData", "inlineData"):
        part[kind] = _data(part[kind], kind, f"{where}.{kind}")
    if kind in ("functionCall", "functionResponse") and not (
        isinstance(part[kind], dict) and isinstance(part[kind].get("name"), str)
    ):
        raise _Wrong(f"{where}.{kind} must be an object with the function's `name`")
    if isinstance(part.get("videoMetadata"), dict):
        part["videoMetadata"] = {_SNAKE.get(key, key): value for key, value in part["videoMetadata"].items()}
    return dict(part)


def _data(data: Any, kind: str, where: str) -> dict[str, Any]:
    key = "fileUri" if kind == "fileData" else "data"
    data = {_SNAKE.get(name, name): value for name, value in given(data).items()} if isinstance(data, dict) else {}
    if not isinstance(data.get(key), str) or not data[key]:
        raise _Wrong(f"{where}.{key} must be a text that is not empty")
    if kind == "fileData":
        return _file(data[key], mime_type=data.get("mimeType"), where=where)["fileData"]
    return {"mimeType": _type(data.get("mimeType"), where), "data": data["data"]}


def _type(mime_type: Any, where: str) -> str:
    """Return a MIME type as Google's lists write it, with its parameters; it is compared without regard to case."""
    plain = plain_type(mime_type) if isinstance(mime_type, str) else ""
    if plain not in TYPES:
        raise _Wrong(f"{where}: {not_taken(shown(mime_type) if isinstance(mime_type, str) else repr(mime_type))}")
    _, mark, parameters = str(mime_type).partition(";")
    return f"{plain}{mark}{parameters}"


def _file(uri: Any, *, mime_type: Any = None, where: str = "files") -> dict[str, dict[str, Any]]:
    """Return the part that shows a file."""
    if not isinstance(uri, str):
        raise _Wrong(f"{where} must name objects, gs://BUCKET/OBJECT; found {shown(str(uri))}")
    if (problem := form_problem(uri)) is not None:
        raise _Wrong(f"{where}: {uri[:FOUND_CHARACTERS]!r} {problem}")
    if mime_type is not None:
        return {"fileData": {"fileUri": uri, "mimeType": _type(mime_type, where)}}
    if (found := mime_type_of(uri)) is None:
        raise _Wrong(f"{where}: {not_taken(PurePosixPath(uri).name[-FOUND_CHARACTERS:])}")
    return {"fileData": {"fileUri": uri, "mimeType": found}}


def _refuse_unreadable(contents: list[dict[str, Any]], readable: Readable) -> None:
    for uri in addresses_in(contents):
        if (problem := readable.problem(uri)) is not None:
            raise _Wrong(f"the file {uri[:FOUND_CHARACTERS]!r} {problem}")


def _settings(value: Mapping[str, Any]) -> RowSettings | None:
    own = {key: value[key] for key in value if key in _SETTINGS}
    if not own:
        return None
    try:
        return RowSettings.model_validate(own)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        # Numbers are shown. Texts are not: they may be part of the prompt, and this reason goes to verdicts and logs.
        found = f" is {first['input']!r}" if isinstance(first["input"], (bool, int, float)) else ""
        raise _Wrong(f"`{place}`{found}: {first['msg'][:1].lower()}{first['msg'][1:]}") from None


def _only_text(contents: list[dict[str, Any]]) -> str | None:
    if len(contents) == 1 and all(set(part) == {"text"} for part in contents[0]["parts"]):
        return "".join(part["text"] for part in contents[0]["parts"])
    return None
