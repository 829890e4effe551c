"""The page about genops.yaml: each key of its JSON Schema, with what it means, what it takes and its default."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from docs.writing.json_schemas import OWN_KEYS, anchor, in_words, parts_of, unwrapped
from docs.writing.markdown import code, page, table
from genops_events.config import json_schema

INTRODUCTION = """
`genops.yaml` is the one file that you write. `genops config check genops.yaml` names each mistake with its key and line;
`genops config schema` prints the JSON Schema that this page is made from, for your editor. A key that is not here is refused.

`NAME` in a key is a name that you choose; `[]` is one entry of a list. What has no default and is not required is left out by default.
[examples/genops.yaml](../../examples/genops.yaml) is a whole file, with comments.
"""


@dataclass
class _Walk:
    """The sections, in the order in which their keys are met; what is said once is referred to afterwards."""

    schema: dict[str, Any]
    sections: list[str] = field(default_factory=list)
    where: dict[str, str] = field(default_factory=dict)

    def section(self, path: str, part: dict[str, Any]) -> None:
        """Write the keys of `part`, then the parts below it."""
        below: list[tuple[str, dict[str, Any]]] = []
        rows = []
        for key, value in part["properties"].items():
            dotted = f"{path}.{key}" if path else key
            shape = unwrapped(value)
            reference = None
            for suffix, name in parts_of(shape):
                if name in self.where:
                    reference = f"as [`{self.where[name]}`](#{anchor(self.where[name])})"
                else:
                    self.where[name] = dotted + suffix
                    below.append((dotted + suffix, self.schema["$defs"][name]))
            meaning = value.get("description") or self._meaning(shape)
            takes = reference or in_words(shape).replace(OWN_KEYS, self._keys_of(shape))
            rows.append([code(key), meaning, takes, _default(key, value, part)])
        title = f"`{path}`" if path else "At the top"
        heading = f"## {title}\n\n{part.get('description', '') if path else ''}".rstrip()
        self.sections.append(f"{heading}\n\n{table(['key', 'what', 'takes', 'default'], rows)}")
        for dotted, found in below:
            self.section(dotted, found)

    def _keys_of(self, shape: dict[str, Any]) -> str:
        """Return the link to the section that has the keys of a part."""
        found = [self.where[name] for _, name in parts_of(shape)]
        return f"[{OWN_KEYS}](#{anchor(found[0])})" if found else OWN_KEYS

    def _meaning(self, shape: dict[str, Any]) -> str:
        return next((self.schema["$defs"][name].get("description", "") for _, name in parts_of(shape)), "")


def _default(key: str, value: dict[str, Any], part: dict[str, Any]) -> str:
    if key in part.get("required", []):
        return "required"
    default = value.get("default")
    if default is None or default in ({}, []):
        return ""
    text = default if isinstance(default, str) else json.dumps(default)
    return "below" if isinstance(default, dict) and list(parts_of(unwrapped(value))) else code(text)


def settings_page() -> str:
    """Return the page about every key of genops.yaml."""
    schema = json_schema()
    walk = _Walk(schema)
    walk.section("", schema)
    return page("genops.yaml", INTRODUCTION, *walk.sections)
