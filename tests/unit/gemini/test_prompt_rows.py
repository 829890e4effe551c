from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genops_events.gemini import prompts
from genops_events.gemini.prompts import BadRow, PromptRow, in_chunks, read_rows
from genops_events.reading import json_lines
from genops_events.reading.addresses import Readable
from genops_events.reading.json_lines import lines_of

READABLE = Readable("bucket", ("gs://partner/shared/",))


def rows(*lines: Any) -> list[PromptRow | BadRow]:
    encoded = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    return list(read_rows(encoded, readable=READABLE))


def good(line: Any) -> PromptRow:
    (row,) = rows(line)
    assert isinstance(row, PromptRow), row
    return row


def test_a_prompt_without_an_id_is_called_by_its_line_and_blank_lines_are_counted() -> None:
    found = rows(b'\xef\xbb\xbf{"prompt": "a"}\r', b"  ", {"id": "mine", "prompt": "b"}, b"nonsense")
    assert [(row.number, row.line, row.id) for row in found] == [(0, 1, "line-1"), (1, 3, "mine"), (2, 4, "line-4")]


def test_every_form_of_a_row_is_read_as_contents_of_the_rest_api() -> None:
    text = {"role": "user", "parts": [{"text": "Hello "}, {"text": "there"}]}
    assert good({"request": {"contents": [text]}}).contents == [text]
    assert good({"request": {"contents": [text]}}).prompt == "Hello there"
    assert good({"contents": "Hello"}).contents == [{"role": "user", "parts": [{"text": "Hello"}]}]
    assert good({"contents": {"parts": "Hello"}}).contents == [{"role": "user", "parts": [{"text": "Hello"}]}]
    file = {"fileData": {"fileUri": "gs://bucket/a.mp4", "mimeType": "video/mp4"}}
    assert good({"prompt": "what is it", "files": ["gs://bucket/a.mp4"]}).contents == [
        {"role": "user", "parts": [file, {"text": "what is it"}]}
    ]
    snake = {
        "file_data": {"file_uri": "gs://bucket/a", "mime_type": "video/mp4"},
        "video_metadata": {"start_offset": "1s"},
    }
    (turn,) = good({"contents": [{"parts": [snake, {"text": "?"}]}]}).contents
    assert turn["parts"][0] == {
        "fileData": {"fileUri": "gs://bucket/a", "mimeType": "video/mp4"},
        "videoMetadata": {"startOffset": "1s"},
    }


def test_a_conversation_with_functions_keeps_its_turns() -> None:
    call = {"functionCall": {"name": "rate", "args": {"of": "EUR"}}}
    response = {"functionResponse": {"name": "rate", "response": {"is": 1.1}}}
    row = good(
        {
            "contents": [
                {"role": "user", "parts": [{"text": "EUR?"}]},
                {"role": "model", "parts": [call]},
                {"role": "function", "parts": [response]},
            ]
        }
    )
    assert [turn["role"] for turn in row.contents] == ["user", "model", "user"]
    assert row.prompt is None
    assert row.text == "EUR?"


def test_settings_of_a_row_are_those_of_inference() -> None:
    own = good({"prompt": "a", "temperature": 1, "grounding": "google_search", "system_instruction": ""}).settings
    assert own is not None
    assert (own.temperature, own.system_instruction) == (1, "")
    assert own.grounding is not None
    assert own.grounding.google_search
    assert own.model_fields_set == {"temperature", "grounding", "system_instruction"}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "it is not JSON (expecting property name enclosed in double quotes, column 2); each line must read"),
        (b"[" * 100_000, "it is nested too deeply"),
        (b'{"prompt": "a", "prompt": "b"}', "the object has the key 'prompt' more than once; keep one of them"),
        (
            b'{"contents": [{"role": "user", "parts": [{"text": "a", "text": "b"}]}]}',
            "`contents[0].parts[0]` has the key 'text' more than once",
        ),
        (
            b'{"contents": [{"parts": [{"file_data": {}, "fileData": {}}]}]}',
            "`contents[0].parts[0]` has 'file_data' and 'fileData', two spellings of one field",
        ),
        (b'{"prompt": "a", "temperature": ' + b"1" * 5000 + b"}", "a number has 5,000 characters"),
        (b"7", "it is not a JSON object"),
        (b'{"prompt": "\xff"}', "it is not"),
        ({"id": "a"}, "exactly one of `prompt`, `contents` and `request` is needed"),
        ({"prompt": "a", "contents": []}, "exactly one of"),
        ({"id": 7, "prompt": "a"}, "`id` must be a text that is not empty"),
        ({"prompt": "  "}, "`prompt` must be a text that is not empty"),
        ({"prompt": "a", "reference": "b"}, "the key `reference` is not known, allowed are id, prompt"),
        ({"prompt": "a", "files": "gs://bucket/c.png"}, "`files` must be a list"),
        ({"prompt": "a", "files": ["c.png"]}, "is no address of an object: it must read gs://BUCKET/OBJECT"),
        ({"prompt": "a", "files": ["gs://bucket/c.xlsx"]}, "models do not take c.xlsx; they take"),
        ({"contents": "a", "files": ["gs://bucket/c.png"]}, "`files` goes with `prompt`"),
        ({"request": 3}, "`request` must hold `contents` and nothing else"),
        ({"request": {"contents": "a", "tools": []}}, "`request` must hold `contents` and nothing else"),
        ({"contents": []}, "`contents` must be a list of turns"),
        ({"contents": [7]}, "contents[0] must be an object of `role` and `parts`"),
        ({"contents": [{"role": "robot", "parts": [{"text": "a"}]}]}, "contents[0].role must be user or model"),
        ({"contents": [{"parts": []}]}, "contents[0].parts must be a list with at least one part"),
        ({"contents": [{"parts": [{"text": ""}]}]}, "contents[0].parts[0].text must be a text"),
        ({"contents": [{"parts": [{"text": "a", "fileData": {}}]}]}, "must hold exactly one of text, fileData"),
        ({"contents": [{"parts": [{"fileData": {}}]}]}, "contents[0].parts[0].fileData.fileUri must be a text"),
        (
            {"contents": [{"parts": [{"inlineData": {"mimeType": "application/zip", "data": "eA=="}}]}]},
            "models do not take 'application/zip'",
        ),
        ({"contents": [{"parts": [{"functionCall": {}}]}]}, "must be an object with the function's `name`"),
        ({"contents": [{"role": "model", "parts": [{"text": "a"}]}]}, "the last turn of `contents` must be the user's"),
        ({"prompt": "a", "temperature": 3}, "`temperature` is 3: input should be less than or equal to 2"),
        ({"prompt": "a", "safety": {"violence": "off"}}, "`safety.violence`"),
    ],
)
def test_a_wrong_row_says_what_is_wrong_and_the_others_are_read(line: Any, reason: str) -> None:
    before, wrong, after = rows({"prompt": "x"}, line, {"prompt": "y"})
    assert isinstance(before, PromptRow)
    assert isinstance(after, PromptRow)
    assert isinstance(wrong, BadRow)
    assert wrong.reason.startswith("Line 2: ")
    assert reason in wrong.reason
    assert len(wrong.found) <= prompts.FOUND_CHARACTERS + 1


def test_half_of_a_character_fails_its_row_alone_and_a_whole_one_may_be_escaped() -> None:
    whole, prompt, name = rows(
        rb'{"prompt": "\ud83d\ude00"}', rb'{"prompt": "a \uD83D"}', rb'{"id": "\ude00", "prompt": "a"}'
    )
    assert isinstance(whole, PromptRow)
    assert whole.prompt == "\U0001f600"
    for number, row in enumerate((prompt, name), start=2):
        assert isinstance(row, BadRow)
        assert row.reason.startswith(f"Line {number}: it holds half of a surrogate pair")


def test_of_rows_with_the_same_id_the_first_is_asked_and_the_others_are_told_with_their_line() -> None:
    first, other, unnamed, second, third = rows(
        {"id": "a", "prompt": "x"}, {"id": "b", "prompt": "x"}, {"prompt": "x"}, *[{"id": "a", "prompt": "y"}] * 2
    )
    assert [isinstance(row, PromptRow) for row in (first, other, unnamed)] == [True] * 3
    assert isinstance(second, BadRow)
    assert isinstance(third, BadRow)
    assert (second.number, second.line, second.id) == (3, 4, "a")
    assert second.reason == "Line 4: the id 'a' was given before, on line 1."
    assert third.reason == "Line 5: the id 'a' was given before, on line 1."


@given(st.lists(st.binary(max_size=20)), st.integers(1, 9))
def test_lines_are_the_same_however_the_bytes_come(lines: list[bytes], size: int) -> None:
    whole = b"\n".join(line.replace(b"\n", b"") for line in lines)
    chunks = [whole[at : at + size] for at in range(0, len(whole), size)]
    expected = whole.split(b"\n")
    if expected[-1] == b"":
        expected.pop()
    assert list(lines_of(chunks)) == expected


def test_a_line_that_no_request_may_be_as_long_as_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (json_lines, prompts):
        monkeypatch.setattr(module, "MOST_LINE_BYTES", 40)
    content = json.dumps({"prompt": "x" * 100}).encode() + b"\n" + json.dumps({"prompt": "short"}).encode()
    long, short = read_rows(lines_of(content[at : at + 7] for at in range(0, len(content), 7)), readable=READABLE)
    assert isinstance(long, BadRow)
    assert "it has 114 bytes, and Vertex AI takes requests of at most 40" in long.reason
    assert isinstance(short, PromptRow)
    assert short.prompt == "short"


def test_few_rows_are_held_at_a_time_where_they_are_long() -> None:
    lines = [json.dumps({"prompt": "x" * length}).encode() for length in (1, 1, 1, 5000, 1, 5000, 5000)]
    read = iter(lines)
    chunks = in_chunks(read_rows(read, readable=READABLE), most=2, most_bytes=4000)
    assert len(next(chunks)) == 2
    assert len(list(read)) == 5  # the others are not read yet
    assert [len(some) for some in in_chunks(read_rows(lines, readable=READABLE), most=2, most_bytes=4000)] == [
        2,
        2,
        2,
        1,
    ]
    assert [len(some) for some in in_chunks(read_rows(lines[3:], readable=READABLE), most=9, most_bytes=4000)] == [
        1,
        2,
        1,
    ]


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("gs://somebody-elses/a.pdf", "neither in the bucket bucket nor below a prefix"),
        ("gs://bucket/genops/candidates/x/training.jsonl", "its own records"),
        ("https://example.org/a.pdf", "http(s) addresses are not fetched"),
    ],
)
def test_a_row_names_files_that_may_be_read_and_others_cost_that_row_alone(uri: str, reason: str) -> None:
    part = {"fileData": {"fileUri": uri, "mimeType": "application/pdf"}}
    told = {"functionResponse": {"name": "f", "response": {}, "parts": [part]}}
    found = rows(
        {"prompt": "a", "files": ["gs://partner/shared/a.pdf"]},
        {"prompt": "b", "files": [uri if uri.startswith("https") or uri.endswith(".pdf") else f"{uri}.txt"]},
        {"contents": [{"role": "user", "parts": [part]}]},
        {"contents": [{"role": "user", "parts": [told]}]},
        {"prompt": "c", "files": ["gs://bucket/a.pdf"]},
    )
    assert [isinstance(one, BadRow) for one in found] == [False, True, True, True, False]
    assert all(reason in one.reason for one in found if isinstance(one, BadRow))


def test_what_a_function_is_called_with_is_data_and_no_file() -> None:
    call = {"functionCall": {"name": "f", "args": {"fileUri": "https://example.org/a.pdf"}}}
    good({"contents": [{"role": "model", "parts": [call]}, {"role": "user", "parts": [{"text": "a"}]}]})
