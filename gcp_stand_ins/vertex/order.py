"""Resources in order of creation, so that a page of a list costs what it shows and not what there is."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator


class Creations:
    """The names of all resources under each parent, in order of creation, and by their labels."""

    def __init__(self) -> None:
        self._names: dict[str, list[tuple[str, str]]] = {}
        self._labelled: dict[tuple[str, str, str], list[tuple[str, str]]] = {}

    def add(self, parent: str, name: str, created: float, labels: dict[str, str]) -> None:
        """Take in a resource; quickest when it is the newest."""
        entry = (f"{created:020.6f}/{name}", name)
        insort(self._names.setdefault(parent, []), entry)
        for key, value in labels.items():
            insort(self._labelled.setdefault((parent, key, value), []), entry)

    def drop(self, parent: str, name: str, created: float, labels: dict[str, str]) -> None:
        """Forget a resource that was added so."""
        entry = (f"{created:020.6f}/{name}", name)
        self._names[parent].remove(entry)
        for key, value in labels.items():
            self._labelled[parent, key, value].remove(entry)

    def newest_first(
        self, parent: str, *, after: str = "", label: tuple[str, str] | None = None
    ) -> Iterator[tuple[str, str]]:
        """Yield sort key and name of each resource, those created last first.

        Args:
            parent: the project and location.
            after: the sort key that the page before ended with; empty from the beginning.
            label: only those that have this label with this value.
        """
        entries = self._labelled.get((parent, *label), []) if label else self._names.get(parent, [])
        end = bisect_left(entries, (after,)) if after else len(entries)
        for at in range(end - 1, -1, -1):
            yield entries[at]
