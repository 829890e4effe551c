"""Each name that a module defines, and each method, is used by something that is no test: what nobody needs goes."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
LOOKED_AT = ("genops_events", "gcp_stand_ins", "triggers")
USERS = (*LOOKED_AT, "dags", "benchmarks", "docs", "examples")
CALLED_BY_OTHERS = {
    "GenopsPlugin",  # Airflow, by the entry point of pyproject.toml
    "host_name",  # Airflow, by its setting `hostname_callable`
    "get_link",  # Airflow, of an operator's link
    "get_weight",  # Airflow, of a priority weight strategy
    "on_kill",  # Airflow, of operators and triggers
    "cleanup",  # Airflow, of triggers
    "open_stream",  # Airflow, of the producer of a shared stream
    "shared_stream_key",  # the same
    "create_shared_stream_producer",  # the same
    "filter_shared_stream",  # the same
    "service",  # gRPC, of a generic handler
    "connection_made",  # asyncio, of a protocol
    "connection_lost",  # the same
    "pause_writing",  # the same
    "resume_writing",  # the same
}
_LONGEST_PATH = 200
"""A longer text is no path of a class."""
_PLAIN = {
    "property",
    "cached_property",
    "staticmethod",
    "classmethod",
    "cache",
    "lru_cache",
    "contextmanager",
    "override",
}
"""Decorators that hand nothing to anybody. Any other may: Typer's, Starlette's, pydantic's, Airflow's."""


@dataclass
class Module:
    """What a file defines, and what it uses."""

    name: str
    defined: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Name and lines, of what stands in no function."""
    methods: dict[str, int] = field(default_factory=dict)
    """Name and first line."""
    used_at: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    """Names that are read, and where."""
    attributes: set[str] = field(default_factory=set)
    """Names behind a dot, and words of texts: `getattr`, and paths of classes that are texts."""
    imported: set[tuple[str, str]] = field(default_factory=set)


def read(file: Path) -> Module:
    parts = file.relative_to(ROOT).with_suffix("").parts
    found = Module(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in tree.body:
        for name in _names(node):
            found.defined[name] = (node.lineno, node.end_lineno or node.lineno)
    _Uses(found).visit(tree)
    return found


class _Uses(ast.NodeVisitor):
    """Notes what a module uses, and the methods of its classes."""

    def __init__(self, found: Module) -> None:
        self._found = found
        self._aliases: dict[str, str] = {}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.module is not None:
            self._found.imported |= {(node.module, one.name) for one in node.names}
            self._aliases |= {one.asname or one.name: f"{node.module}.{one.name}" for one in node.names}

    def visit_Import(self, node: ast.Import) -> None:
        self._aliases |= {one.asname: one.name for one in node.names if one.asname}

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._found.methods |= {one.name: one.lineno for one in node.body if _is_looked_at(one)}
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self._found.used_at[node.id].add(node.lineno)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._found.attributes.add(node.attr)
        if isinstance(node.value, ast.Name) and node.value.id in self._aliases:
            self._found.imported.add((self._aliases[node.value.id], node.attr))
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str) and len(node.value) <= _LONGEST_PATH:
            self._found.attributes |= set(re.split(r"[.:{}]", node.value))


def _names(node: ast.stmt) -> Iterator[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            if not isinstance(node, ast.ClassDef) and not _is_looked_at(node):
                return
            yield name
        case ast.Assign(targets=targets):
            yield from (one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name))
        case ast.AnnAssign(target=ast.Name(id=name)):
            yield name


def _is_looked_at(node: ast.stmt) -> bool:
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.name.startswith("__"):
        return False
    decorators = {one.id if isinstance(one, ast.Name) else "" for one in map(_called, node.decorator_list)}
    return decorators <= _PLAIN


def _called(decorator: ast.expr) -> ast.expr:
    return decorator.func if isinstance(decorator, ast.Call) else decorator


def dead(modules: list[Module], texts: str = "") -> list[str]:
    """Return what nobody uses, each as `module.name`; `texts` are templates, which use attributes, too."""
    imported = set().union(*(one.imported for one in modules))
    attributes = set(re.findall(r"\w+", texts)).union(*(one.attributes for one in modules))
    found = []
    for module in modules:
        if module.name.partition(".")[0] not in LOOKED_AT:
            continue
        for name, (first, last) in module.defined.items():
            here = any(not first <= line <= last for line in module.used_at.get(name, ()))
            if not here and (module.name, name) not in imported and not name.startswith("__"):
                found.append(f"{module.name}.{name}")
        found += [f"{module.name}: {name}()" for name in module.methods if name not in attributes]
    return [one for one in found if one.rpartition(".")[2].removesuffix("()").split()[-1] not in CALLED_BY_OTHERS]


def test_whatever_is_defined_is_used_by_more_than_tests() -> None:
    modules = [read(file) for folder in USERS for file in sorted((ROOT / folder).rglob("*.py"))]
    assert len(modules) > 300
    templates = "".join(one.read_text(encoding="utf-8") for one in (ROOT / "genops_events").rglob("*.j2"))
    assert templates
    assert dead(modules, templates) == [], "take it away, with its tests; or say above who calls it"


def test_what_nobody_uses_is_found(tmp_path: Path, monkeypatch) -> None:
    package = tmp_path / "triggers"
    package.mkdir()
    (package / "one.py").write_text(
        "USED, UNUSED = 1, 2\n"
        "def calls_itself():\n    return calls_itself()\n"
        "class Kept:\n"
        "    def read(self):\n        return USED\n"
        "    @property\n    def unread(self):\n        return 1\n"
    )
    (package / "two.py").write_text("from triggers.one import Kept\nKept().read()\n")
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    found = dead([read(file) for file in sorted(package.iterdir())])
    assert found == ["triggers.one.UNUSED", "triggers.one.calls_itself", "triggers.one: unread()"]
