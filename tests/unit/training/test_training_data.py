from __future__ import annotations

import dataclasses
import itertools
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from training_lines import FLASH, GOOD, TURNS, example, only_problem, report_of, turn

from genops_events.catalogue.tokens import estimated_tokens
from genops_events.errors import PermanentError
from genops_events.reading.addresses import Readable
from genops_events.training.validator import (
    Problem,
    Reason,
    TrainingDataValidator,
    load_limits,
    validate,
)

EXAMPLES = Path(__file__).parents[3] / "examples" / "banking77"
SMALL = dataclasses.replace(FLASH, min_examples=2, max_line_bytes=300, max_tokens_per_example=20)


def test_shipped_training_file_is_good() -> None:
    report = validate([(EXAMPLES / "train.jsonl").read_bytes()], limits=FLASH)
    assert report.valid
    assert (report.examples, report.lines, report.problems, report.warnings) == (770, 770, (), ())
    assert report.summary.startswith("770 examples, about ")


def test_tokens_are_estimated_per_text_rounded_up() -> None:
    line = example(
        turn("user", "12345", "1"), turn("model", "1234"), systemInstruction={"parts": [{"text": "123456789"}]}
    )
    report = report_of(line, limits=dataclasses.replace(FLASH, min_examples=0))
    assert report.tokens_estimate == 5 + 1 + 4 + 9


CALL = {"functionCall": {"name": "look_up", "args": {"id": 1}}}
ANSWER = {"functionResponse": {"name": "look_up", "response": {"state": "sent"}}}


@pytest.mark.parametrize(
    "line",
    [
        example(system_instruction={"role": "anything", "parts": [{"text": "Be brief."}]}),
        example(generationConfig={"temperature": 0}, tools=[{"functionDeclarations": []}]),
        example(turn("user", "a"), turn("model", "b"), turn("user", "c"), turn("model", "d")),
        example(turn("user", "a"), turn("model", CALL), turn("function", ANSWER), turn("model", "d")),
        example(turn("user", "a"), turn("model", CALL), turn("user", ANSWER), turn("model", "d")),
        example(
            turn("user", {"fileData": {"fileUri": "gs://bucket/o", "mimeType": "image/png"}}, "a"), turn("model", "b")
        ),
        example(
            turn("user", {"file_data": {"file_uri": "gs://bucket/o", "mime_type": "video/mp4"}}), turn("model", "b")
        ),
        example(
            turn("user", {"fileData": {"fileUri": "gs://bucket/b.txt", "mimeType": "text/plain"}}), turn("model", "b")
        ),
        example(turn("user", {"inlineData": {"data": "AAAA", "mimeType": "image/png"}}), turn("model", "b")),
        example(turn("user", {"inlineData": {"data": "_-8", "mimeType": "audio/m4a; rate=8"}}), turn("model", "b")),
        example(
            turn("user", {"text": "a", "thought": False}), turn("model", {"text": "b", "thoughtSignature": "AA=="})
        ),
        example(turn("user", {"text": "a", "fileData": None}), turn("model", "b")),
        example({"parts": [{"text": "a"}]}, turn("model", "b")),
        GOOD + b"\r",
        b" \t" + GOOD,
        '{"contents":[{"role":"user","parts":[{"text":"Größe \u2028 漢字"}]},{"role":"model","parts":[{"text":"é"}]}]}'.encode(),
    ],
)
def test_every_documented_form_is_accepted(line: bytes) -> None:
    report = report_of(line)
    assert report.valid, report.summary


def test_files_are_those_that_genops_yaml_lets_examples_name_and_without_one_that_is_said() -> None:
    other = example(
        turn("user", {"fileData": {"fileUri": "gs://other/o", "mimeType": "image/png"}}), turn("model", "b")
    )
    own = example(turn("user", {"fileData": {"fileUri": "gs://bucket/o", "mimeType": "image/png"}}), turn("model", "b"))
    unknown = report_of(other)
    assert unknown.valid
    assert any("whether these may be read was not checked" in one for one in unknown.warnings)
    limits = load_limits("gemini-2.5-flash").reading(Readable("bucket"))
    known = validate([b"\n".join([*[own] * 20, other])], limits=limits)
    assert known.problems_by_reason == {"bad_media": 1}
    assert known.problems[0].line == 21
    assert "neither in the bucket bucket nor below a prefix" in known.problems[0].message
    assert not any("was not checked" in one for one in known.warnings)


@pytest.mark.parametrize(
    ("line", "reason", "message"),
    [
        (b'{"contents": [}', Reason.NOT_JSON, "not one JSON value"),
        (GOOD + b"x", Reason.NOT_JSON, "trailing characters"),
        (GOOD[:-1], Reason.NOT_JSON, "truncated"),
        (b'{"messages": [', Reason.NOT_JSON, "truncated"),
        (b'{"tools": ' + b"[" * 50_000 + b"]" * 50_000 + b"}", Reason.NOT_JSON, "nested too deeply"),
        (b'"text"', Reason.NOT_AN_OBJECT, "is a JSON text"),
        (b"3", Reason.NOT_AN_OBJECT, "is a JSON number"),
        (b"null", Reason.NOT_AN_OBJECT, "is a JSON null"),
        (b"{}", Reason.MISSING_CONTENTS, "`contents` is missing"),
        (b'{"contents": []}', Reason.MISSING_CONTENTS, "`contents` is missing or empty"),
        (b'{"contents": {}}', Reason.WRONG_TYPE, "`contents` must be of type list, not object"),
        (b'{"contents": [1]}', Reason.WRONG_TYPE, "`contents[0]` must be of type object, not number"),
        (b'{"messages": []}', Reason.UNKNOWN_KEY, "chat form of OpenAI"),
        (b'{"input_text": "a", "output_text": "b"}', Reason.UNKNOWN_KEY, "PaLM"),
        (example(extra=1), Reason.UNKNOWN_KEY, "`extra` in the example"),
        (example(turn("user", {"txt": "a"}), turn("model", "b")), Reason.UNKNOWN_KEY, "in `contents[0].parts[0]`"),
        (example(turn("user", {"text": None}), turn("model", "b")), Reason.EMPTY_PART, "exactly one of"),
        (example(turn("user", {"text": 1}), turn("model", "b")), Reason.WRONG_TYPE, "not number"),
        (example(turn("user", "a"), turn("assistant", "b")), Reason.WRONG_ROLE, "calls this role `model`"),
        (example(turn("system", "a"), turn("user", "a"), turn("model", "b")), Reason.WRONG_ROLE, "systemInstruction"),
        (example({"parts": [{"text": "a"}]}, *TURNS), Reason.WRONG_ROLE, "Each turn needs a role"),
        (example(turn("user", "a"), {"parts": [{"text": "b"}]}), Reason.WRONG_ROLE, "Each turn needs a role"),
        (example(turn("function", ANSWER), turn("model", "b")), Reason.WRONG_ROLE, "follows the model's call"),
        (example(turn("model", "a")), Reason.WRONG_ORDER, "first turn must be the user's"),
        (example(turn("user", "a")), Reason.WRONG_ORDER, "last turn must be the model's"),
        (example(turn("user", "a"), turn("user", "b"), turn("model", "c")), Reason.WRONG_ORDER, "`contents[1]`"),
        (example(turn("user", "a"), turn("model", "b"), turn("model", "c")), Reason.WRONG_ORDER, "`contents[2]`"),
        (example(turn("user"), turn("model", "b")), Reason.EMPTY_PART, "`contents[0].parts` is missing or empty"),
        (example({"role": "user"}, turn("model", "b")), Reason.EMPTY_PART, "`contents[0].parts` is missing or empty"),
        (example(turn("user", {}), turn("model", "b")), Reason.EMPTY_PART, "must hold exactly one of"),
        (example(turn("user", {"text": "a", **CALL}), turn("model", "b")), Reason.EMPTY_PART, "exactly one of"),
        (example(turn("user", {"fileData": {}}), turn("model", "b")), Reason.EMPTY_PART, "needs `fileUri`"),
        (example(turn("user", {"functionCall": {}}), turn("model", "b")), Reason.EMPTY_PART, "needs `name`"),
        (example(turn("user", ""), turn("model", "b")), Reason.EMPTY_TEXT, "`contents[0].parts[0].text` is empty"),
        (example(turn("user", "a"), turn("model", " \n")), Reason.EMPTY_TEXT, "`contents[1].parts[0].text` is empty"),
        (example(systemInstruction={"parts": []}), Reason.EMPTY_PART, "`systemInstruction.parts`"),
        (example(systemInstruction={"parts": [{"text": ""}]}), Reason.EMPTY_TEXT, "`systemInstruction.parts[0].text`"),
        (example(systemInstruction="Be brief."), Reason.WRONG_TYPE, "`systemInstruction` must be of type object"),
    ],
)
def test_wrong_line_is_named_with_its_reason(line: bytes, reason: Reason, message: str) -> None:
    problem = only_problem(GOOD, b"", line)
    assert (problem.line, problem.reason) == (3, reason)
    assert message in problem.message
    assert problem.found == line.decode()[:200]


def test_non_utf8_names_line_and_byte() -> None:
    problem = only_problem(GOOD, GOOD.replace(b"card?", b"card\xe9"))
    assert (problem.line, problem.reason, problem.column) == (2, Reason.NOT_UTF8, GOOD.index(b"card?") + 5)
    assert f"Byte {problem.column} of the line is 0xe9" in problem.message


def test_malformed_json_names_its_column() -> None:
    problem = only_problem(GOOD, b'{"contents": x}')
    assert problem.column == 14


@pytest.mark.parametrize("model", ["gemini-2.5-flash", "gemini-2.5-flash-lite", "gemini-2.5-pro"])
def test_sixteen_examples_are_enough_and_fifteen_too_few(model: str) -> None:
    limits = load_limits(model)
    assert report_of(*[GOOD] * 16, limits=limits, fill=False).valid
    problem = only_problem(*[GOOD] * 15, limits=limits, fill=False)
    assert (problem.line, problem.reason) == (None, Reason.TOO_FEW_EXAMPLES)
    assert problem.message == f"15 examples; {model} is tuned on at least 16. Add examples."


def test_bad_lines_alone_are_not_called_too_few() -> None:
    assert only_problem(*[GOOD] * 15, b"{}", fill=False).reason is Reason.MISSING_CONTENTS


def test_too_many_examples() -> None:
    problem = only_problem(*[GOOD] * 4, limits=dataclasses.replace(SMALL, max_examples=3), fill=False)
    assert problem.reason is Reason.TOO_MANY_EXAMPLES


def test_too_many_tokens_in_one_example() -> None:
    limits = dataclasses.replace(SMALL, max_line_bytes=1000)
    enough = example(turn("user", "x" * 3 * 19), turn("model", "b"))
    assert report_of(enough, limits=limits).warnings == ()
    # A token holds 16 characters at most: what may fit is tuned on, and told; what cannot is refused.
    perhaps = example(turn("user", "x" * 16 * 19), turn("model", "b"))
    report = report_of(GOOD, perhaps, limits=limits)
    assert report.valid
    assert report.warnings[0].startswith(
        "1 example may have more than 20 tokens (line 2): the estimate is rather too high"
    )
    assert report.tokens_estimate == report_of(GOOD, enough, limits=limits).tokens_estimate  # no more is billed
    more = example(turn("user", "x" * (16 * 19 + 1)), turn("model", "b"))
    problem = only_problem(more, limits=limits)
    assert (problem.line, problem.reason) == (1, Reason.TOO_MANY_TOKENS)
    assert "At least 21 tokens, about 103; gemini-2.5-flash is tuned on at most 20" in problem.message


def test_line_of_just_the_allowed_length_is_read() -> None:
    long = GOOD.replace(b" ", b" " * 1000, 1)
    limits = dataclasses.replace(SMALL, max_line_bytes=len(long))
    assert report_of(long, limits=limits).valid
    problem = only_problem(long + b" ", limits=limits)
    assert (problem.line, problem.reason) == (1, Reason.LINE_TOO_LONG)


@pytest.mark.parametrize(
    ("content", "reason", "looks_like"),
    [
        (b"", Reason.EMPTY_FILE, "folder placeholder"),
        (b"\n \n\t\n", Reason.EMPTY_FILE, "3 blank lines"),
        (b"[" + GOOD + b"]", Reason.NOT_JSONL, "one JSON array"),
        (b"[\n" + GOOD + b",\n" + GOOD + b"\n]", Reason.NOT_JSONL, "one JSON array"),
        (b'\n{\n  "contents": []\n}\n', Reason.NOT_JSONL, "spread over several lines"),
        (b'{"contents": [\n{}]}\n', Reason.NOT_JSONL, "spread over several lines"),
        (b"prompt,answer\na,b\n", Reason.NOT_JSONL, "CSV"),
        (b"1,2\n3,4\n", Reason.NOT_JSONL, "CSV"),
        (b"prompt\tanswer\na\tb\n", Reason.NOT_JSONL, "tab-separated"),
        (b"Dear reader\n", Reason.NOT_JSONL, "plain text"),
        (b"<html>\n", Reason.NOT_JSONL, "XML or HTML"),
        (b"\x1f\x8b\x08\x00", Reason.NOT_JSONL, "gzip"),
        (b"PK\x03\x04....", Reason.NOT_JSONL, "zip"),
        (b"PAR1....", Reason.NOT_JSONL, "Parquet"),
        ("{}".encode("utf-16"), Reason.NOT_JSONL, "UTF-16"),
        (b"{\0}\n", Reason.NOT_JSONL, "binary"),
        (b"[" + b"x" * 1000, Reason.NOT_JSONL, "one JSON array"),
    ],
)
def test_file_of_another_kind_is_one_problem_that_says_what_it_looks_like(
    content: bytes, reason: Reason, looks_like: str
) -> None:
    report = validate([content], limits=SMALL)
    (problem,) = report.problems
    assert problem.reason is reason
    assert looks_like in problem.message
    assert report.lines == content.count(b"\n") + (not content.endswith(b"\n") and content != b"")


def test_byte_order_mark_is_tolerated_with_a_warning() -> None:
    report = report_of(b"\xef\xbb\xbf" + GOOD)
    assert report.valid
    assert report.examples == 17
    assert "byte order mark" in report.warnings[0]


def test_blank_lines_are_skipped_with_a_warning() -> None:
    report = report_of(b"", GOOD, b"  ", b"\r")
    assert report.valid
    assert report.warnings == ("3 blank lines skipped.",)
    assert (report.examples, report.lines) == (17, 20)


def test_line_end_at_the_end_does_not_matter() -> None:
    content = b"\n".join([GOOD] * 16)
    with_end, without = (validate([data], limits=FLASH) for data in (content + b"\n", content))
    assert dataclasses.replace(with_end, size_bytes=0, summary="") == dataclasses.replace(
        without, size_bytes=0, summary=""
    )


def test_report_keeps_a_hundred_problems_and_hands_out_all() -> None:
    seen: list[Problem] = []
    report = validate([GOOD + b"\n" + b"{}\n" * 250], limits=FLASH, on_problem=seen.append)
    assert (report.problems_total, len(report.problems), len(seen)) == (250, 100, 250)
    assert report.problems == tuple(seen[:100])
    assert report.problems_by_reason == {"missing_contents": 250}
    assert report.summary.startswith("The file cannot be tuned on: 250 problems (missing_contents 250) beside 1 good")
    assert json.loads(seen[0].to_json_line()) == {
        "line": 2,
        "column": None,
        "reason": "missing_contents",
        "message": seen[0].message,
        "found": "{}",
    }


def test_reading_stops_once_the_file_is_too_large() -> None:
    limits = dataclasses.replace(FLASH, max_file_bytes=10_000)
    taken = 0

    def chunks() -> Any:
        nonlocal taken
        for _ in range(1000):
            taken += 1
            yield (GOOD + b"\n") * 10

    report = validate(chunks(), limits=limits)
    assert report.problems_by_reason == {"file_too_large": 1}
    assert (report.size_bytes, taken) == (10_001, 10_000 // len((GOOD + b"\n") * 10) + 1)


@pytest.mark.parametrize(("first", "reason"), [(b"x", "not_jsonl"), (b"{", "line_too_long")])
def test_memory_stays_bounded_without_any_line_end(first: bytes, reason: str) -> None:
    limits = dataclasses.replace(FLASH, max_line_bytes=1 << 20)
    chunk = b"x" * (1 << 16)
    tracemalloc.start()
    try:
        chunks = itertools.chain([GOOD[:0], first + chunk[1:]], itertools.repeat(chunk, (1 << 10) - 1))
        report = validate(chunks, limits=dataclasses.replace(limits, min_examples=0))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert report.problems_by_reason == {reason: 1}
    assert report.size_bytes == 1 << 26
    assert peak < 4 << 20


LINES = st.sampled_from(
    [
        GOOD,
        GOOD + b"\r",
        b"",
        b"   ",
        b"\xef\xbb\xbf" + GOOD,
        b"{}",
        b"[",
        b"{",
        b"a,b",
        b"\xff",
        b"\x1f\x8b",
        "ü".encode() * 250,
        b"x" * 301,
        b"x" * 900 + b",",
        b"x" * 900 + b"\0",
        b" " * 301,
        b"{" * 900 + b"[",
        b"[" + b"y" * 299,
        GOOD.replace(b"Where", "Wäre".encode()),
        example(turn("user", "a" * 90), turn("model", "b")),
        example(turn("user", "a"), turn("assistant", "b")),
    ]
)


@settings(deadline=None)
@given(st.lists(LINES, max_size=8), st.lists(st.integers(min_value=0, max_value=4000), max_size=12), st.booleans())
def test_chunking_never_changes_the_report(lines: list[bytes], cuts: list[int], small_file) -> None:
    content = b"\n".join(lines)
    limits = dataclasses.replace(SMALL, max_file_bytes=500) if small_file else SMALL
    edges = [0, *sorted(min(cut, len(content)) for cut in cuts), len(content)]
    chunks = [content[start:end] for start, end in itertools.pairwise(edges)]
    whole: list[Problem] = []
    pieces: list[Problem] = []
    bytewise = TrainingDataValidator(limits)
    for index in range(len(content)):
        bytewise.feed(content[index : index + 1])
    expected = validate([content], limits=limits, on_problem=whole.append)
    assert validate(chunks, limits=limits, on_problem=pieces.append) == expected
    assert bytewise.close() == expected
    assert pieces == whole


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_give_a_report(content: bytes) -> None:
    report = validate([content], limits=FLASH)
    assert not report.valid
    assert report.problems_total >= 1
    assert report.summary


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["contents", "role", "parts", "text", "systemInstruction", "tools"]), inner)
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(JSON)
def test_any_json_line_gives_a_report(value: Any) -> None:
    report = validate([json.dumps(value).encode()], limits=dataclasses.replace(FLASH, min_examples=0))
    assert report.valid == (report.examples == 1)


@settings(deadline=None)
@given(
    st.lists(st.text(min_size=1).filter(str.strip), min_size=2, max_size=6).filter(lambda texts: len(texts) % 2 == 0)
)
def test_every_alternating_conversation_is_good(texts: list[str]) -> None:
    turns = [turn("model" if index % 2 else "user", text) for index, text in enumerate(texts)]
    report = report_of(example(*turns), limits=dataclasses.replace(FLASH, min_examples=0))
    assert report.valid, report.summary
    assert report.tokens_estimate == sum(map(estimated_tokens, texts))


def test_unknown_model_lists_the_known_ones() -> None:
    with pytest.raises(PermanentError, match=r"gemini-2\.5-flash, gemini-2\.5-flash-lite, gemini-2\.5-pro"):
        load_limits("gemini-9")
