"""Training files: what is validated is what is tuned on, whatever becomes of the upload, in bounded memory."""

from __future__ import annotations

import json
import random
import tracemalloc
from collections.abc import Sequence
from typing import Any

import pytest
from cloud import PREFIX, ROOT, StandIns
from made_up import arrived

from genops_events.config import Config
from genops_events.gcp.errors import CloudUnavailable
from genops_events.gcp.record_store import RecordStore
from genops_events.gcp.streams import CHUNK_BYTES, DamagedRead, read_object
from genops_events.record.intake import Arrival
from genops_events.record.paths import quarantine_path, training_path, valid_lines_path
from genops_events.record.tuning import Validation
from genops_events.training.validator import load_limits
from genops_events.tuning.files import ObjectGone, validate_arrival

LIMITS = load_limits("gemini-2.5-flash")
NAME = f"{PREFIX}train.jsonl"
MEGABYTE = 1024 * 1024


def line(question: str, answer: str = "card_arrival") -> bytes:
    turns = [("user", question), ("model", answer)]
    contents = [{"role": role, "parts": [{"text": text}]} for role, text in turns]
    return json.dumps({"contents": contents}).encode() + b"\n"


GOOD = b"".join(line(f"Where is card number {number}?") for number in range(40))
BETTER = b"".join(line(f"Where is my card, {number} days late?") for number in range(50))


def upload(config: Config, store: RecordStore, content: bytes) -> Arrival:
    blob = store.bucket.blob(NAME)
    blob.upload_from_string(content)
    return arrived(config, store, name=NAME, generation=int(blob.generation))


def copied(store: RecordStore, arrival: Arrival) -> bytes:
    return bytes(store.bucket.blob(training_path(arrival.candidate)).download_as_bytes())


def without_time(found: Validation) -> dict[str, object]:
    return found.model_dump(exclude={"written_at"})


def test_a_good_file_is_copied_and_measured(config: Config, store: RecordStore) -> None:
    content = (ROOT / "examples" / "banking77" / "train.jsonl").read_bytes()
    arrival = upload(config, store, content)
    found = validate_arrival(store, arrival, LIMITS)
    assert (found.valid, found.examples, found.lines, found.size_bytes) == (True, 770, 770, len(content))
    assert found.candidate == arrival.candidate
    assert found.training_uri == f"gs://{config.bucket}/{training_path(arrival.candidate)}"
    assert copied(store, arrival) == content
    assert store.bucket.get_blob(quarantine_path(arrival.candidate)) is None


def test_an_upload_that_is_overwritten_after_its_copy_changes_nothing(config: Config, store: RecordStore) -> None:
    arrival = upload(config, store, GOOD)
    first = validate_arrival(store, arrival, LIMITS)
    newer = upload(config, store, b"this is no training file\n")
    assert newer.candidate != arrival.candidate
    again = validate_arrival(store, arrival, LIMITS)
    assert without_time(again) == without_time(first)
    assert copied(store, arrival) == GOOD


def test_an_upload_that_is_overwritten_before_its_copy_is_gone_and_the_newer_one_is_not_taken_for_it(
    config: Config, store: RecordStore
) -> None:
    arrival = upload(config, store, GOOD)
    newer = upload(config, store, BETTER)
    with pytest.raises(ObjectGone, match=rf"{NAME} \(generation {arrival.generation}\)"):
        validate_arrival(store, arrival, LIMITS)
    assert store.bucket.get_blob(training_path(arrival.candidate)) is None
    assert validate_arrival(store, newer, LIMITS).examples == 50


def test_an_upload_that_is_deleted_before_it_is_read_is_gone(config: Config, store: RecordStore) -> None:
    arrival = upload(config, store, GOOD)
    store.bucket.blob(NAME).delete()
    with pytest.raises(ObjectGone, match="Upload the file again"):
        validate_arrival(store, arrival, LIMITS)


def test_an_upload_that_is_deleted_after_an_earlier_copy_is_validated_all_the_same(
    config: Config, store: RecordStore
) -> None:
    arrival = upload(config, store, GOOD)
    first = validate_arrival(store, arrival, LIMITS)
    store.bucket.blob(NAME).delete()
    assert without_time(validate_arrival(store, arrival, LIMITS)) == without_time(first)


def test_a_copy_is_never_overwritten(config: Config, store: RecordStore) -> None:
    arrival = upload(config, store, GOOD)
    store.bucket.blob(training_path(arrival.candidate)).upload_from_string(BETTER)
    assert validate_arrival(store, arrival, LIMITS).examples == 50
    assert copied(store, arrival) == BETTER


def quarantined(store: RecordStore, arrival: Arrival) -> Sequence[dict[str, object]]:
    content = store.bucket.blob(quarantine_path(arrival.candidate)).download_as_bytes()
    return [json.loads(one) for one in content.splitlines()]


def test_each_rejected_line_is_in_the_quarantine_with_its_number_and_what_was_read(
    config: Config, store: RecordStore
) -> None:
    lines = GOOD.splitlines(keepends=True)
    lines[2] = b"no json at all\n"
    lines[7] = line("", "an answer to nothing")
    lines[11] = b'{"contents": "text"}\n'
    arrival = upload(config, store, b"".join(lines))
    found = validate_arrival(store, arrival, LIMITS)
    assert (found.valid, found.problems_total) == (False, 3)
    kept = quarantined(store, arrival)
    assert [one["line"] for one in kept] == [3, 8, 12]
    assert kept[0]["found"] == "no json at all"
    assert all(one["reason"] and one["message"] for one in kept)
    assert [problem["line"] for problem in found.problems] == [3, 8, 12]
    # A repeated try leaves the same lines, not more of them.
    validate_arrival(store, arrival, LIMITS)
    assert quarantined(store, arrival) == kept


def test_the_quarantine_has_every_line_where_the_verdict_has_the_first_hundred(
    config: Config, store: RecordStore
) -> None:
    arrival = upload(config, store, GOOD + b'{"contents": []}\n' * 250)
    found = validate_arrival(store, arrival, LIMITS)
    assert found.problems_total == 250
    assert len(found.problems) == 100
    assert [one["line"] for one in quarantined(store, arrival)] == list(range(41, 291))


def test_a_file_of_30_megabytes_is_validated_in_bounded_memory(config: Config, store: RecordStore) -> None:
    long = b"".join(line(f"{number} " + "where is my card " * 700) for number in range(100))
    arrival = upload(config, store, long * (30 * MEGABYTE // len(long) + 1))
    tracemalloc.start()
    try:
        found = validate_arrival(store, arrival, LIMITS)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.size_bytes > 30 * MEGABYTE
    assert found.examples > 2_500
    # Three chunks of 8 MB at a time, however large the file is: never all of it.
    assert peak < 28 * MEGABYTE


def test_storage_that_fails_for_a_moment_is_no_loss_of_the_object(
    cloud: StandIns, config: Config, store: RecordStore
) -> None:
    arrival = upload(config, store, GOOD)
    cloud.storage.faults(error_code="503", error_share=1.0, error_methods=["objects.rewrite"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("google.cloud.storage.retry.DEFAULT_RETRY._timeout", 0.1)
        with pytest.raises(CloudUnavailable):
            validate_arrival(store, arrival, LIMITS)
    cloud.storage.faults()
    assert validate_arrival(store, arrival, LIMITS).valid


def with_three_invalid_lines() -> tuple[bytes, bytes]:
    """Return a file, and what remains of it without its invalid lines."""
    lines = GOOD.splitlines(keepends=True)
    bad = {2: b"no json at all\n", 7: line("", "an answer to nothing"), 11: b'{"contents": "text"}\n'}
    valid = b"".join(one for number, one in enumerate(lines) if number not in bad)
    return b"".join(bad.get(number, one) for number, one in enumerate(lines)), valid


def content_of(store: RecordStore, uri: str | None) -> bytes:
    assert uri is not None
    return bytes(store.bucket.blob(uri.removeprefix(f"gs://{store.bucket.name}/")).download_as_bytes())


def test_with_quarantine_exactly_the_valid_lines_are_tuned_on(config: Config, store: RecordStore) -> None:
    content, valid = with_three_invalid_lines()
    arrival = upload(config, store, content)
    found = validate_arrival(store, arrival, LIMITS, invalid_lines="quarantine")
    assert (found.valid, found.examples, found.quarantined, found.problems_total) == (True, 37, 3, 3)
    assert content_of(store, found.training_uri) == valid
    assert found.tuned_on == "37 of 40 examples (3 invalid lines in quarantine)"
    assert found.summary.startswith("37 of 40 examples, about ")
    assert [one["line"] for one in quarantined(store, arrival)] == [3, 8, 12]
    assert copied(store, arrival) == content
    # A repeated try gives the same, also when the upload is gone by then.
    store.bucket.blob(NAME).delete()
    again = validate_arrival(store, arrival, LIMITS, invalid_lines="quarantine")
    assert without_time(again) == without_time(found)
    assert content_of(store, again.training_uri) == valid


def test_with_quarantine_a_file_without_problems_is_tuned_on_as_it_is(config: Config, store: RecordStore) -> None:
    arrival = upload(config, store, GOOD)
    found = validate_arrival(store, arrival, LIMITS, invalid_lines="quarantine")
    assert found.training_uri == f"gs://{config.bucket}/{training_path(arrival.candidate)}"
    assert (found.valid, found.quarantined, found.tuned_on) == (True, 0, "40 examples")
    assert store.bucket.get_blob(valid_lines_path(arrival.candidate)) is None


def test_with_quarantine_too_few_valid_lines_are_not_tuned_on(config: Config, store: RecordStore) -> None:
    arrival = upload(config, store, b"".join(GOOD.splitlines(keepends=True)[:15]) + b"{}\n" * 5)
    found = validate_arrival(store, arrival, LIMITS, invalid_lines="quarantine")
    assert (found.valid, found.quarantined) == (False, 0)
    assert "15 examples are valid and 5 lines are not" in str(found.problems[-1]["message"])
    assert store.bucket.get_blob(valid_lines_path(arrival.candidate)) is None


def test_dying_while_the_valid_lines_are_written_leaves_no_half_of_them(
    cloud: StandIns, config: Config, store: RecordStore
) -> None:
    content, valid = with_three_invalid_lines()
    long = b"".join(line(f"{number} " + "where is my card " * 700) for number in range(1500))
    arrival = upload(config, store, content + long)

    # The last read of the second pass fails, when the first chunks of what it keeps are uploaded.
    reads = 0
    original = type(store.bucket.blob("x")).download_as_bytes

    def failing(blob: Any, *args: Any, **kwargs: Any) -> bytes:
        nonlocal reads
        reads += 1
        if reads > len(content + long) // CHUNK_BYTES + 3:
            raise ConnectionError("the line is dead")
        return bytes(original(blob, *args, **kwargs))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("google.cloud.storage.Blob.download_as_bytes", failing)
        with pytest.raises(CloudUnavailable, match="the line is dead"):
            validate_arrival(store, arrival, LIMITS, invalid_lines="quarantine")
    assert store.bucket.get_blob(valid_lines_path(arrival.candidate)) is None
    found = validate_arrival(store, arrival, LIMITS, invalid_lines="quarantine")
    assert content_of(store, found.training_uri) == valid + long


def test_what_is_read_is_compared_with_the_checksum_of_the_object(config: Config, store: RecordStore) -> None:
    arrival = upload(config, store, GOOD)
    original = type(store.bucket.blob("x")).download_as_bytes

    def damaged(blob: Any, *args: Any, **kwargs: Any) -> bytes:
        return bytes(original(blob, *args, **kwargs)).replace(b"number 7?", b"number 8?")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("google.cloud.storage.Blob.download_as_bytes", damaged)
        with pytest.raises(DamagedRead, match="the bytes have CRC32C"):
            validate_arrival(store, arrival, LIMITS)
    assert validate_arrival(store, arrival, LIMITS).valid


def test_an_object_is_read_in_order_and_to_its_end_whatever_its_size(config: Config, store: RecordStore) -> None:
    for size in (0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES):
        content = bytes(random.Random(size).randbytes(size))
        blob = store.bucket.blob("some-object")
        blob.upload_from_string(content)
        chunks = list(read_object(store.bucket.blob("some-object")))
        assert [len(chunk) for chunk in chunks[:-1]] == [CHUNK_BYTES] * (len(chunks) - 1)
        assert b"".join(chunks) == content


VALIDATION_FILE = "evaluation/validation.jsonl"


def test_examples_that_are_also_in_the_validation_file_are_a_warning(config: Config, store: RecordStore) -> None:
    store.bucket.blob(VALIDATION_FILE).upload_from_string(BETTER + GOOD.splitlines()[4])
    arrival = upload(config, store, GOOD)
    found = validate_arrival(store, arrival, LIMITS, validation_file=VALIDATION_FILE)
    assert (found.valid, found.leaked, found.duplicates) == (True, 1, 0)
    assert found.warnings[0].startswith("1 example is also in the validation file: line 5 (line 51 there). ")
    assert content_of(store, found.validation_uri) == BETTER + GOOD.splitlines()[4]


def test_a_validation_file_that_is_not_valid_ends_the_candidate(config: Config, store: RecordStore) -> None:
    store.bucket.blob(VALIDATION_FILE).upload_from_string(BETTER + b"{}\n")
    arrival = upload(config, store, GOOD)
    found = validate_arrival(store, arrival, LIMITS, invalid_lines="quarantine", validation_file=VALIDATION_FILE)
    assert (found.valid, found.training_uri) == (False, None)
    assert found.summary.startswith(
        f"The validation file gs://{config.bucket}/{VALIDATION_FILE} that genops.yaml names"
    )
    assert "Line 51" in found.summary
    assert [problem["line"] for problem in found.problems] == [51]
    assert store.bucket.get_blob(quarantine_path(arrival.candidate)) is None
    # What was decided stays decided, although the file is mended by now.
    store.bucket.blob(VALIDATION_FILE).upload_from_string(BETTER)
    again = validate_arrival(store, arrival, LIMITS, validation_file=VALIDATION_FILE)
    assert again.summary == found.summary


def test_a_validation_file_that_is_not_there_ends_the_candidate(config: Config, store: RecordStore) -> None:
    found = validate_arrival(store, upload(config, store, GOOD), LIMITS, validation_file="evaluation/nothing.jsonl")
    assert not found.valid
    assert "evaluation/nothing.jsonl is not there, but genops.yaml names it" in found.summary


def pair(question: str) -> bytes:
    answers = [
        {"score": score, "completion": {"role": "model", "parts": [{"text": text}]}}
        for score, text in ((1, "card_arrival"), (0, "I do not know"))
    ]
    prompt = json.loads(line(question))["contents"][:1]
    return json.dumps({"contents": prompt, "completions": answers}).encode() + b"\n"


PAIRS = b"".join(pair(f"Where is card number {number}?") for number in range(20))


def test_pairs_of_answers_are_validated_where_the_dataset_prefers(config: Config, store: RecordStore) -> None:
    store.bucket.blob(VALIDATION_FILE).upload_from_string(PAIRS.splitlines()[4])
    arrival = upload(config, store, PAIRS + GOOD.splitlines()[0])
    found = validate_arrival(
        store,
        arrival,
        LIMITS,
        invalid_lines="quarantine",
        validation_file=VALIDATION_FILE,
        method="preference",
        note="what it costs is not known well",
    )
    assert (found.valid, found.examples, found.quarantined, found.leaked) == (True, 20, 1, 1)
    assert [one["reason"] for one in quarantined(store, arrival)] == ["wrong_order"]
    assert content_of(store, found.training_uri) == PAIRS
    assert found.warnings[-1] == "About the estimated cost: what it costs is not known well."


def test_a_file_for_another_method_ends_the_candidate_with_one_problem(config: Config, store: RecordStore) -> None:
    found = validate_arrival(store, upload(config, store, PAIRS), LIMITS)
    assert (found.valid, found.problems_by_reason) == (False, {"wrong_method": 1})
    assert "Set `tuning.method: preference` in genops.yaml" in found.summary
    store.bucket.blob(VALIDATION_FILE).upload_from_string(GOOD)
    found = validate_arrival(
        store, upload(config, store, PAIRS + b"\n"), LIMITS, validation_file=VALIDATION_FILE, method="preference"
    )
    assert (found.valid, found.problems_by_reason) == (False, {"wrong_method": 1})
    assert found.summary.startswith("The validation file ")
