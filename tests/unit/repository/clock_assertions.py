"""Find what makes a test go by the clock: an upper bound on what a clock shows, or a time-out that a busy machine misses."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from waiting import HANG_SECONDS

_CLOCKS = {"monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time", "process_time_ns"}
_CLOCKS |= {"thread_time", "thread_time_ns", "time_ns", "cpu_times", "getrusage", "getloadavg"}
_SHORT_NAMES = {"time", "now", "utcnow"}
"""Clocks only as `time.time()`, `loop.time()`, `datetime.now()`."""
_OWNERS = {"time", "loop", "datetime", "get_running_loop", "get_event_loop"}
_DURATION_WORDS = {"elapsed", "took"}
_TIMEOUT_WORDS = {"timeout", "timeout_seconds"}
_WAITS = {"wait": 0, "join": 0, "result": 0, "acquire": 1, "timeout": 0, "wait_for": 1, "until": 9, "until_async": 9}
"""Calls that take a time-out, and at which place."""
_HTTPX = {"get", "put", "post", "patch", "delete", "request", "stream", "Client", "AsyncClient"}
_BOUND = (
    "an upper bound on what a clock shows: a busy machine passes it; assert what happened, how often, in which order"
)
_TIMEOUT = "a time-out of its own, which a busy machine misses: take HANG_SECONDS of tests/waiting.py"
_NO_TIMEOUT = "httpx without a time-out gives up after five seconds: say timeout=HANG_SECONDS"


@dataclass(frozen=True, slots=True)
class Found:
    """A place where a test goes by the clock."""

    line: int
    text: str
    why: str


@dataclass(slots=True)
class _Names:
    """What the names of a file hold: readings of a clock, such readings and something on top, differences of them."""

    instants: set[str] = field(default_factory=set)
    deadlines: set[str] = field(default_factory=set)
    durations: set[str] = field(default_factory=set)
    short: set[str] = field(default_factory=set)
    """Constants of this file that are numbers."""


def found_in(source: str) -> list[Found]:
    """Return every place of a test file that goes by the clock.

    A lower bound on a duration is none, since a busy machine only takes longer; nor is the order of two readings.
    """
    tree = ast.parse(source)
    names = _names(tree)
    found = [
        Found(node.lineno, ast.unparse(node), _BOUND)
        for condition in _conditions(tree)
        for node in ast.walk(condition)
        if isinstance(node, ast.Compare) and any(_is_bound(*pair, names) for pair in _smaller_and_larger(node))
    ]
    found += [
        Found(node.lineno, ast.unparse(node), _BOUND)
        for condition in _given_up_by(tree)
        for node in ast.walk(condition)
        if isinstance(node, ast.Compare)
        and any(_is_bound(smaller, larger, names) for larger, smaller in _smaller_and_larger(node))
    ]
    found += [
        Found(node.lineno, ast.unparse(node), _BOUND)
        for condition in _conditions(tree)
        for node in ast.walk(condition)
        if isinstance(node, ast.Dict) and any(map(_is_no_time, node.keys, node.values))
    ]
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        found += [
            Found(given.lineno, ast.unparse(call), _TIMEOUT) for given in _timeouts(call) if _is_short(given, names)
        ]
        if _is_httpx(call) and not any(word.arg in ("timeout", None) for word in call.keywords):
            found.append(Found(call.lineno, ast.unparse(call), _NO_TIMEOUT))
    return sorted(set(found), key=lambda one: one.line)


def _is_no_time(key: ast.expr | None, value: ast.expr) -> bool:
    """Return whether something is to have taken no time at all, as one entry of a literal: `"seconds": 0.0`."""
    is_duration = isinstance(key, ast.Constant) and key.value == "seconds"
    return is_duration and isinstance(value, ast.Constant) and value.value == 0


# ── assertions ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _conditions(tree: ast.AST) -> Iterator[ast.expr]:
    """Yield what a test asserts, fails or goes on by, and what its functions return."""
    for node in ast.walk(tree):
        match node:
            case ast.Assert(test=test) | ast.While(test=test):
                yield test
            case ast.Return(value=ast.expr() as value):
                yield value
            case ast.Lambda(body=body):
                yield body


def _gives_up(statement: ast.stmt) -> bool:
    return any(
        isinstance(node, ast.Raise) or (isinstance(node, ast.Attribute) and node.attr in {"fail", "skip", "xfail"})
        for node in ast.walk(statement)
    )


def _given_up_by(tree: ast.AST) -> Iterator[ast.expr]:
    """Yield what a test fails by: the contrary of it is what it asserts."""
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and any(map(_gives_up, node.body)):
            yield node.test


def _smaller_and_larger(node: ast.Compare) -> Iterator[tuple[ast.expr, ast.expr]]:
    sides = [node.left, *node.comparators]
    for left, how, right in zip(sides, node.ops, sides[1:], strict=False):
        if isinstance(how, ast.Lt | ast.LtE):
            yield left, right
        elif isinstance(how, ast.Gt | ast.GtE):
            yield right, left


def _is_bound(smaller: ast.expr, larger: ast.expr, names: _Names) -> bool:
    if _is_duration(smaller, names):
        return True
    if any(map(_reads_clock, ast.walk(smaller))):  # now < a moment that was fixed before
        return not any(map(_reads_clock, ast.walk(larger)))
    return _holds(smaller, names.instants) and (_holds(larger, names.deadlines) or _is_deadline(larger, names))


# ── readings, and what is made of them ───────────────────────────────────────────────────────────────────────────────


def _reads_clock(node: ast.AST) -> bool:
    match node:
        case ast.Call(func=ast.Name(id=name)):
            return name in _CLOCKS
        case ast.Call(func=ast.Attribute(attr=name, value=owner)):
            return name in _CLOCKS or (name in _SHORT_NAMES and _last(owner) in _OWNERS)
        case _:
            return False


def _last(node: ast.AST) -> str:
    """Return the name that an expression ends with."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Subscript(value=inner) | ast.Call(func=inner):
            return _last(inner)
        case _:
            return ""


def _holds(node: ast.AST, names: set[str]) -> bool:
    return any(isinstance(inner, ast.Name | ast.Attribute) and _last(inner) in names for inner in ast.walk(node))


def _is_instant(node: ast.AST, names: _Names) -> bool:
    return _holds(node, names.instants | names.deadlines) or any(map(_reads_clock, ast.walk(node)))


def _is_deadline(node: ast.AST, names: _Names) -> bool:
    return any(
        isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.Add) and _is_instant(inner, names)
        for inner in ast.walk(node)
    )


def _is_duration(node: ast.AST, names: _Names) -> bool:
    for inner in ast.walk(node):
        match inner:
            case ast.BinOp(op=ast.Sub(), left=left, right=right) if not isinstance(right, ast.Constant):
                if _is_instant(left, names):
                    return True
            case ast.Name() | ast.Attribute() | ast.Call():
                name = _last(inner)
                if name in names.durations or _DURATION_WORDS & set(name.split("_")):
                    return True
    return False


def _names(tree: ast.AST) -> _Names:
    names = _Names()
    for _ in range(3):  # a name from a name from a name
        for node in ast.walk(tree):
            for targets, value in _bindings(node):
                if isinstance(value, ast.Lambda):
                    value = value.body  # noqa: PLW2901 - what it gives is what counts
                given = {name for name in map(_last, targets) if name}
                if _is_duration(value, names):
                    names.durations |= given
                elif _is_deadline(value, names):
                    names.deadlines |= given
                elif _reads_clock(value) or (isinstance(value, ast.Name) and value.id in names.instants):
                    names.instants |= given
                elif _is_number(value):
                    names.short |= {name for name in given if name.isupper()}
    return names


def _bindings(node: ast.AST) -> Iterator[tuple[Sequence[ast.AST], ast.expr]]:
    """Yield what gets a value, and the value: by `=`, `:=` or `append`, or as what a function returns."""
    match node:
        case ast.Assign(targets=[ast.Tuple(elts=many)], value=ast.Tuple(elts=values)) if len(many) == len(values):
            for one, value in zip(many, values, strict=True):
                yield [one], value
        case ast.Assign(targets=targets, value=value):
            yield targets, value
        case ast.AnnAssign(target=target, value=ast.expr() as value) | ast.NamedExpr(target=target, value=value):
            yield [target], value
        case ast.Call(func=ast.Attribute(attr="append", value=target), args=[value]):
            yield [target], value
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            for inner in ast.walk(node):
                if isinstance(inner, ast.Return) and isinstance(inner.value, ast.BinOp | ast.Call | ast.Name):
                    yield [ast.Name(id=name)], inner.value


# ── time-outs ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _timeouts(call: ast.Call) -> Iterable[ast.expr]:
    """Yield the time-outs that a call is given."""
    name = _last(call.func)
    for word in call.keywords:
        if word.arg in _TIMEOUT_WORDS or (name in _WAITS and word.arg == "seconds"):
            yield word.value
    is_text = isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Constant)  # ", ".join(…)
    for option, given in zip(call.args, call.args[1:], strict=False):
        if isinstance(option, ast.Constant) and option.value == "--timeout" and isinstance(given, ast.Constant):
            with suppress(TypeError, ValueError):
                seconds = float(given.value)
                # Less than a second is given where time is to be up.
                yield ast.copy_location(ast.Constant(seconds if seconds >= 1 else 0), given)
    place = _WAITS.get(name)
    if place is not None and not is_text and len(call.args) > place:
        yield call.args[place]


def _is_short(node: ast.expr, names: _Names) -> bool:
    if isinstance(node, ast.BinOp):
        return any(_is_short(side, names) for side in (node.left, node.right) if not isinstance(side, ast.Constant))
    return _is_number(node) or (
        isinstance(node, ast.Name) and node.id in names.short and not node.id.startswith("SHORT_")
    )


def _is_number(node: ast.expr) -> bool:
    """Tell whether it is a number of seconds that is too low; 0 means not to wait at all."""
    match node:
        case ast.Constant(value=int() | float() as seconds):
            return 0 < seconds < HANG_SECONDS and seconds is not True
        case _:
            return False


def _is_httpx(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and _last(call.func.value) == "httpx" and call.func.attr in _HTTPX
