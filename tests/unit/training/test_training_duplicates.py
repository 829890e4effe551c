from __future__ import annotations

import dataclasses
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from genops_events.training.duplicates import DuplicateSearch
from genops_events.training.validator import (
    ValidationExamples,
    ValidationReport,
    load_limits,
    validate,
    validate_validation_file,
)

FLASH = load_limits("gemini-2.5-flash")


def line(question: str, answer: str = "card_arrival") -> bytes:
    turns = [("user", question), ("model", answer)]
    return json.dumps({"contents": [{"role": role, "parts": [{"text": text}]} for role, text in turns]}).encode()


def lines(numbers: range) -> list[bytes]:
    return [line(f"Where is card {number}?") for number in numbers]


def report_of(content: list[bytes], validation: ValidationExamples | None = None) -> ValidationReport:
    return validate([b"\n".join(content)], limits=FLASH, validation=validation)


def test_repeated_examples_are_counted_and_the_first_pairs_named() -> None:
    report = report_of([*lines(range(20)), b"", *lines(range(3)), *lines(range(1))])
    assert report.valid
    assert report.duplicates == 4
    (warning,) = [warning for warning in report.warnings if "earlier one" in warning]
    assert warning.startswith(
        "4 examples repeat an earlier one: line 22 (as line 1), 23 (as line 2), 24 (as line 3), 25 (as line 1). "
    )


def test_a_line_that_is_no_example_repeats_nothing() -> None:
    report = report_of([*lines(range(16)), b"{}", b"{}"])
    assert (report.duplicates, report.problems_total) == (0, 2)


def test_only_so_many_lines_are_compared() -> None:
    search = DuplicateSearch(lines_compared=3)
    for number, identity in enumerate([7, 8, 7, 8, 7], start=1):
        search.add(number, identity)
    assert dataclasses.astuple(search.result()) == (1, ((3, 1),))


@settings(deadline=None)
@given(st.lists(st.none() | st.integers(-600, 600) | st.sampled_from([-(2**63), 2**63 - 1]), max_size=60))
def test_search_finds_what_a_dictionary_finds(identities: list[int | None]) -> None:
    search = DuplicateSearch()
    first: dict[int, int] = {}
    pairs = []
    for number, identity in enumerate(identities, start=1):
        if identity is None:
            continue  # a line without an example
        search.add(number, identity)
        if first.setdefault(identity, number) != number:
            pairs.append((number, first[identity]))
    assert dataclasses.astuple(search.result()) == (len(pairs), tuple(pairs[:5]))


def test_examples_of_the_validation_file_are_named_where_they_are_trained_on() -> None:
    about, examples = validate_validation_file([b"\n".join(lines(range(100, 103)))], limits=FLASH)
    assert about.valid
    assert about.summary.startswith("3 examples, about ")
    assert about.summary.endswith("ready to be the validation file of gemini-2.5-flash.")
    leaking = line("Where is card 101?").replace(b": ", b" :  ")
    report = report_of([*lines(range(20)), leaking], examples)
    assert (report.valid, report.leaked) == (True, 1)
    assert report.warnings[0].startswith("1 example is also in the validation file: line 21 (line 2 there). ")
    assert report_of(lines(range(20)), examples).leaked == 0


def test_validation_file_has_limits_of_its_own() -> None:
    limits = dataclasses.replace(FLASH, max_validation_examples=5)
    few, examples = validate_validation_file([b"\n".join(lines(range(5)))], limits=limits)
    assert (few.valid, examples.count, len(examples.lines)) == (True, 5, 5)
    many, examples = validate_validation_file([b"\n".join(lines(range(50)))], limits=limits)
    assert many.problems[0].message == "50 examples; a validation file of gemini-2.5-flash holds at most 5."
    assert many.summary.startswith("The file cannot be the validation file. 50 examples")
    assert len(examples.lines) == 5
    none, _ = validate_validation_file([], limits=limits)
    assert none.problems_by_reason == {"empty_file": 1}


def test_validation_file_that_is_large_beside_the_training_file_is_a_warning() -> None:
    assert report_of(lines(range(20)), ValidationExamples(1000)).warnings == ()
    (warning,) = report_of(lines(range(20)), ValidationExamples(1001)).warnings
    assert warning.startswith("The validation file has 1,001 examples, more than 30% of the 20 training examples")
