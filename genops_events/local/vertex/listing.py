"""List calls: filters, pages, newest first."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from genops_events.local.vertex.errors import invalid

MAX_PAGE_SIZE = 100

View = Mapping[str, Any]
Predicate = Callable[[View], bool]

_TERM = re.compile(
    r"""\s*(?P<not>NOT\s+|-)?
        (?P<field>[A-Za-z_]+(?:\.(?:"[^"]+"|[\w\-]+))?)
        \s*(?P<operator>!=|=|:)\s*
        (?P<value>"(?:[^"\\]|\\.)*"|\*|[^\s"()]+)\s*""",
    re.VERBOSE,
)
_AND = re.compile(r"AND\s+|(?=[A-Za-z_\-])")


def parse_filter(text: str, *, fields: Mapping[str, str]) -> Predicate:
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
        position = match.end()
    return lambda view: all(term(view) for term in terms)


def _term(match: re.Match[str], fields: Mapping[str, str]) -> Predicate:
    """Return the predicate of one `field operator value`."""
    field, _, key = match["field"].partition(".")
    key = key.strip('"')
    value = match["value"]
    quoted = value.startswith('"')
    if quoted:
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
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

    A page token names the last resource of its page, so what is created between two pages neither repeats nor hides one.

    Args:
        resources: sort key, which grows with the time of creation, and how to make the view, for each resource.
        field: name of the list in the answer.
        query: the call's `pageSize`, `pageToken` and `filter`.
        fields: as for `parse_filter`.

    Raises:
        ApiError: page size, token or filter is not valid.
    """
    matches = parse_filter(query.get("filter", ""), fields=fields)
    size = _page_size(query.get("pageSize", "0"))
    after = _read_token(query.get("pageToken", ""))
    found: list[View] = []
    last = ""
    for key, make in sorted(resources, key=lambda one: one[0], reverse=True):
        if after and key >= after:
            continue
        view = make()
        if not matches(view):
            continue
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
