"""What files in a training file are counted as: by the figures of the model where they can be told, or as full examples."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from training_lines import FLASH, example, turn

from genops_events.catalogue.file_figures import FileFigures
from genops_events.catalogue.tokens import estimated_tokens
from genops_events.training.validator import ValidationReport, validate

FIGURES = FileFigures(image=1_000, video_second=300, image_at_most=2_000, video_second_at_most=600)
LIMITS = dataclasses.replace(FLASH, min_examples=1, file_figures=FIGURES)
MOST = LIMITS.max_tokens_per_example
ASKED = "What does it show?"
TEXT = estimated_tokens(ASKED) + estimated_tokens("A cat.")


def shown(mime_type: str, **beside: Any) -> dict[str, Any]:
    return {"fileData": {"fileUri": "gs://bucket/object", "mimeType": mime_type}, **beside}


def report(*parts: dict[str, Any], times: int = 1, limits: Any = LIMITS, **more: Any) -> ValidationReport:
    line = example(turn("user", *parts, ASKED), turn("model", "A cat."), **more)
    found = validate([(line + b"\n") * times], limits=limits)
    assert found.valid, found.summary
    return found


def test_three_hundred_videos_of_unknown_length_are_three_hundred_full_examples() -> None:
    found = report(shown("video/mp4"), times=300)
    assert found.tokens_estimate == 300 * MOST == 39_321_600
    said = (
        "300 videos, length unknown: the most that an example may hold, 131,072 tokens, was taken for each example that "
        "shows one."
    )
    assert found.assumed == (said,)
    assert said in found.warnings


@pytest.mark.parametrize(
    ("mime_type", "said"),
    [
        ("audio/mp3", "1 sound, length unknown"),
        ("application/pdf", "1 PDF document, number of pages unknown"),
        ("Application/PDF; a=b", "1 PDF document, number of pages unknown"),
        ("text/plain", "1 text file, length unknown"),
    ],
)
def test_what_nobody_knows_the_size_of_fills_its_example(mime_type: str, said: str) -> None:
    try:
        found = report(shown(mime_type))
    except AssertionError:
        pytest.fail(f"{mime_type} was refused")
    assert found.tokens_estimate == MOST
    assert found.assumed[0].startswith(said)


def test_an_image_is_the_most_that_one_can_be() -> None:
    found = report(shown("image/png"), shown("image/jpeg"), times=2)
    assert found.tokens_estimate == 2 * (TEXT + 2 * 1_000)
    assert found.assumed == ("4 images: 1,000 tokens, the most that one can have, each.",)
    inline = {"inlineData": {"mimeType": "image/png", "data": "aGVsbG8="}}
    assert report(inline).tokens_estimate == TEXT + 1_000


@pytest.mark.parametrize(
    ("video", "seconds"),
    [
        ({"startOffset": "1s", "endOffset": "10.5s"}, 10),
        ({"endOffset": "10s"}, 10),
        ({"start_offset": "1s", "end_offset": "3s"}, 2),
        ({"endOffset": "10s", "fps": 0.5}, 10),  # sound is counted by the second
        ({"endOffset": "10s", "fps": 4}, 40),
    ],
)
def test_a_piece_of_video_has_the_tokens_of_its_seconds(video: dict[str, Any], seconds: int) -> None:
    found = report(shown("video/mp4", videoMetadata=video))
    assert found.tokens_estimate == TEXT + seconds * 300
    assert found.assumed == (f"{seconds} seconds of video, by the offsets given: 300 tokens each.",)


@pytest.mark.parametrize(
    "video",
    [
        {"startOffset": "1s"},
        {"startOffset": "5s", "endOffset": "5s"},
        {"endOffset": "later"},
        {"endOffset": "10s", "fps": "4"},
        {"endOffset": 10},
    ],
)
def test_offsets_that_tell_nothing_leave_the_length_unknown(video: dict[str, Any]) -> None:
    assert report(shown("video/mp4", videoMetadata=video)).tokens_estimate == MOST


def test_a_resolution_that_an_example_asks_for_counts_as_the_highest() -> None:
    assert report(shown("image/png"), generationConfig={"mediaResolution": "HIGH"}).tokens_estimate == TEXT + 2_000
    piece = shown("video/mp4", videoMetadata={"endOffset": "2s"}, mediaResolution={"level": "HIGH"})
    assert report(piece).tokens_estimate == TEXT + 2 * 600


def test_no_example_is_billed_for_more_than_it_may_hold() -> None:
    piece = shown("video/mp4", videoMetadata={"endOffset": "9000s"})
    assert report(piece).tokens_estimate == MOST


def test_without_a_figure_an_image_fills_its_example() -> None:
    limits = dataclasses.replace(LIMITS, file_figures=FileFigures())
    found = report(shown("image/png"), limits=limits)
    assert found.tokens_estimate == MOST
    assert found.assumed[0].startswith("1 image, size unknown: the most that an example may hold")


def test_a_file_without_files_assumes_nothing() -> None:
    assert report().assumed == ()
