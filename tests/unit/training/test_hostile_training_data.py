"""Training files that are careless or hostile: one message per cause, in bounded time, space and words."""

from __future__ import annotations

import codecs
import dataclasses
import json
from typing import Any

import pytest
from training_lines import ENOUGH, FLASH, GOOD, example, only_problem, report_of, turn

from genops_events.reading import json_places
from genops_events.training.validator import (
    MOST_BAD_LINES,
    PROBLEMS_LISTED,
    InvalidLines,
    Problem,
    Reason,
    ValidationReport,
    validate,
)


def checked(
    content: bytes, *, invalid_lines: InvalidLines = "reject", chunk: int = 1 << 20
) -> tuple[ValidationReport, list[Problem]]:
    listed: list[Problem] = []
    chunks = [content[start : start + chunk] for start in range(0, len(content), chunk)]
    report = validate(chunks, limits=FLASH, on_problem=listed.append, invalid_lines=invalid_lines)
    return report, listed


LINES = b"".join(line + b"\n" for line in ENOUGH)


def test_after_a_thousand_invalid_lines_nothing_can_change_and_the_counts_say_at_least() -> None:
    content = LINES + b"{}\n" * 100_000
    report, listed = checked(content)
    most = MOST_BAD_LINES["reject"]
    assert (report.lines, report.lines_checked, report.examples) == (100_016, 16 + most, 16)
    assert (report.problems_total, len(listed), report.valid) == (most, most, False)
    assert "at least 1,000 problems" in report.summary
    assert "in the first 1,016 of 100,016 lines; the others were not checked" in report.summary
    assert sum(len(problem.to_json_line()) for problem in listed) < len(content)
    # How the file is cut into chunks changes nothing.
    assert checked(content, chunk=4_099) == (report, listed)


def test_a_file_that_is_judged_whole_says_nothing_of_what_was_looked_at() -> None:
    report, _ = checked(LINES + b"{}\n" * 3)
    assert report.lines_checked == report.lines == 19
    assert "at least" not in report.summary


def test_quarantine_lists_the_first_ten_thousand_invalid_lines_and_says_so() -> None:
    report, listed = checked(LINES + b"{}\n" * (PROBLEMS_LISTED + 5), invalid_lines="quarantine")
    assert (report.valid, report.quarantined, report.problems_total) == (
        True,
        PROBLEMS_LISTED + 5,
    ) * 1 + (PROBLEMS_LISTED + 5,)
    assert len(listed) == PROBLEMS_LISTED
    assert report.warnings == ("Only the first 10,000 of 10,005 invalid lines are listed.",)


def test_more_invalid_lines_than_can_be_set_aside_are_refused_with_quarantine_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(MOST_BAD_LINES, "quarantine", 50)  # type: ignore[arg-type]  # a dict behind the Mapping
    report, listed = checked(LINES + b"{}\n" * 80 + LINES, invalid_lines="quarantine")
    assert (report.valid, report.examples, report.problems_total) == (False, 16, 51)
    assert listed[-1].reason is Reason.TOO_MANY_BAD_LINES
    assert "At least 50 invalid lines among the first 66" in listed[-1].message
    enough, _ = checked(LINES + b"{}\n" * 49, invalid_lines="quarantine")
    assert enough.valid


def test_no_message_and_nothing_found_is_long_whatever_the_line_holds() -> None:
    for line in (
        b'{"' + b"k" * 100_000 + b'": 1}',
        example(turn("r" * 100_000, "a"), turn("model", "b")),
        example(turn("user", {"fileData": {"fileUri": "x" * 100_000, "mimeType": "image/png"}}), turn("model", "b")),
        example(
            turn("user", {"fileData": {"fileUri": "gs://bucket/o", "mimeType": "x/" * 50_000}}), turn("model", "b")
        ),
        b'{"' + b"k" * 100_000 + b'": 1, "' + b"k" * 100_000 + b'": 1}',
    ):
        problem = only_problem(line)
        assert len(problem.to_json_line()) < 1_000


def test_the_column_in_a_long_line_is_found_in_work_that_grows_as_the_line() -> None:
    """Members are counted, not seconds: what the search steps over costs as many steps as there are members."""

    def steps(members: int) -> int:
        line = b'{"contents": [' + b'{"role": "user"}, ' * members + b'{"rule": 1}]}'
        taken = 0
        real = json_places._scan

        def counting(text: str, at: int) -> Any:
            nonlocal taken
            taken += 1
            return real(text, at)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(json_places, "_scan", counting)
            column = json_places.column_of(line, f"contents[{members}].rule")
        assert column == line.index(b'"rule"') + 1
        return taken

    assert steps(2_000) <= 2 * steps(1_000) + 10


def test_a_column_far_behind_is_that_of_the_nearest_parent_in_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_places, "MOST_MEMBERS", 100)
    line = b'{"contents": [' + b"{}, " * 200 + b"1]}"
    assert json_places.column_of(line, "contents[200]") == 2


def test_a_key_that_stands_twice_is_named_with_both_columns() -> None:
    line = GOOD.replace(b'{"contents"', b'{"contents": [], "contents"')
    problem = only_problem(GOOD, line)
    assert (problem.line, problem.column, problem.reason) == (2, 18, Reason.REPEATED_KEY)
    assert problem.message == "The key 'contents' occurs twice in the example, first at column 2; keep one of them."


@pytest.mark.parametrize(
    ("line", "place"),
    [
        (b'{"contents":[{"role":"user","parts":[{"text":"a","text":"b"}]},{"role":"model","parts":[{"text":"c"}]}]}', "contents[0].parts[0]"),
        (b'{"contents":[{"role":"user","parts":[{"text":"a"}]},{"role":"model","role":"model","parts":[{"text":"c"}]}]}', "contents[1]"),
        (b'{"contents":[{"role":"user","parts":[{"text":"\\\\"}]},{"role":"model","parts":[{"te\\u0078t":"q\\"","text":"\\\\\\""}]}]}', "contents[1].parts[0]"),
        (b'{"systemInstruction":{"parts":[{"text":"s"}],"parts":[{"text":"s"}]},"contents":[{"role":"user","parts":[{"text":"a"}]},{"role":"model","parts":[{"text":"c"}]}]}', "systemInstruction"),
        (b'{"contents":[{"role":"user","parts":[{"text":"a"}]},{"role":"model","parts":[{"functionCall":{"name":"f","args":{"x":1,"y":[{"z":1,"z":2}]}}}]}]}', "contents[1].parts[0].functionCall.args.y[0]"),
    ],
)  # fmt: skip
def test_a_repeated_key_is_found_however_deep_and_however_it_is_written(line: bytes, place: str) -> None:
    problem = only_problem(line)
    assert problem.reason is Reason.REPEATED_KEY
    assert f"in `{place}`" in problem.message
    assert problem.column is not None
    assert json.loads(line[problem.column - 1 :].partition(b":")[0]) in {"text", "role", "parts", "z"}


@pytest.mark.parametrize("text", ['"', "\\", '\\"', "\\\\", 'a "quoted" word\\', "a\u2028", '{"text": "x"}'])
def test_quotes_and_backslashes_in_texts_are_no_repeated_keys(text: str) -> None:
    assert report_of(example(turn("user", text), turn("model", text))).valid
    call = {"functionCall": {"name": "f", "args": {text: text}}}
    assert report_of(example(turn("user", text), turn("model", call))).valid


@pytest.mark.parametrize(
    "more",
    [
        {"systemInstruction": {"parts": [{"text": "a"}]}, "system_instruction": {"parts": [{"text": "a"}]}},
        {"generationConfig": {"temperature": 0}, "generation_config": {"temperature": 1}},
        {"contents": [turn("user", {"fileData": {"fileUri": "gs://bucket/o", "file_uri": "gs://bucket/p", "mimeType": "image/png"}}), turn("model", "b")]},
    ],
)  # fmt: skip
def test_one_field_in_both_of_its_spellings_is_refused(more: dict[str, Any]) -> None:
    line = json.dumps({"contents": json.loads(GOOD)["contents"], **more}).encode()
    problem = only_problem(line)
    assert problem.reason is Reason.REPEATED_KEY
    assert "two spellings of one key" in problem.message


NULLS = dict.fromkeys(
    (
        *("video_metadata", "thought", "inline_data", "file_data", "thought_signature", "function_call"),
        *("code_execution_result", "executable_code", "function_response", "media_resolution", "tool_call"),
        *("tool_response", "part_metadata", "audio_transcription", "media_processing", "speech_metadata"),
    )
)
"""What google-genai 1.x and 2.x write beside the text of a part."""


def test_null_is_no_value_as_google_genai_writes_it() -> None:
    dumped = example(
        {"parts": [NULLS | {"text": "Q"}], "role": "user"},
        {"parts": [NULLS | {"text": "A"}], "role": "model"},
        system_instruction=None,
        systemInstruction=None,
        tools=None,
        labels=None,
    )
    report = report_of(dumped)
    assert report.valid, report.summary
    nothing = example(turn("user", NULLS), turn("model", "b"))
    assert only_problem(nothing).reason is Reason.EMPTY_PART
    assert only_problem(b'{"contents": null}').reason is Reason.MISSING_CONTENTS
    assert only_problem(example({"role": None, "parts": [{"text": "a"}]}, {"role": "user", "parts": None})).line == 1


def test_a_field_that_no_page_on_tuning_has_may_hold_nothing_else() -> None:
    code = {"executableCode": {"language": "PYTHON", "code": "1"}}
    problem = only_problem(example(turn("user", "a"), turn("model", {"text": "b", **code})))
    assert (problem.reason, problem.message) == (
        Reason.UNKNOWN_KEY,
        "The key `executableCode` in `contents[1].parts[0]` is not known to tuning.",
    )
    assert problem.column is not None


def media(mime_type: str, number: int = 1) -> bytes:
    files = [{"fileData": {"fileUri": "gs://bucket/o", "mimeType": mime_type}} for _ in range(number)]
    return example(turn("user", *files, "what"), turn("model", "A"))


@pytest.mark.parametrize("mime_type", ["image/gif", "image/bmp", "text/html", "application/zip", "audio/x-m4a"])
def test_a_type_that_google_does_not_list_is_refused_with_those_that_it_does(mime_type: str) -> None:
    problem = only_problem(media(mime_type))
    assert problem.reason is Reason.BAD_MEDIA
    assert f"'{mime_type}'" in problem.message
    assert "png" in problem.message
    assert problem.column == media(mime_type).index(b'"mimeType"') + 1


def test_types_are_counted_whatever_their_case_and_doubted_with_capitals() -> None:
    problem = only_problem(media("Application/PDF", 5))
    assert (problem.reason, problem.message[:15]) == (Reason.TOO_MANY_FILES, "5 PDF documents")
    assert only_problem(media("IMAGE/png", 31)).reason is Reason.TOO_MANY_FILES
    report = report_of(media("Application/PDF"))
    assert report.valid
    assert any(warning.startswith("1 example names a MIME type with capitals") for warning in report.warnings)
    assert not any("capitals" in warning for warning in report_of(media("application/pdf; a=B")).warnings)


def test_thoughts_alone_are_no_answer() -> None:
    thought = {"text": "thinking …", "thought": True}
    problem = only_problem(example(turn("user", "q"), turn("model", thought)))
    assert problem.reason is Reason.EMPTY_PART
    assert "`contents[1]` holds thoughts and no answer" in problem.message
    assert report_of(example(turn("user", "q"), turn("model", thought, "a"))).valid


JOINED = b"".join(ENOUGH)


@pytest.mark.parametrize(
    ("content", "reason", "column", "message"),
    [
        (b"\r".join(ENOUGH), Reason.NOT_JSONL, len(ENOUGH[0]) + 1, "carriage return alone"),
        (b"\r\r".join(ENOUGH), Reason.NOT_JSONL, len(ENOUGH[0]) + 1, "`tr '\\r' '\\n' < FILE > NEW`"),
        (JOINED, Reason.NOT_JSON, len(ENOUGH[0]) + 1, "the second begins here"),
        (b" , ".join(ENOUGH), Reason.NOT_JSON, len(ENOUGH[0]) + 2, "with commas between them"),
    ],
)
def test_a_whole_file_on_one_line_is_one_problem_that_says_why(
    content: bytes, reason: Reason, column: int, message: str
) -> None:
    report, _ = checked(content)
    (problem,) = report.problems  # and not "too few examples": there are enough of them
    assert (problem.line, problem.column, problem.reason) == (1, column, reason)
    assert message in problem.message


def test_a_file_of_old_macs_that_is_too_long_for_a_line_is_named_as_such() -> None:
    limits = dataclasses.replace(FLASH, max_line_bytes=500)
    report = validate([b"\r".join(ENOUGH)], limits=limits)
    assert report.problems_by_reason == {"not_jsonl": 1}
    assert "carriage return alone" in report.summary


def test_a_comma_behind_an_object_is_named_on_each_line() -> None:
    report, listed = checked(b",\n".join([*ENOUGH, b""]))
    assert report.problems_by_reason == {"not_json": 16}
    assert {problem.column for problem in listed[:9]} == {len(ENOUGH[0]) + 1}
    assert "a comma stands behind the object" in listed[0].message


def test_a_byte_order_mark_in_the_middle_is_named() -> None:
    problem = only_problem(codecs.BOM_UTF8 + GOOD, codecs.BOM_UTF8 + GOOD)
    assert (problem.line, problem.column) == (2, 1)
    assert "a byte order mark (EF BB BF) stands in the middle of the file" in problem.message


def test_too_few_examples_are_counted_apart_from_invalid_lines() -> None:
    report, _ = checked(b"\n".join([*ENOUGH[:10], b"oops", b"oops"]))
    assert report.problems[-1].message == (
        "10 examples are valid and 2 lines are not; gemini-2.5-flash is tuned on at least 16. Fix them and add 4 more."
    )
    # With those mended, there are enough.
    report, _ = checked(b"\n".join([*ENOUGH[:10], *[b"oops"] * 6]))
    assert report.problems_by_reason == {"not_json": 6}


@pytest.mark.parametrize("length", [401, 5_000, 1_000_000])
def test_a_number_of_thousands_of_digits_is_a_problem_and_no_error(length: int) -> None:
    report = report_of(example(generationConfig={"seed": 1}).replace(b": 1}", b": " + b"9" * length + b"}"))
    assert report.valid == (length <= 401)
    if not report.valid:
        assert "a number is longer, or larger, than a number can be" in report.problems[0].message


def test_nesting_that_googles_services_do_not_read_is_refused() -> None:
    def nested(levels: int) -> bytes:
        value: Any = 1
        for _ in range(levels):
            value = {"a": [value]}
        return example(turn("user", "a"), turn("model", {"functionCall": {"name": "f", "args": value}}))

    assert report_of(nested(40)).valid
    problem = only_problem(nested(60))
    assert "nested too deeply, at most 100 levels" in problem.message


def test_many_turns_are_no_nesting() -> None:
    turns = [turn("model" if index % 2 else "user", "a") for index in range(400)]
    assert report_of(example(*turns, tools=[])).valid


def test_half_of_a_surrogate_pair_is_named() -> None:
    problem = only_problem(GOOD.replace(b"card?", b"\\ud83d card?"))
    assert "half of a surrogate pair" in problem.message
    assert report_of(GOOD.replace(b"card?", b"\\ud83d\\ude00 card?")).valid


@pytest.mark.parametrize("blank", [b"\n", b"\r\n", b" \n", b"\t\n \n"])
def test_millions_of_blank_lines_are_counted_piece_by_piece(blank: bytes) -> None:
    report, _ = checked(LINES + blank * 300_000 + GOOD)
    assert (report.valid, report.examples) == (True, 17)
    assert report.lines == 16 + 300_000 * blank.count(b"\n") + 1
    assert checked(LINES + blank * 300_000 + GOOD, chunk=70_001)[0] == report
