"""What is published fits into a message of Pub/Sub, and what a message came with is kept."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genops_events.record.events import EVENT_TYPES, announcement, event_type
from genops_events.record.messages import MOST_ATTRIBUTES, MOST_MESSAGE_BYTES, MOST_VALUE_BYTES, payload, with_room
from genops_events.record.stages import STAGES
from genops_events.record.verdicts import VERDICTS

LONGEST_CANDIDATE, LONGEST_BUCKET = "c" * 63, "b" * 222


def test_data_that_fits_is_published_as_it_is() -> None:
    data = {"reason": "1 € ≠ 2 €", "scores": {"exact_match": 0.5}, "cost_usd": None, "rows": [1, "x"]}
    assert json.loads(payload(data)) == data
    assert "€".encode() in payload(data)


@pytest.mark.parametrize("letter", ["x", "€", '"'])
def test_only_the_longest_texts_of_too_large_data_are_cut(letter: str) -> None:
    data = {"reason": letter * 20_000_000, "candidate": LONGEST_CANDIDATE, "contestants": [{"reason": "y" * 90_000}]}
    found = json.loads(payload(data))
    assert len(payload(data)) <= MOST_MESSAGE_BYTES
    assert found["reason"].endswith(f"{letter}…")
    assert len(found["reason"]) == 100_000
    assert {**found, "reason": ""} == {**data, "reason": ""}


def test_many_long_texts_are_cut_shorter() -> None:
    data = {"contestants": [{"reason": "y" * 90_000, "id": f"c{number}"} for number in range(1_000)]}
    assert len(payload(data)) <= MOST_MESSAGE_BYTES
    found = json.loads(payload(data))["contestants"]
    assert [one["id"] for one in found] == [one["id"] for one in data["contestants"]]
    assert {len(one["reason"]) for one in found} == {1_000}


def test_the_attributes_of_an_event_are_within_the_limits_however_long_the_names_are() -> None:
    now = datetime.now(UTC)
    kinds = [(stage, outcome) for stage, facts in STAGES.items() for outcome in facts.outcomes]
    assert {event_type(*one) for one in kinds} == EVENT_TYPES.keys()
    for stage, outcome in kinds:
        given_ = {"candidate": LONGEST_CANDIDATE, "dataset": "d", "outcome": outcome, "reason": "", "retries": 10**6}
        verdict = VERDICTS[stage].model_validate({**given_, "written_at": now, "started_at": now, "ended_at": now})
        attributes = announcement(verdict, bucket=LONGEST_BUCKET, now=now).attributes
        assert len(attributes) <= MOST_ATTRIBUTES
        assert max(len(value.encode()) for value in attributes.values()) <= MOST_VALUE_BYTES
        assert max(len(name.encode()) for name in attributes) <= 256
        assert not [name for name in attributes if name.startswith("goog")]


NAMES = st.text(min_size=1, max_size=20)
VALUES = st.text(max_size=600)


@given(
    own=st.dictionaries(NAMES, VALUES, max_size=100),
    added=st.dictionaries(NAMES, st.text(max_size=2_000), max_size=5),
    data_bytes=st.sampled_from([0, MOST_MESSAGE_BYTES - 3_000, MOST_MESSAGE_BYTES]),
)
def test_what_a_message_came_with_is_kept_and_what_is_added_has_room(
    own: dict[str, str], added: dict[str, str], data_bytes: int
) -> None:
    found = with_room(own, added, data_bytes=data_bytes)
    assert {name: value for name, value in found.items() if name not in added} == {
        name: value for name, value in own.items() if name not in added
    }
    assert own.keys() <= found.keys()
    assert len(found) <= MOST_ATTRIBUTES
    for name in found.keys() - own.keys():
        assert added[name].startswith(found[name])
        assert len(found[name].encode()) <= MOST_VALUE_BYTES
    size = data_bytes + sum(len(name.encode()) + len(value.encode()) for name, value in found.items())
    had = data_bytes + sum(len(name.encode()) + len(value.encode()) for name, value in own.items())
    assert size <= max(MOST_MESSAGE_BYTES, had)
