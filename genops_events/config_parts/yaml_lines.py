"""Read YAML and remember on which line each key stands, so that an error can point at it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

KeyPath = tuple[str | int, ...]

MOST_BRACKETS = 5000
"""So many may nest without a danger to libyaml's own stack, whose end would be the end of the process."""


def _loader(text: str) -> Any:
    # libyaml, where PyYAML has it: every task reads genops.yaml, and 200 datasets take 0.1 s without.
    fast = text.count("[") + text.count("{") <= MOST_BRACKETS
    kind: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader) if fast else yaml.SafeLoader
    return kind(text)


class YamlProblem(Exception):
    """The text is not usable YAML; whoever reads the file says so in an error of its own."""

    def __init__(self, problem: str, line: int | None = None, column: int | None = None, key: KeyPath = ()) -> None:
        super().__init__(problem, line, column, key)
        self.problem = problem
        self.line = line
        self.column = column
        self.key = key


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """The plain value of a YAML text and the 1-based line of each of its keys and list items."""

    value: Any
    lines: dict[KeyPath, int]

    def line_of(self, path: KeyPath) -> int | None:
        """Return the line of this key, or of its nearest parent that is written in the file."""
        for end in range(len(path), 0, -1):
            if (line := self.lines.get(path[:end])) is not None:
                return line
        return None


def parse_yaml(text: str) -> YamlDocument:
    """Parse one YAML document; raise YamlProblem with line and column for bad syntax and repeated keys."""
    # The node API of SafeLoader: nodes know their lines, and only plain values can be constructed.
    lines: dict[KeyPath, int] = {}
    try:
        loader = _loader(text)
        node = loader.get_single_node()
        if node is not None:
            _note_lines(node, (), lines, seen=set())
        value = None if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = ", ".join(part for part in (error.context, error.problem) if part)
        raise YamlProblem(what, *((mark.line + 1, mark.column + 1) if mark else ())) from error
    except yaml.YAMLError as error:  # the reader's own: a character that YAML does not allow
        raise YamlProblem(" ".join(str(error).split())) from error
    except (ValueError, LookupError, AttributeError) as error:  # 2026-13-45, !!bool x
        raise YamlProblem(f"a value cannot be read: {error}") from error
    except RecursionError as error:
        raise YamlProblem("the document is nested too deeply") from error
    return YamlDocument(value=value, lines=lines)


def _note_lines(node: yaml.Node, path: KeyPath, lines: dict[KeyPath, int], seen: set[int]) -> None:
    """Walk each node once (an alias, even a recursive one, is not walked again) and refuse repeated keys."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        here: dict[str, int] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                continue  # the constructor refuses it, with its mark
            key, line = str(key_node.value), key_node.start_mark.line + 1
            if key in here and key != "<<":
                raise YamlProblem(
                    f"the key `{key}` is given twice (first on line {here[key]})",
                    line,
                    key_node.start_mark.column + 1,
                    (*path, key),
                )
            here[key] = line
            lines[*path, key] = line
            _note_lines(value_node, (*path, key), lines, seen)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            lines[*path, index] = item.start_mark.line + 1
            _note_lines(item, (*path, index), lines, seen)
