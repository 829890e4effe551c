"""Names that have a project's number in them: Vertex AI takes them where it takes those with its id."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gcp_stand_ins.projects import project_number
from gcp_stand_ins.vertex.documents import Database, Shelf

_NUMBERED = re.compile(r"projects/(?P<number>[0-9]+)/(?P<rest>.+)")
_NAMES = frozenset(
    {
        *("model", "endpoint", "baseModel", "tunedModelName", "baseTeacherModel", "tunedTeacherModelSource"),
        *("cachedContent", "autoraterModel"),
    }
)
"""Fields of requests that hold the name of a resource."""


class Projects:
    """The projects that were named so far, on disk: whose number a number is.

    Args:
        database: where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._ids = Shelf(database, "project", str)

    def with_id(self, name: str) -> str:
        """Return a resource name with the project's id, whichever of the two it had; as it is where the number is nobody's."""
        match = _NUMBERED.fullmatch(name)
        if match is None:
            if name.startswith("projects/"):
                self._remember(name.split("/")[1])
            return name
        known = self._ids.get(match["number"])
        return name if known is None else f"projects/{known}/{match['rest']}"

    def in_request(self, value: Any) -> Any:
        """Return a request's body whose names have ids."""
        if isinstance(value, list):
            return [self.in_request(one) for one in value]
        if not isinstance(value, Mapping):
            return value
        return {
            field: self.with_id(one) if field in _NAMES and isinstance(one, str) else self.in_request(one)
            for field, one in value.items()
        }

    def _remember(self, project: str) -> None:
        number = project_number(project)
        if self._ids.get(number) is None:
            self._ids.put(number, project)
