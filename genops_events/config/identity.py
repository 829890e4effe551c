"""Give every object generation one candidate, and the same one every time."""

from __future__ import annotations

import hashlib
import re

DIGEST_CHARACTERS = 16
"""Hex digits of the hash in a candidate id: 64 bits, so that a collision needs billions of uploads."""

_CANDIDATE = re.compile(rf"[a-z][a-z0-9-]{{0,45}}-[0-9a-f]{{{DIGEST_CHARACTERS}}}")
"""A name as genops.yaml takes it (`config.DatasetName`), and the digits."""


def is_candidate_id(text: str) -> bool:
    """Return whether `text` has the form of a candidate id; so it has no `/`, and leads to no other folder."""
    return _CANDIDATE.fullmatch(text) is not None


def candidate_id(dataset: str, bucket: str, name: str, generation: int) -> str:
    """Return the candidate id of one object generation; the same generation always gives the same id.

    Args:
        dataset: name of the dataset in `genops.yaml`, at most 46 characters of `a-z`, `0-9`, `-`.
        bucket: bucket of the object.
        name: name of the object in the bucket.
        generation: generation that Cloud Storage gave it; overwriting the object gives another.

    Returns:
        `<dataset>-<16 hex digits>`: at most 63 characters, so that it is a valid Vertex AI label, too.
    """
    digest = hashlib.sha256(f"{bucket}/{name}#{generation}".encode()).hexdigest()
    return f"{dataset}-{digest[:DIGEST_CHARACTERS]}"


def dataset_of(candidate: str) -> str:
    """Return the name of the dataset that `candidate` belongs to."""
    return candidate[: -DIGEST_CHARACTERS - 1]
