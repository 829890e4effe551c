"""Find the evaluation rows that a model was tuned on: a score on them says how well it remembers, not how good it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec


class _TurnPart(msgspec.Struct, gc=False):
    text: str | None = None


class _Turn(msgspec.Struct, gc=False):
    role: str | None = None
    parts: list[_TurnPart] = []


class _Line(msgspec.Struct, gc=False):
    contents: list[_Turn] = []


_decode = msgspec.json.Decoder(_Line).decode


def in_training(prompts: Sequence[str], lines: Iterable[bytes]) -> dict[int, int]:
    """Return the indices of the prompts that a user asks in the training file, each with its first 1-based line there.

    Two prompts are the same whatever their case and white space. Every turn of the user counts, since every answer to
    one is learned. Memory is that of the prompts, however long the file; a line that is no example is passed over.

    Args:
        prompts: of the evaluation file.
        lines: of the training file, in any of the methods' forms.
    """
    wanted: dict[str, list[int]] = {}
    for index, prompt in enumerate(prompts):
        wanted.setdefault(_plain(prompt), []).append(index)
    found: dict[int, int] = {}
    for number, line in enumerate(lines, start=1):
        try:
            turns = _decode(line).contents
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        for turn in turns:
            if turn.role in (None, "user"):
                text = _plain("".join(part.text for part in turn.parts if part.text))
                for index in wanted.get(text, ()):
                    found.setdefault(index, number)
    return found


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
