"""The page about the record: where everything lies in the bucket, and what each document says."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Any, Self

from docs.writing.events_page import fields_table
from docs.writing.field_docs import field_docs, first_sentence
from docs.writing.markdown import code, page, table
from genops_events import record
from genops_events.record.document import Document
from genops_events.record.verdicts import Verdict

INTRODUCTION = """
Everything that genops-events keeps lies in the data bucket below `genops/`, outside every watched prefix. A candidate's documents are written once;
what candidates share (champion, ledger) changes by compare-and-set; before the ledger, wishes lie side by side until one write takes them in. Readers ignore fields that they do not know, and `schema` names the format.
[Architecture](../architecture.md) says why.

What stands in `<…>` differs; a path that ends with `…` is the beginning of several.
"""
EVENTS = [
    ["genops/candidates/<candidate>/events/<number>-<type>.json", "A completion event: written, then published."],
    ["genops/candidates/<candidate>/published/<number>-<type>.json", "The note that it was published."],
]
"""Their names are made of numbers and types that only a whole verdict has."""
FOLDERS = (
    "genops/candidates/<candidate>/",
    "genops/datasets/<dataset>/",
    "genops/comparisons/<comparison>/",
    "genops/asks/<run>/",
    "genops/ledger/",
    "genops/tables/",
    "genops/",
)


class _Unknown(str):
    """What a path is made of and only a real candidate has: it stands in the path by its name."""

    __slots__ = ()

    def __new__(cls, name: str) -> Self:
        return super().__new__(cls, f"<{name.strip('_')}>")

    def __format__(self, _: str) -> str:
        return str(self)

    def __getattr__(self, name: str) -> _Unknown:
        return _Unknown("time" if name == "written_at" else name)

    def astimezone(self, _: Any) -> _Unknown:
        return _Unknown("time")


def record_modules() -> list[ModuleType]:
    """Return the modules that say what is kept, and where."""
    return [import_module(f"{record.__name__}.{one.name}") for one in iter_modules(record.__path__)]


def paths() -> Iterator[tuple[str, str]]:
    """Yield where something lies, and what, for each function that returns such a path."""
    for module in record_modules():
        for name, function in vars(module).items():
            if inspect.isfunction(function) and function.__module__ == module.__name__ and _names_a_path(name):
                yield _path(function, name), _what(first_sentence(function.__doc__))


def _what(promise: str) -> str:
    """Return what is kept at a path, from the promise of the function that returns the path."""
    what = re.sub(r"^Return (where|the path of|the prefix of|the prefix below which) ", "", promise)
    what = what.replace("Return below which prefix ", "where ")
    what = re.sub(r"^it is (written|noted|marked|recorded) ", "says ", what)
    what = re.sub(r" (lies?|(is|are) (recorded|listed))\b", "", what, count=1)
    return what[0].upper() + what[1:]


def _names_a_path(name: str) -> bool:
    return (
        not name.startswith("_")
        and "announcement" not in name
        and name.endswith(("_path", "_prefix", "_folder", "folder"))
    )


def _path(function: Callable[..., str], name: str) -> str:
    """Return the path as it is the first time, and as it is later, where a number is added to it then."""
    parameters = inspect.signature(function).parameters
    given = [_Unknown(one) for one, what in parameters.items() if what.default is inspect.Parameter.empty]
    first = function(*given)
    later = function(*(_Unknown(one) for one in parameters))
    end = "" if name.endswith("_path") else "…"
    return code(first + end) + (f", then {code(later.rpartition('/')[2])}" if later != first else "")


def documents() -> list[type[Document]]:
    """Return the models of the documents, in the order of their names."""
    found = {
        one
        for module in record_modules()
        for one in vars(module).values()
        if inspect.isclass(one)
        and issubclass(one, Document)
        and one not in {Document, Verdict}
        and "SCHEMA" in vars(one)
    }
    return sorted(found, key=lambda one: one.SCHEMA)


def _section(model: type[Document]) -> str:
    schema = model.model_json_schema(mode="serialization", by_alias=True)
    own = {name: one for name, one in schema["properties"].items() if name not in {"schema", "candidate", "written_at"}}
    text = f"### `{model.SCHEMA}`\n\n{first_sentence(model.__doc__)}\n\n"
    if issubclass(model, Verdict):
        return f"{text}Its fields are those of its [completion event](events.md#{model.STAGE})."
    return text + fields_table(own, field_docs(model), schema.get("required", []), where="events.md")


def _folder(start: str, every: list[tuple[str, str]]) -> str:
    """Return the section of what lies below `start`, and below no longer start of another section."""
    own = [
        [path.replace(f"`{start}", "`", 1).replace("``", "").strip(), what]
        for path, what in every
        if path.startswith(f"`{start}")
        and max((one for one in FOLDERS if path.startswith(f"`{one}")), key=len) == start
    ]
    return f"### {code(start)}\n\n{table(['path below it', 'what'], own)}"


def record_page() -> str:
    """Return the page about the record."""
    every = sorted([*paths(), *((code(path), text) for path, text in EVENTS)])
    return page(
        "The record",
        INTRODUCTION,
        "## Where everything lies",
        *(_folder(start, every) for start in FOLDERS),
        "## What the documents say\n\nEach has `schema`, `candidate` and `written_at` beside these fields.",
        *(_section(one) for one in documents()),
    )
