"""Shapes as they come from the real service: `python -m tests.shapes` prints the table of them, with source, date and outcome.

Each file below `tests/real_shapes` is one document: `about` says what it is, `source` and `read` where and when it was read, `seen`
whether its values were read there too ("values") or its structure alone ("structure": values are our own); texts are our own in any
case. `otherwise` says what a user would lose if it were read wrongly, `expect` is the right outcome.
The document itself is `document` (JSON) or `text`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genops_events.errors import GenopsError
from genops_events.gcp.errors import CloudUnavailable

FOLDER = Path(__file__).parent / "real_shapes"


@dataclass(frozen=True, slots=True)
class Shape:
    """One document of the real service, and what is right to make of it."""

    kind: str
    name: str
    told: Mapping[str, Any]
    """All that stands in its file."""

    def __str__(self) -> str:
        return self.name

    @property
    def document(self) -> Any:
        return self.told["document"]

    @property
    def expect(self) -> dict[str, Any]:
        expected: dict[str, Any] = self.told["expect"]
        return expected

    @property
    def content(self) -> bytes:
        """What comes over the wire."""
        if "text" in self.told:
            return str(self.told["text"]).encode()
        return json.dumps(self.told["document"]).encode()

    def answer(self, method: str, **more: Any) -> dict[str, Any]:
        """Return the fault setting that makes a stand-in answer calls of `method` so."""
        body = {"text": self.told["text"]} if "text" in self.told else {"document": self.document}
        status = {"status": self.told["status"]} if "status" in self.told else {}
        return {"method": method, **body, **status, **more}


def shapes_of(*kinds: str) -> list[Shape]:
    """Return the shapes of some kinds, by name."""
    return [
        Shape(kind, file.stem, json.loads(file.read_text(encoding="utf-8")))
        for kind in kinds
        for file in sorted((FOLDER / kind).glob("*.json"))
    ]


def assert_is_as_expected(shape: Shape, error: GenopsError) -> None:
    """Assert that an error is what `expect` of its shape says: its class, its words, its hint, and the delay that it asks for."""
    expected = shape.expect
    assert type(error).__name__ == expected["class"], shape.told["otherwise"]
    assert expected["says"] in error.message
    assert expected["hint"] in error.hint
    assert shape.told["without"] not in error.message
    if isinstance(error, CloudUnavailable):
        assert error.retry_after_seconds == expected.get("retry_after_seconds")


def kinds() -> list[str]:
    """Return the kinds of shapes there are."""
    return sorted(one.name for one in FOLDER.iterdir() if one.is_dir())


def main() -> None:
    """Print the table."""
    shapes = shapes_of(*kinds())
    for one in shapes:
        outcome = ", ".join(f"{name} {json.dumps(value, ensure_ascii=False)}" for name, value in one.expect.items())
        print(f"{one.kind}/{one.name} | {one.told['seen']} of {one.told['source']} | {one.told['read']} | {outcome}")
    print(f"{len(shapes)} shapes of {len(kinds())} kinds")


if __name__ == "__main__":
    main()
