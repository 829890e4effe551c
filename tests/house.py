"""Count the house: `python -m tests.house [FOLDER]` prints rooms, floors, arrows that run back up, circles, and lines per room.

A room is a folder or file directly below `genops_events`, and `triggers`. A floor is a place in the longest chain of imports
between rooms; rooms that import each other in a circle stand on one floor. Which way is up is what pyproject.toml says in the
contract of layers (import-linter); of a FOLDER with another checkout, that one's.
"""

from __future__ import annotations

import sys
import tomllib
from collections import Counter, defaultdict
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import grimp

PACKAGES = ("genops_events", "triggers")


def room_of(module: str) -> str:
    """Return the room that a module stands in; the package itself is none."""
    package, *rest = module.split(".")
    return package if package != "genops_events" else rest[0] if rest else ""


def circles(imports: dict[str, set[str]]) -> list[set[str]]:
    """Return the groups of two and more that reach each other."""
    reach: dict[str, set[str]] = {}
    for start in imports:
        seen: set[str] = set()
        todo = [start]
        while todo:
            for other in imports.get(todo.pop(), ()):
                if other not in seen:
                    seen.add(other)
                    todo.append(other)
        reach[start] = seen
    found: list[set[str]] = []
    for one in imports:
        if one in reach[one] and not any(one in group for group in found):
            found.append({other for other in reach[one] if one in reach.get(other, ())} | {one})
    return [group for group in found if len(group) > 1]


def floors(imports: dict[str, set[str]]) -> dict[str, int]:
    """Return the floor of each room, counted from the ground."""
    home = {one: one for one in imports}
    for group in circles(imports):
        home |= dict.fromkeys(group, min(group))
    merged: dict[str, set[str]] = defaultdict(set)
    for one, others in imports.items():
        merged[home[one]] |= {home[other] for other in others} - {home[one]}
    floor: dict[str, int] = {}
    for one in TopologicalSorter(merged).static_order():
        floor[one] = 1 + max((floor[other] for other in merged.get(one, ())), default=0)
    return {one: floor[home[one]] for one in imports}


def layers(folder: Path) -> dict[str, int]:
    """Return how far down each room stands by the contract of layers; empty if there is none."""
    linter = tomllib.loads((folder / "pyproject.toml").read_text())["tool"]["importlinter"]
    listed: list[str] = next((one["layers"] for one in linter["contracts"] if one["type"] == "layers"), [])
    return {
        name.strip().removeprefix("genops_events.").strip("()"): depth
        for depth, layer in enumerate(listed)
        for name in layer.replace("|", ":").split(":")
    }


def lines(folder: Path) -> Counter[str]:
    """Return the lines of Python in each room."""
    found: Counter[str] = Counter()
    for package in (*PACKAGES, "gcp_stand_ins", "dags"):
        for file in (folder / package).rglob("*.py"):
            module = ".".join(file.relative_to(folder).with_suffix("").parts).removesuffix(".__init__")
            found[room_of(module)] += len(file.read_text(encoding="utf-8").splitlines())
    return found


def count(folder: Path) -> dict[str, Any]:
    """Return the figures of the checkout in `folder`, which has to be first on sys.path."""
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    files = {one: graph.find_modules_directly_imported_by(one) for one in graph.modules if not one.endswith("__init__")}
    rooms: dict[str, set[str]] = {room_of(one): set() for one in files if room_of(one)}
    arrows: Counter[tuple[str, str]] = Counter()
    for one, others in files.items():
        for other in others:
            pair = room_of(one), room_of(other)
            if all(pair) and pair[0] != pair[1]:
                arrows[pair] += 1
                rooms[pair[0]].add(pair[1])
    depth = layers(folder)
    up = {(a, b): n for (a, b), n in arrows.items() if a in depth and b in depth and depth[a] > depth[b]}
    return {
        "rooms": rooms,
        "floors": floors(rooms),
        "arrows": arrows,
        "up": up,
        "circles of rooms": circles(rooms),
        "circles of files": circles(files),
        "lines": lines(folder),
    }


def main() -> None:
    """Print the figures."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    sys.path.insert(0, str(folder))
    house = count(folder)
    top = max(house["floors"].values())
    print(f"rooms {len(house['rooms'])} · floors {top} · arrows between rooms {len(house['arrows'])}")
    print(f"arrows that run back up {len(house['up'])}: {', '.join(f'{a} → {b}' for a, b in house['up']) or 'none'}")
    for kind in ("circles of rooms", "circles of files"):
        print(f"{kind} {len(house[kind])}: {'; '.join(', '.join(sorted(one)) for one in house[kind]) or 'none'}")
    for floor in range(top, 0, -1):
        names = sorted(name for name, at in house["floors"].items() if at == floor)
        shown = " · ".join(f"{name} {house['lines'][name]:,}" for name in names)
        print(f"  {floor:2}  {shown}")
    print(f"beside it: gcp_stand_ins {house['lines']['gcp_stand_ins']:,} · dags {house['lines']['dags']:,}")


if __name__ == "__main__":
    main()
