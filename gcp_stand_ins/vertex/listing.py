"""List calls: filters, pages, newest first."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from gcp_stand_ins.vertex.errors import invalid

MAX_PAGE_SIZE = 100

View = Mapping[str, Any]


class Fields(Protocol):
    """What a filter asks for its values: a view, or something that is quicker to make."""

    def get(self, name: str, default: Any, /) -> Any:
        """Return the value of a field of the resource's JSON."""


Predicate = Callable[[Fields], bool]

_TERM = re.compile(
    r"""\s*(?P<not>NOT\s+|-)?
        (?P<field>[A-Za-z_]+(?:\.(?:"[^"]+"|[\w\-]+))?)
        \s*(?P<operator>!=|=|:)\s*
        (?P<value>"(?:[^"\\]|\\.)*"|\*|[^\s"()]+)\s*""",
    re.VERBOSE,
)
_AND = re.compile(r"AND\s+|(?=[A-Za-z_\-])")


@dataclass(frozen=True, slots=True)
class Filter:
    """What a list filter asks.

    Args:
        matches: tells whether a resource is asked for.
        label: a label, with its value, that every such resource has; None where the filter names none.
    """

    matches: Predicate
    label: tuple[str, str] | None = None


def parse_filter(text: str, *, fields: Mapping[str, str]) -> Filter:
    """Return what a list filter asks of a resource.

    Understands `labels.key="value"`, `labels.key:value`, `labels.key:*` and `field="value"`, each optionally with
    `!=`, `NOT` or a leading `-`, joined by `AND` or a blank.

    Args:
        text: the filter; empty takes everything.
        fields: the fields that can be asked for, each with its name in the resource's JSON.

    Raises:
        ApiError: the filter says something that is not understood.
    """
    terms: list[Predicate] = []
    label = None
    position = 0
    while position < len(text.rstrip()):
        if terms:
            joint = _AND.match(text, position)
            position = joint.end() if joint else position
        match = _TERM.match(text, position)
        if match is None or match["value"] in ("AND", "OR"):
            raise invalid(
                f"Invalid filter {text!r} at {text[position:]!r}. Understood: labels.KEY=VALUE, labels.KEY:VALUE, "
                f"labels.KEY:*, and = or != on {', '.join(sorted(fields))}, joined by AND."
            )
        terms.append(_term(match, fields))
        label = label or _required_label(match)
        position = match.end()
    return Filter(lambda view: all(term(view) for term in terms), label)


def _required_label(match: re.Match[str]) -> tuple[str, str] | None:
    """Return the label that a term requires to have one value."""
    field, _, key = match["field"].partition(".")
    value = match["value"]
    if field != "labels" or not key or match["not"] or match["operator"] == "!=" or value == "*":
        return None
    return key.strip('"'), _unquoted(value)


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value


def _term(match: re.Match[str], fields: Mapping[str, str]) -> Predicate:
    """Return the predicate of one `field operator value`."""
    field, _, key = match["field"].partition(".")
    key = key.strip('"')
    value = match["value"]
    quoted = value.startswith('"')
    value = _unquoted(value)
    negated = bool(match["not"]) != (match["operator"] == "!=")
    if field == "labels" and (key or match["operator"] == ":"):
        # `labels:key` and `labels.key:*` ask whether the label is there.
        if not key or (value == "*" and not quoted):
            name = key or value
            return lambda view: (name in view.get("labels", {})) != negated
        return lambda view: (view.get("labels", {}).get(key) == value) != negated
    if key or field not in fields:
        raise invalid(f"Invalid filter field {match['field']!r}; known are labels.KEY, {', '.join(sorted(fields))}.")
    name = fields[field]
    return lambda view: (str(view.get(name, "")) == value) != negated


def page(
    resources: Iterable[tuple[str, Callable[[], View]]],
    *,
    field: str,
    query: Mapping[str, str],
    fields: Mapping[str, str],
) -> dict[str, object]:
    """Return one page of a list answer, newest first.

    Args:
        resources: sort key, which grows with the time of creation, and how to make the view, for each resource.
        field: name of the list in the answer.
        query: the call's `pageSize`, `pageToken` and `filter`.
        fields: as for `parse_filter`.

    Raises:
        ApiError: page size, token or filter is not valid.
    """
    asked = read_query(query, fields=fields)
    ordered = sorted(resources, key=lambda one: one[0], reverse=True)
    views = ((key, make()) for key, make in ordered if not asked.after or key < asked.after)
    return fill_page(((key, view) for key, view in views if asked.filter.matches(view)), field=field, size=asked.size)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a list call asks for.

    Args:
        after: sort key of the last resource of the page before; empty for the first page.
    """

    filter: Filter
    size: int
    after: str


def read_query(query: Mapping[str, str], *, fields: Mapping[str, str]) -> Asked:
    """Return what the `pageSize`, `pageToken` and `filter` of a list call ask for.

    Raises:
        ApiError: one of them is not valid.
    """
    return Asked(
        filter=parse_filter(query.get("filter", ""), fields=fields),
        size=_page_size(query.get("pageSize", "0")),
        after=_read_token(query.get("pageToken", "")),
    )


def fill_page(views: Iterable[tuple[str, View]], *, field: str, size: int) -> dict[str, object]:
    """Return a page of the first `size` of these views, each with its sort key, and how to get the next page.

    A page token names the last resource of its page, so what is created between two pages neither repeats nor hides one.
    """
    found: list[View] = []
    last = ""
    for key, view in views:
        if len(found) == size:
            return {field: found, "nextPageToken": base64.urlsafe_b64encode(last.encode()).decode()}
        found.append(view)
        last = key
    return {field: found} if found else {}


def _page_size(text: str) -> int:
    if not text.lstrip("-").isdigit() or int(text) < 0:
        raise invalid(f"pageSize must be a number from 0 to {MAX_PAGE_SIZE}; found {text!r}.")
    return min(int(text) or MAX_PAGE_SIZE, MAX_PAGE_SIZE)


def _read_token(text: str) -> str:
    try:
        return base64.urlsafe_b64decode(text).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise invalid(f"Invalid pageToken {text!r}: pass the nextPageToken of the page before, unchanged.") from None
