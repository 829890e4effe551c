"""Listing objects in pages: prefix, delimiter, offsets, glob and versions, in UTF-8 order of names."""

from __future__ import annotations

import base64
import binascii
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from gcp_stand_ins.storage.buckets import Buckets
from gcp_stand_ins.storage.database import Database
from gcp_stand_ins.storage.globs import glob_pattern
from gcp_stand_ins.storage.objects import COLUMNS, stored_object
from gcp_stand_ins.storage.resources import StoredObject
from gcp_stand_ins.storage.wire import Answer, ApiError, Call, Resource, json_answer

_PAGE_LIMIT = 1000
_LAST_CHARACTER = 0x10FFFF


@dataclass(frozen=True, slots=True)
class Selection:
    """What a list call asks for."""

    bucket: str
    prefix: str
    delimiter: str
    start: str
    """First name, inclusive."""
    end: str | None
    """First name that is too far, None for no end."""
    glob: re.Pattern[str] | None
    versions: bool
    trailing_delimiter: bool
    """Whether an object named exactly like a prefix is an item too."""
    limit: int

    @classmethod
    def of_call(cls, call: Call, bucket: str) -> Selection:
        """Return what the query asks for.

        Raises:
            ApiError: 400 for a value of the wrong form, 501 for what this stand-in does not have.
        """
        for missing in ("softDeleted", "filter"):
            if call.query.get(missing, "false").lower() != "false":
                raise ApiError(501, f"The local Cloud Storage cannot list by {missing}; leave it out.")
        query = call.query
        asked = call.number("maxResults")
        if asked is not None and asked < 0:
            raise ApiError(400, f"Invalid value for maxResults: {asked} is negative.")
        prefix = query.get("prefix", "")
        ends = [one for one in (query.get("endOffset") or None, successor(prefix)) if one is not None]
        return cls(
            bucket=bucket,
            prefix=prefix,
            delimiter=query.get("delimiter", ""),
            start=max(prefix, query.get("startOffset", "")),
            end=min(ends) if ends else None,
            glob=glob_pattern(query["matchGlob"]) if query.get("matchGlob") else None,
            versions=call.flag("versions"),
            trailing_delimiter=call.flag("includeTrailingDelimiter"),
            limit=min(asked or _PAGE_LIMIT, _PAGE_LIMIT),
        )

    def common_prefix(self, name: str) -> str | None:
        """Return the prefix that `name` is rolled up into, None when it is an item."""
        if not self.delimiter:
            return None
        at = name.find(self.delimiter, len(self.prefix))
        return None if at < 0 else name[: at + len(self.delimiter)]


class Listing:
    """The call that lists objects.

    Args:
        database: where they are.
        buckets: the bucket has to exist.
    """

    def __init__(self, database: Database, buckets: Buckets) -> None:
        self._database = database
        self._buckets = buckets

    async def page(self, call: Call, bucket: str) -> Answer:
        """Return a page of objects and common prefixes."""
        self._buckets.find(bucket)
        wanted = Selection.of_call(call, bucket)
        token = call.query.get("pageToken")
        name, generation = _parse_token(token) if token else (wanted.start, -1)
        items: list[Resource] = []
        prefixes: list[str] = []
        page: Resource = {"kind": "storage#objects"}
        for found in self._entries(wanted, max(name, wanted.start), generation):
            if len(items) + len(prefixes) >= wanted.limit:
                page["nextPageToken"] = _token(name, generation)
                break
            if isinstance(found, str):
                prefixes.append(found)
                after = successor(found)
                if after is None:
                    break
                name, generation = after, -1
            else:
                items.append(found.on_wire(call.base_url))
                name, generation = found.name, found.generation
        if items:
            page["items"] = items
        if prefixes:
            page["prefixes"] = prefixes
        return json_answer(page)

    def _entries(self, wanted: Selection, name: str, generation: int) -> Iterator[StoredObject | str]:
        """Yield items and common prefixes after (`name`, `generation`), in order."""
        while True:
            for row in self._rows(wanted, name, generation):
                name, generation = row[1], row[2]
                if wanted.glob is not None and not wanted.glob.fullmatch(name):
                    continue
                prefix = wanted.common_prefix(name)
                if prefix is None:
                    yield stored_object(row)
                    continue
                if name == prefix and wanted.trailing_delimiter:
                    yield stored_object(row)
                yield prefix
                # Everything else under this prefix is passed over without being read.
                after = successor(prefix)
                if after is None:
                    return
                name, generation = after, -1
                break
            else:
                return

    def _rows(self, wanted: Selection, name: str, generation: int) -> sqlite3.Cursor:
        """Return the rows from there on; none is read before it is asked for, since a prefix passes over many."""
        which = "" if wanted.versions else "live = 1 AND "
        before = "" if wanted.end is None else " AND name < :end"
        return self._database.execute(
            f"SELECT {COLUMNS} FROM objects WHERE {which}bucket = :bucket AND name >= :name"  # noqa: S608 - constants
            f" AND (name > :name OR generation > :generation){before} ORDER BY name, generation",
            {"bucket": wanted.bucket, "name": name, "generation": generation, "end": wanted.end},
        )


def successor(prefix: str) -> str | None:
    """Return the first string after all that begin with `prefix`, None when there is none."""
    for at in range(len(prefix) - 1, -1, -1):
        number = ord(prefix[at])
        if number < _LAST_CHARACTER:
            # Surrogates are no characters of their own and have no UTF-8.
            number = 0xE000 if number + 1 == 0xD800 else number + 1  # noqa: PLR2004
            return prefix[:at] + chr(number)
    return None


def _token(name: str, generation: int) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode([name, generation])).decode()


def _parse_token(token: str) -> tuple[str, int]:
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(token), type=tuple[str, int])
    except (binascii.Error, msgspec.DecodeError, ValueError):
        raise ApiError(400, f"Invalid pageToken: {token!r} did not come from this list call.") from None
