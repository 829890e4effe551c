"""Measure the learner: `python -m gcp_stand_ins.vertex.accuracy TRAIN.jsonl TEST.jsonl`.

TRAIN is a supervised tuning file, TEST has a `prompt` and a `reference` in each line. Prints the share of exact answers
after training on TRAIN as it is, and with its answers shuffled.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from gcp_stand_ins.vertex.dataset import read_dataset
from gcp_stand_ins.vertex.learner import Learner, Pairs
from gcp_stand_ins.vertex.tuning_requests import SUPERVISED


def exact_share(learner: Learner, rows: Sequence[tuple[str, str]]) -> float:
    """Return the share of `(question, reference)` rows that the learner answers exactly."""
    return sum(learner.answer(question) == reference for question, reference in rows) / len(rows)


def shuffled(pairs: Pairs, *, seed: int = 0) -> list[tuple[str, str]]:
    """Return the same questions with the answers dealt out at random."""
    answers = [answer for _, answer in pairs]
    random.Random(seed).shuffle(answers)  # noqa: S311 - not a secret
    return [(question, answer) for (question, _), answer in zip(pairs, answers, strict=True)]


def main() -> None:
    """Print both figures, and the time that one answer takes."""
    parser = argparse.ArgumentParser(prog="python -m gcp_stand_ins.vertex.accuracy", description=__doc__)
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    chosen = parser.parse_args()
    with chosen.train.open("rb") as lines:
        pairs = read_dataset(lines, SUPERVISED).pairs
    with chosen.test.open("rb") as lines:
        rows = [(row["prompt"], row["reference"]) for row in map(msgspec.json.decode, lines)]
    for what, learned in (("as it is", pairs), ("shuffled", shuffled(pairs))):
        learner = Learner(learned)
        start = time.monotonic()
        share = exact_share(learner, rows)
        each = (time.monotonic() - start) / len(rows)
        sys.stdout.write(f"{what}: {share:.2%} of {len(rows)} exact, {each * 1000:.2f} ms each\n")


if __name__ == "__main__":
    main()
