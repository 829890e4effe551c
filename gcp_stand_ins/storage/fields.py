"""Partial responses: the `fields` parameter, such as `items(name,size),nextPageToken`."""

from __future__ import annotations

from typing import Any

from gcp_stand_ins.storage.wire import ApiError

Mask = dict[str, "Mask"]
"""What to keep of an object, by field; an empty mask keeps all."""


def parse_fields(text: str) -> Mask:
    """Return the mask that `text` describes.

    Raises:
        ApiError: 400, it is malformed.
    """
    mask, at = _parse_list(text, 0)
    if at != len(text):
        raise ApiError(400, f"Invalid field selection {text!r}: unexpected {text[at]!r} at position {at}.")
    return mask


def _parse_list(text: str, at: int) -> tuple[Mask, int]:
    mask: Mask = {}
    while True:
        level = mask
        while True:
            start = at
            while at < len(text) and text[at] not in "/(),":
                at += 1
            name = text[start:at].strip()
            if not name:
                raise ApiError(400, f"Invalid field selection {text!r}: a name is missing at position {start}.")
            level = level.setdefault(name, {})
            if at < len(text) and text[at] == "/":
                at += 1
                continue
            break
        if at < len(text) and text[at] == "(":
            inner, at = _parse_list(text, at + 1)
            if at >= len(text) or text[at] != ")":
                raise ApiError(400, f"Invalid field selection {text!r}: '(' is not closed.")
            level.update(inner)
            at += 1
        if at < len(text) and text[at] == ",":
            at += 1
            continue
        return mask, at


def apply_mask(document: Any, mask: Mask) -> Any:
    """Return what `mask` keeps of a JSON document."""
    if not mask or "*" in mask:
        return document
    if isinstance(document, list):
        return [apply_mask(one, mask) for one in document]
    if not isinstance(document, dict):
        return document
    return {name: apply_mask(document[name], inner) for name, inner in mask.items() if name in document}
