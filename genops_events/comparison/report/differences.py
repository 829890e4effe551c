"""Mark the words of an answer that another answer does not have, if the two are similar enough."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from itertools import groupby
from operator import itemgetter

from genops_events.reports import Piece

_WORD = re.compile(r"\s*\S+")
_ALIKE = 0.5
"""Least share of common words: below it, nearly every word would be marked, which helps no reader."""
_MOST_WORDS = 300
"""Longer passages are not compared: that could take seconds, and a text may be written so that it does."""


def marked(text: str, other: str) -> list[Piece]:
    """Return `text` in pieces; the pieces that `other` does not have at that place are marked."""
    words, others = _WORD.findall(text), _WORD.findall(other)
    kept = _kept([one.lstrip() for one in words], [one.lstrip() for one in others])
    if len(kept) < _ALIKE * max(len(words), len(others), 1):
        return [Piece(text)]
    parts: list[tuple[str, bool]] = []
    for index, word in enumerate(words):
        bare = word.lstrip()
        is_marked = index not in kept
        # The space before the first of several marked words is not marked.
        parts += [(word[: len(word) - len(bare)], is_marked and index > 0 and index - 1 not in kept), (bare, is_marked)]
    parts.append((text[sum(map(len, words)) :], False))
    groups = groupby((part for part in parts if part[0]), key=itemgetter(1))
    return [Piece("".join(part for part, _ in group), is_marked=is_marked) for is_marked, group in groups]


def _kept(words: list[str], others: list[str]) -> set[int]:
    """Return the indices of the words that both have in the same order."""
    first, fewest = 0, min(len(words), len(others))
    while first < fewest and words[first] == others[first]:
        first += 1
    last = 0
    while last < fewest - first and words[-1 - last] == others[-1 - last]:
        last += 1
    kept = {*range(first), *range(len(words) - last, len(words))}
    middle, other_middle = words[first : len(words) - last], others[first : len(others) - last]
    if max(len(middle), len(other_middle)) <= _MOST_WORDS:
        for same in SequenceMatcher(None, middle, other_middle).get_matching_blocks():
            kept.update(range(first + same.a, first + same.a + same.size))
    return kept
