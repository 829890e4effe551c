"""Prompt files and evaluation files that are careless or hostile: the same message for the same cause, bounded reading."""

from __future__ import annotations

import gzip
import itertools
import json
import sys
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from genops_events.evaluation import examples as data
from genops_events.evaluation.examples import EvaluationDataError, lines_of_file, read_evaluation_examples
from genops_events.gemini.prompts import BadRow, PromptRow, read_rows
from genops_events.reading.addresses import Readable
from genops_events.reading.json_lines import MOST_LINE_BYTES, lines_of


def rows(content: bytes) -> list[PromptRow | BadRow]:
    return list(read_rows(lines_of([content]), readable=Readable("bucket")))


def refusals(content: bytes) -> list[str]:
    return [row.reason for row in rows(content) if isinstance(row, BadRow)]


def refused(content: bytes | Iterable[bytes]) -> EvaluationDataError:
    chunks = [content] if isinstance(content, bytes) else content
    with pytest.raises(EvaluationDataError) as caught:
        list(read_evaluation_examples(lines_of_file(chunks), needs_reference=()))
    return caught.value


A, B = b'{"prompt": "a"}', b'{"prompt": "b"}'


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (A + b"\r" + B, 1, "carriage return alone"),
        (A + B, 1, "the second begins here; put each on a line of its own, column 16"),
        (A + b",\n" + B, 1, "a comma stands behind the object"),
        (A + b"\n\xef\xbb\xbf" + B, 2, "a byte order mark (EF BB BF) stands in the middle"),
        (A + b'\n{"prompt": "a", "prompt": "b"}', 2, "the key 'prompt' more than once"),
        (A + b'\n{"prompt": "\\ud83d"}', 2, "half of a surrogate pair"),
        (A + b'\n{"prompt": ' + b"9" * 5_000 + b"}", 2, "a number has 5,000 characters"),
        (A + b'\n{"prompt": ' + b"[" * 200 + b"]" * 200 + b"}", 2, "nested too deeply"),
    ],
)
def test_one_cause_has_one_message_in_prompts_and_in_evaluation_files(content: bytes, line: int, message: str) -> None:
    (reason,) = refusals(content)[:1]
    assert reason.startswith(f"Line {line}: ")
    assert message in reason
    error = refused(content)
    assert error.line == line
    assert message in error.message


@pytest.mark.parametrize(
    ("content", "form"),
    [
        (gzip.compress(A * 1_000, mtime=0), "a gzip archive"),
        (A.decode().encode("utf-16"), "text in UTF-16"),
        (b"PK\x03\x04\n....\n....", "a zip archive"),
        (b"[" + A + b",\n" + B + b"]", "one JSON array"),
    ],
)
def test_a_file_of_another_kind_is_one_refusal_and_not_one_a_line(content: bytes, form: str) -> None:
    (row,) = rows(content)
    assert isinstance(row, BadRow)
    assert f"this is {form}" in row.reason
    assert f"The file is {form}" in refused(content).message


def test_what_an_error_shows_is_short() -> None:
    long = "k" * 1_000_000
    for line in ({long: 1}, {"prompt": "a", "files": [long]}, {"contents": [{"role": long, "parts": [{"text": "a"}]}]}):
        (reason,) = refusals(json.dumps(line).encode())
        assert len(reason) < 1_000
    assert len(str(refused(json.dumps({long: 1}).encode()))) < 1_000


def test_an_evaluation_file_is_read_up_to_its_limit_and_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "MOST_FILE_BYTES", 10_000)
    taken = 0

    def endless() -> Iterable[bytes]:
        nonlocal taken
        for _ in itertools.count():
            taken += 1
            yield (A + b"\n") * 10

    assert "more than 10,000 bytes" in refused(endless()).message
    assert taken == 10_000 // (10 * (len(A) + 1)) + 1


def test_a_line_longer_than_a_request_is_never_held(monkeypatch: pytest.MonkeyPatch) -> None:
    chunk = b"x" * (1 << 20)
    lengths = list(lines_of(itertools.chain([b'{"prompt": "'], itertools.repeat(chunk, 30), [b"\n", A])))
    assert lengths == [12 + (30 << 20), A]
    error = refused(itertools.chain([A + b"\n"], itertools.repeat(chunk, 21)))
    assert (error.line, f"at most {MOST_LINE_BYTES:,}" in error.message) == (2, True)


def test_lines_are_the_same_however_the_file_is_cut() -> None:
    content = b"\n\nab\n" + A + b"\n" + b"c" * 100
    whole = list(lines_of([content]))
    assert whole == [b"", b"", b"ab", A, b"c" * 100]
    assert list(lines_of(bytes([byte]) for byte in content)) == whole


def test_the_interpreters_own_limit_on_digits_is_never_met() -> None:
    # json.loads answers with a ValueError that is no JSONDecodeError there.
    digits = sys.get_int_max_str_digits() + 1
    error = refused(b'{"prompt": "a", "reference": ' + b"1" * digits + b"}")
    assert f"a number has {digits:,} characters" in error.message
    tool = json.dumps({"prompt": "a", "reference": '{"tool_calls": ' + "1" * digits + "}"}).encode()
    with pytest.raises(EvaluationDataError, match="must be a tool call"):
        list(read_evaluation_examples([tool.decode()], needs_reference=("tool_call_valid",)))


def evaluated(content: bytes) -> list[str]:
    return [one.name for one in read_evaluation_examples(lines_of_file([content]), needs_reference=())]


def prompted(content: bytes) -> list[str]:
    return [row.id for row in rows(content) if isinstance(row, PromptRow)]


def message_of(read: Callable[[bytes], object], content: bytes) -> str:
    return refused(content).message if read is evaluated else " ".join(refusals(content))


@pytest.mark.parametrize("read", [evaluated, prompted])
@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (
            [b'{"id": "line-2", "prompt": "a"}', A],
            "Line 2: it has no id, and the name that it would have, 'line-2', is the id of line 1; give it one",
        ),
        (
            [A, b'{"id": "line-1", "prompt": "a"}'],
            "Line 2: the id 'line-1' is the name of line 1, which has no id; give one of them another",
        ),
        (
            [b'{"id": "x", "prompt": "a"}', b'{"id": "x", "prompt": "b"}'],
            "Line 2: the id 'x' was given before, on line 1",
        ),
    ],
)
def test_two_rows_never_have_one_name(read: Callable[[bytes], list[str]], lines: list[bytes], why: str) -> None:
    assert why in message_of(read, b"\n".join(lines))


@pytest.mark.parametrize("read", [evaluated, prompted])
def test_names_like_lines_are_taken_where_no_row_has_them(read: Callable[[bytes], list[str]]) -> None:
    content = b"\n".join(
        [
            b'{"id": "line-7", "prompt": "asked again"}',
            b'{"id": "line-1", "prompt": "of another file"}',
            b'{"id": "line-3", "prompt": "its own"}',
            b'{"id": "line-01", "prompt": "no such name"}',
            A,
        ]
    )
    assert read(content) == ["line-7", "line-1", "line-3", "line-01", "line-5"]


def test_a_bad_row_leaves_its_id_to_a_good_one() -> None:
    found = rows(b'{"id": "x", "prompt": ""}\n{"id": "x", "prompt": "a"}')
    assert [type(row) for row in found] == [BadRow, PromptRow]


def test_null_is_no_value_in_prompts_and_evaluation_files() -> None:
    dumped = {
        "id": None,
        "files": None,
        "contents": [
            {
                "role": None,
                "parts": [
                    {"text": "q", "inline_data": None, "thought": None, "executable_code": None},
                    {"file_data": {"file_uri": "gs://bucket/a.png", "mime_type": "image/png", "display_name": None}, "text": None},
                ],
            }
        ],
    }  # fmt: skip
    (row,) = rows(json.dumps(dumped).encode())
    assert isinstance(row, PromptRow), row
    assert (row.id, row.settings) == ("line-1", None)
    assert row.contents[0]["parts"] == [
        {"text": "q"},
        {"fileData": {"fileUri": "gs://bucket/a.png", "mimeType": "image/png"}},
    ]
    assert evaluated(b'{"prompt": "a", "reference": null, "id": null}') == ["line-1"]
    assert "`prompt` is missing" in refused(b'{"prompt": null}').message


def test_null_still_takes_a_setting_of_the_dataset_away() -> None:
    (row,) = rows(b'{"prompt": "a", "temperature": null}')
    assert isinstance(row, PromptRow), row
    assert row.settings is not None
    assert row.settings.model_fields_set == {"temperature"}


def inline(mime_type: Any) -> bytes:
    part = {"inlineData": {"mimeType": mime_type, "data": "AAAA"}}
    return json.dumps({"contents": [{"role": "user", "parts": [part, {"text": "what"}]}]}).encode()


def test_types_of_files_are_sent_as_google_writes_them() -> None:
    (row,) = rows(inline("Image/PNG"))
    assert isinstance(row, PromptRow), row
    assert row.contents[0]["parts"][0]["inlineData"]["mimeType"] == "image/png"
    (row,) = rows(inline("audio/pcm;rate=16000"))
    assert isinstance(row, PromptRow), row
    assert row.contents[0]["parts"][0]["inlineData"]["mimeType"] == "audio/pcm;rate=16000"
    for wrong in ("image/gif", "IMAGE/GIF", "", 7):
        assert "models do not take" in refusals(inline(wrong))[0]
