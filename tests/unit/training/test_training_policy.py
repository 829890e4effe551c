"""What becomes of a file with invalid lines, and the limits on files in examples."""

from __future__ import annotations

import dataclasses

import pytest
from training_lines import ENOUGH, FLASH, example, only_problem, report_of, turn

from genops_events.training.validator import Reason, validate


def test_quarantine_leaves_invalid_lines_out_if_enough_remain() -> None:
    kept: list[tuple[int, bytes]] = []
    content = b"\xef\xbb\xbf" + b"\n".join([ENOUGH[0] + b" \r", b"{}", b"", *ENOUGH[1:], b"no json"])
    report = validate(
        [content],
        limits=FLASH,
        invalid_lines="quarantine",
        on_example=lambda number, text, _: kept.append((number, text)),
    )
    assert (report.valid, report.examples, report.quarantined, report.problems_total) == (True, 16, 2, 2)
    assert [number for number, _ in kept] == [1, *range(4, 19)]
    assert [text for _, text in kept] == ENOUGH
    assert report.summary.startswith("16 of 18 examples, about ")
    assert report.summary.endswith("2 invalid lines in quarantine (missing_contents 1, not_json 1).")
    assert not validate([content], limits=FLASH).valid


def test_quarantine_does_not_save_a_file_of_which_too_little_remains() -> None:
    report = validate([b"\n".join([*ENOUGH[1:], b"{}", b"{}"])], limits=FLASH, invalid_lines="quarantine")
    assert (report.valid, report.quarantined) == (False, 0)
    assert report.problems[-1].message == (
        "15 examples are valid and 2 lines are not; gemini-2.5-flash is tuned on at least 16. Fix them."
    )


@pytest.mark.parametrize("content", [b"", b"a,b\nc,d\n", b"[]", b"\n\n"])
def test_quarantine_does_not_save_a_file_of_another_kind(content: bytes) -> None:
    limits = dataclasses.replace(FLASH, min_examples=0)
    assert not validate([content], limits=limits, invalid_lines="quarantine").valid


def test_quarantine_does_not_save_a_file_that_is_too_large() -> None:
    limits = dataclasses.replace(FLASH, max_file_bytes=len(b"\n".join(ENOUGH)))
    content = b"\n".join([*ENOUGH, b"{}"])
    report = validate([content], limits=limits, invalid_lines="quarantine")
    assert report.problems_by_reason["file_too_large"] == 1
    assert not report.valid


def image(number: int, mime_type: str = "image/png") -> bytes:
    files = [{"fileData": {"fileUri": f"gs://bucket/{index}", "mimeType": mime_type}} for index in range(number)]
    return example(turn("user", *files, "What is it?"), turn("model", "A cat"))


@pytest.mark.parametrize(
    ("mime_type", "limit", "what"), [("image/png", 30, "images"), ("application/pdf", 4, "PDF documents")]
)
def test_number_of_files_in_an_example_is_limited(mime_type: str, limit: int, what: str) -> None:
    assert report_of(image(limit, mime_type)).valid
    problem = only_problem(image(limit + 1, mime_type))
    assert problem.reason is Reason.TOO_MANY_FILES
    assert problem.message.startswith(f"{limit + 1} {what}; gemini-2.5-flash is tuned on at most {limit} ")


def test_number_of_examples_with_media_is_limited() -> None:
    limits = dataclasses.replace(FLASH, max_media_examples=2)
    assert report_of(image(1), image(2), limits=limits).valid
    problem = only_problem(image(1), image(2), image(3), limits=limits)
    assert (problem.line, problem.reason) == (None, Reason.TOO_MANY_MEDIA_EXAMPLES)
