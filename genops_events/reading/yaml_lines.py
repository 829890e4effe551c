"""Read YAML and remember on which line each key stands, so that an error can point at it."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

KeyPath = tuple[str | int, ...]

MOST_BYTES = 5_000_000
"""Largest file of settings that is read: 200 datasets take 0.1 MB."""
MOST_VALUES = 200_000
"""So many values may a document have, those that aliases repeat counted each time: nine lists of nine aliases each are a
billion of them."""
MOST_DIGITS = 400
"""Longest number. Python refuses to write one of 4,300 digits: https://docs.python.org/3/library/stdtypes.html#int-max-str-digits."""
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
MOST_BRACKETS = 5000
"""So many may nest without a danger to libyaml's own stack, whose end would be the end of the process."""


def _loader(text: str) -> Any:
    # libyaml, where PyYAML has it: every task reads genops.yaml, and 200 datasets take 0.1 s without.
    fast = text.count("[") + text.count("{") <= MOST_BRACKETS
    kind: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader) if fast else yaml.SafeLoader
    return kind(text)


class YamlProblem(Exception):
    """The text is not usable YAML; the reader of the file says so in an error of its own."""

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
    """Parse one YAML document; raise YamlProblem with line and column for bad syntax, repeated keys and what is too much."""
    if len(text) > MOST_BYTES:
        raise YamlProblem(f"it has {len(text):,} characters, at most {MOST_BYTES:,} are read")
    # The node API of SafeLoader: nodes know their lines, and only plain values can be constructed.
    lines: dict[KeyPath, int] = {}
    try:
        loader = _loader(text)
        node = loader.get_single_node()
        if node is not None:
            _count_values(node, {})
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


def _count_values(node: yaml.Node, counted: dict[int, int]) -> int:
    """Return how many values a node stands for, those of its aliases included; raise YamlProblem where it is too many."""
    if (known := counted.get(id(node))) is not None:
        if known == 0:  # it is being counted
            raise _problem_at(node, "an alias stands within what it names")
        return known
    counted[id(node)] = 0
    number = 1
    if isinstance(node, yaml.ScalarNode):
        if node.tag in _NUMBERS and len(node.value) > MOST_DIGITS:
            raise _problem_at(node, f"a number has {len(node.value):,} characters, at most {MOST_DIGITS} are read")
    else:
        for one in node.value:
            number += sum(_count_values(part, counted) for part in (one if isinstance(one, tuple) else (one,)))
            if number > MOST_VALUES:
                raise _problem_at(node, f"with its aliases, it has more than {MOST_VALUES:,} values")
    counted[id(node)] = number
    return number


def _problem_at(node: yaml.Node, problem: str) -> YamlProblem:
    return YamlProblem(problem, node.start_mark.line + 1, node.start_mark.column + 1)


def read_settings(path: Path) -> str:
    """Return the text of a file of settings, YAML or TOML, without a byte order mark.

    Raises:
        OSError: it cannot be read, or has more than MOST_BYTES (EFBIG).
        UnicodeDecodeError: it is not UTF-8.
    """
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise OSError(errno.EFBIG, f"it has more than {MOST_BYTES:,} bytes", str(path))
    return content.decode("utf-8-sig")


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
