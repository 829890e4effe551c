"""Find the evaluation rows that a model was tuned on: their scores measure what it memorised, not how good it is."""

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
    """Return the indices of the prompts that are a user's turn in the training file, each with its first 1-based line there.

    Prompts are compared without regard to case and white space. All turns of the user count, since the model learns the
    answer to each. Memory grows with the prompts, and not with the file; a line that is not an example is skipped.

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
