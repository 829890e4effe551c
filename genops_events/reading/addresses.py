"""Which objects may be read for somebody who names them: one rule for forms, rows of prompts and training lines. No I/O.

Who may start a Dag run has other rights than the account that the Dag runs with: an address that is typed into a form, or
that stands in a file which somebody uploaded, must not reach whatever that account may read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from genops_events.reading.object_names import ROOT

SCHEME = "gs://"
# Whoever may read what is decided by whole names; one that is too short for a bucket reads nothing, and says so of itself.
_BUCKET = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,220}[a-z0-9])?")
_UNREADABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff*\\\\]")
_MOST_NAME_BYTES = 1024
_MOST_DECODINGS = 5
_KEYS = ("fileUri", "file_uri")
_USERS_OWN = ("args", "response")
"""What a function is called with, and answers: data, in which nobody looks for files."""


@dataclass(frozen=True, slots=True)
class Readable:
    """The objects that may be read for whoever names them.

    Args:
        bucket: the one of genops.yaml: everything in it, but this project's own records.
        prefixes: more of them: `readable` of genops.yaml, `gs://BUCKET/` or `gs://BUCKET/FOLDER/`.
    """

    bucket: str
    prefixes: tuple[str, ...] = ()

    def problem(self, address: str) -> str | None:
        """Return why the object of this address is not read, as a sentence goes on after it; None where it may be."""
        # What one reader takes literally, another might decode: it must be allowed either way.
        for one in _readings(address):
            wrong = form_problem(one) or (None if self._allows(one) else self._refusal(one))
            if wrong is not None:
                return wrong
        return None

    def _allows(self, address: str) -> bool:
        bucket, _, name = address.removeprefix(SCHEME).partition("/")
        if bucket == self.bucket:
            return not name.startswith(ROOT)
        return address.startswith(self.prefixes)

    def _refusal(self, address: str) -> str:
        if address.startswith(f"{SCHEME}{self.bucket}/{ROOT}"):
            return f"lies below {ROOT}, where this project keeps its own records"
        return f"is neither in the bucket {self.bucket} nor below a prefix that `readable` in genops.yaml names"


def form_problem(address: str) -> str | None:
    """Return why this is no address of an object, whoever may read it; None where it is one.

    Cloud Storage takes names with `//`, `.` and `..` literally; what passes them on may not. So they are refused.
    """
    if not address.startswith(SCHEME):
        return "is no address of an object: it must read gs://BUCKET/OBJECT, and http(s) addresses are not fetched"
    bucket, _, name = address.removeprefix(SCHEME).partition("/")
    if _BUCKET.fullmatch(bucket) is None or not name or name.endswith("/"):
        return "names no object in a bucket: it must read gs://BUCKET/OBJECT"
    if _UNREADABLE.search(address) is not None:
        return "has a control character, half of a surrogate pair, a `*` or a backslash"
    if any(part in ("", ".", "..") for part in name.split("/")):
        return "has an empty part, `.` or `..` between its slashes"
    if len(name.encode()) > _MOST_NAME_BYTES:
        return f"names an object of more than {_MOST_NAME_BYTES:,} bytes"
    return None


def prefix_problem(prefix: str) -> str | None:
    """Return why nothing can lie below this prefix; None where it is `gs://BUCKET/` or `gs://BUCKET/FOLDER/`."""
    if not prefix.endswith("/"):
        return "should end with `/`, e.g. gs://other-bucket/folder/"
    return form_problem(f"{prefix}x")


def addresses_in(value: Any) -> Iterator[str]:
    """Yield the address of every file in contents, parts or a whole request, however deep: `fileUri`, in either spelling."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield from (one[key] for key in _KEYS if isinstance(one.get(key), str))
            waiting += [inner for key, inner in one.items() if key not in _USERS_OWN]
        elif isinstance(one, (list, tuple)):
            waiting += one


def _readings(address: str) -> Iterator[str]:
    """Yield the address as it is, and decoded, once and more often, as long as that changes it."""
    yield address
    for _ in range(_MOST_DECODINGS):
        decoded = unquote(address)
        if decoded == address:
            return
        address = decoded
        yield address
