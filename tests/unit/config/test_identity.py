from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from genops_events.config.identity import candidate_id, dataset_of

DATASETS = st.from_regex(r"[a-z][a-z0-9-]{0,45}", fullmatch=True)
NAMES = st.text(min_size=1, max_size=200)
GENERATIONS = st.integers(min_value=1, max_value=2**62)


def test_the_id_of_a_generation_is_as_the_architecture_says():
    assert candidate_id("banking77", "b", "training/x.jsonl", 17) == "banking77-d3076965c17679ac"


@given(DATASETS, NAMES, GENERATIONS)
def test_an_id_is_a_valid_vertex_label_and_names_its_dataset(dataset, name, generation):
    candidate = candidate_id(dataset, "bucket", name, generation)
    assert re.fullmatch(r"[a-z][a-z0-9-]{0,62}", candidate)
    assert dataset_of(candidate) == dataset
    assert candidate == candidate_id(dataset, "bucket", name, generation)


@given(NAMES, GENERATIONS)
def test_overwriting_an_object_makes_another_candidate(name, generation):
    assert candidate_id("d", "bucket", name, generation) != candidate_id("d", "bucket", name, generation + 1)
