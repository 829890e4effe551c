"""Objects with a `Content-Encoding`, and objects that are too large: refused with the reason, never unpacked."""

from __future__ import annotations

import gzip
import json
import pickle
import tracemalloc

import pytest
from cloud import StandIns
from made_up import arrived

from genops_events.config import Config
from genops_events.evaluation.examples import evaluation_examples
from genops_events.gcp.record_store import RecordStore
from genops_events.gcp.streams import StoredEncoded, UnusableObject, read_object, read_whole
from genops_events.gemini.results import rows_of
from genops_events.reading.addresses import Readable
from genops_events.training.validator import load_limits
from genops_events.tuning.files import validate_arrival

LIMITS = load_limits("gemini-2.5-flash")
NAME = "training/plain/train.jsonl"
VALIDATION = "evaluation/validation.jsonl"


def line(number: int) -> bytes:
    turns = [("user", f"Where is card {number}?"), ("model", "card_arrival")]
    contents = [{"role": role, "parts": [{"text": text}]} for role, text in turns]
    return json.dumps({"contents": contents}).encode() + b"\n"


GOOD = b"".join(map(line, range(40)))


def put(store: RecordStore, name: str, content: bytes, encoding: str | None = "gzip") -> int:
    blob = store.bucket.blob(name)
    blob.content_encoding = encoding
    blob.upload_from_string(content)
    return int(blob.generation)


@pytest.mark.parametrize(
    ("content", "said", "remedy"),
    [
        (GOOD, "has the label `Content-Encoding: gzip`, but its bytes are not", "--clear-content-encoding`"),
        (
            gzip.compress(GOOD, mtime=0),
            "is stored compressed, with `Content-Encoding: gzip`",
            "`gcloud storage cp FILE gs://",
        ),
        (b"", "has the label", "--clear-content-encoding`"),
    ],
)
def test_a_training_file_with_an_encoding_is_refused_with_the_command_that_mends_it(
    config: Config, store: RecordStore, content: bytes, said: str, remedy: str
) -> None:
    arrival = arrived(config, store, name=NAME, generation=put(store, NAME, content))
    found = validate_arrival(store, arrival, LIMITS)
    assert (found.valid, found.training_uri, found.problems_by_reason) == (False, None, {"compressed": 1})
    assert f"gs://{config.bucket}/{NAME} {said}" in found.summary
    assert remedy in found.summary
    assert "genops/candidates" not in found.summary


def test_a_validation_file_with_an_encoding_ends_the_candidate(config: Config, store: RecordStore) -> None:
    put(store, VALIDATION, GOOD)
    arrival = arrived(config, store, name=NAME, generation=put(store, NAME, GOOD, None))
    found = validate_arrival(store, arrival, LIMITS, validation_file=VALIDATION)
    assert (found.valid, found.problems_by_reason) == (False, {"compressed": 1})
    assert f"gs://{config.bucket}/{VALIDATION} has the label" in found.summary


def test_a_compressed_file_without_a_label_is_named_as_an_archive(config: Config, store: RecordStore) -> None:
    arrival = arrived(config, store, name=NAME, generation=put(store, NAME, gzip.compress(GOOD), None))
    found = validate_arrival(store, arrival, LIMITS)
    assert found.problems_by_reason == {"not_jsonl": 1}
    assert "looks like a gzip archive" in found.summary


def test_a_gzip_bomb_is_never_unpacked(store: RecordStore) -> None:
    bomb = gzip.compress(b'{"prompt": "a", "reference": "b"}\n' * 4_000_000)
    put(store, "evaluation/bomb.jsonl", bomb)
    tracemalloc.start()
    try:
        with pytest.raises(StoredEncoded, match="is stored compressed"):
            evaluation_examples(store.bucket, "evaluation/bomb.jsonl", needs_reference=())
        with pytest.raises(StoredEncoded, match="is stored compressed"):
            list(rows_of(store.bucket, "evaluation/bomb.jsonl", readable=Readable(store.bucket.name)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * len(bomb) + 4_000_000  # 136 MB, unpacked


def test_a_document_of_the_record_is_held_up_to_a_limit_even_as_a_bomb(store: RecordStore) -> None:
    bomb = gzip.compress(bytes(100_000_000))
    put(store, "genops/bomb.json", bomb)
    tracemalloc.start()
    try:
        with pytest.raises(UnusableObject, match="more than 1,000,000 bytes"):
            read_whole(store.bucket.blob("genops/bomb.json"), most_bytes=1_000_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 30_000_000
    put(store, "genops/plain.json", b"x" * 1_000_000, None)
    blob = store.bucket.blob("genops/plain.json")
    assert read_whole(blob, most_bytes=1_000_000) == b"x" * 1_000_000
    assert int(blob.generation) > 0


def test_an_object_over_the_limit_is_refused_before_a_byte_is_read(cloud: StandIns, store: RecordStore) -> None:
    put(store, "evaluation/large.jsonl", b"x" * 1_001, None)
    with pytest.raises(UnusableObject, match="more than 1,000 bytes"):
        next(read_object(store.bucket.blob("evaluation/large.jsonl"), most_bytes=1_000))
    assert b"".join(read_object(store.bucket.blob("evaluation/large.jsonl"), most_bytes=1_001)) == b"x" * 1_001


def test_the_errors_survive_the_way_between_airflows_processes() -> None:
    error = StoredEncoded("what", "remedy")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.message, again.hint) == (StoredEncoded, "what", "remedy")
