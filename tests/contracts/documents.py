"""Google's discovery documents: which method a path is, what it takes, and what it answers.

They come with google-api-python-client, which the tests alone depend on; nothing of it but these files is used.
What their fields mean: https://developers.google.com/discovery/v1/reference/apis (read on 2026-11-30).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache, cached_property
from typing import Any

NAMES = {
    "storage": ("storage.v1",),
    "bigquery": ("bigquery.v2",),
    "vertex": ("aiplatform.v1", "aiplatform.v1beta1"),
}
"""The documents that a stand-in's paths may be of."""

_VARIABLE = re.compile(r"\{\+?(\w+)\}")


class Kind(Enum):
    """How the content of a method is sent."""

    PLAIN = "plain"
    UPLOAD = "upload"
    DOWNLOAD = "download"


@dataclass(frozen=True, slots=True)
class Method:
    """One method of a service.

    Args:
        id: its name, such as `storage.objects.insert`.
        verb: the HTTP method.
        shapes: its paths, each as its segments, with None where a segment is a variable.
        of: what the document says of it.
    """

    id: str
    verb: str
    shapes: tuple[tuple[tuple[str | None, ...], Kind], ...]
    of: Mapping[str, Any]

    @property
    def url_names(self) -> set[str]:
        """What the path already says, so that a body need not."""
        return set(_VARIABLE.findall(self.of["path"]))


class Document:
    """One discovery document.

    Args:
        whole: the document, read.
    """

    def __init__(self, whole: Mapping[str, Any]) -> None:
        self.name = f"{whole['name']}.{whole['version']}"
        self.revision: str = whole["revision"]
        self.parameters: Mapping[str, Any] = whole["parameters"]
        self.schemas: Mapping[str, Any] = whole["schemas"]
        self._whole = whole

    @cached_property
    def _methods(self) -> Mapping[_Key, list[_Shape]]:
        found: dict[_Key, list[_Shape]] = {}
        for method in _methods_below(self._whole, self._whole["servicePath"]):
            for shape, kind in method.shapes:
                found.setdefault(_key(method.verb, shape), []).append((shape, kind, method))
        return found

    @cached_property
    def _has_verbs(self) -> bool:
        """Whether a colon in a path begins a verb; in the name of an object it is a letter like any other."""
        return any(custom for _, _, _, custom in self._methods)

    def find(self, verb: str, path: str) -> tuple[Method, Kind] | None:
        """Return the method that a call is of; None where the service has none there.

        Args:
            verb: the HTTP method.
            path: as it came, undecoded.
        """
        given = path.lstrip("/").split("/")
        custom = given[-1].partition(":")[2] if self._has_verbs else ""
        before = given[-2] if len(given) > 1 else None
        keys = ((verb, len(given), one, custom) for one in (before, None))
        for shape, kind, method in (one for key in keys for one in self._methods.get(key, ())):
            if all(self._fits(want, have) for want, have in zip(shape, given, strict=True)):
                return method, kind
        if verb in ("PUT", "DELETE"):  # what follows the POST that began a resumable upload
            begun = self.find("POST", path)
            return begun if begun and begun[1] is Kind.UPLOAD else None
        return None

    def _fits(self, want: str | None, have: str) -> bool:
        if want is None:
            return bool(have) and not (self._has_verbs and ":" in have)
        if want.startswith("*:"):
            name, _, verb = have.partition(":")
            return bool(name) and verb == want[2:]
        return want == have


_Shape = tuple[tuple[str | None, ...], Kind, Method]
_Key = tuple[str, int, str | None, str]
"""HTTP method, number of segments, the last segment but one where it is fixed, the verb at the end: few methods share all of them."""


def _key(verb: str, shape: tuple[str | None, ...]) -> _Key:
    return verb, len(shape), shape[-2] if len(shape) > 1 else None, (shape[-1] or "").partition(":")[2]


def _methods_below(resource: Mapping[str, Any], prefix: str) -> Iterator[Method]:
    for one in resource.get("methods", {}).values():
        # flatPath spells out the segments that a variable of `path` may hold.
        paths = [(f"{prefix}{one.get('flatPath', one['path'])}", Kind.PLAIN)]
        uploads = one.get("mediaUpload", {}).get("protocols", {})
        paths += [(upload["path"], Kind.UPLOAD) for upload in uploads.values()]
        if one.get("useMediaDownloadService"):
            paths.append((f"download/{prefix}{one['path']}", Kind.DOWNLOAD))
        shapes = tuple((tuple(_segment(part) for part in path.lstrip("/").split("/")), kind) for path, kind in paths)
        yield Method(one["id"], one["httpMethod"], shapes, one)
    for below in resource.get("resources", {}).values():
        yield from _methods_below(below, prefix)


def _segment(part: str) -> str | None:
    """Return a segment of a path: itself, None for a variable, `*:verb` for a variable with a verb of its own."""
    variable, colon, verb = part.partition(":")
    if not _VARIABLE.fullmatch(variable):
        return part
    return f"*:{verb}" if colon else None


@cache
def document(name: str) -> Document:
    """Return a document by its name, such as `storage.v1`.

    Raises:
        RuntimeError: google-api-python-client is not installed.
    """
    try:
        from googleapiclient.discovery_cache import get_static_doc
    except ImportError:
        raise RuntimeError(
            "google-api-python-client is not installed: this environment is older than requirements.lock. Run `make install`, "
            "or `.venv/bin/python -m pip install --no-deps --require-hashes --requirement requirements.lock`."
        ) from None
    service, _, version = name.partition(".")
    return Document(json.loads(get_static_doc(service, version)))
