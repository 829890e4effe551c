"""Load jobs whose file comes with them: multipart in one request, or resumable in several."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import Any

from gcp_stand_ins.bigquery.errors import ApiError, invalid, not_found

_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


@dataclass(frozen=True, slots=True)
class Uploads:
    """Files that are being uploaded, on disk, so that a kill does not lose them.

    Args:
        folder: holds them.
    """

    folder: Path

    def split(self, content_type: str, body: bytes) -> tuple[dict[str, Any], Path]:
        """Return the job and the file of a multipart upload.

        Raises:
            ApiError: it has not two parts.
        """
        header = BytesHeaderParser().parsebytes(b"content-type: " + content_type.encode("latin-1") + b"\r\n\r\n")
        boundary = header.get_boundary()
        if boundary is None:
            raise invalid("A multipart upload needs a boundary in its Content-Type.")
        parts = (b"\r\n" + body).split(b"\r\n--" + boundary.encode("latin-1"))[1:-1]
        if len(parts) != 2:  # noqa: PLR2004 - the job, and its file
            raise invalid(f"A multipart upload has two parts, the job and its file; found {len(parts)}.")
        contents = [one.partition(b"\r\n\r\n")[2] for one in parts]
        file = self._file()
        file.write_bytes(contents[1])
        return _resource(contents[0]), file

    def begin(self, body: bytes) -> str:
        """Take the job of a resumable upload; return the session's id."""
        session = uuid.uuid4().hex
        (self.folder / f"{session}.json").write_text(json.dumps(_resource(body)))
        (self.folder / f"{session}.part").touch()
        return session

    def go_on(self, session: str, headers: Mapping[str, str], body: bytes) -> tuple[dict[str, Any], Path] | int:
        """Take a chunk; return job and file once all has come, and how many bytes there are before.

        Raises:
            ApiError: there is no such session, or the chunk does not fit.
        """
        part = self.folder / f"{session}.part"
        if not re.fullmatch(r"[0-9a-f]{32}", session) or not part.exists():
            raise not_found("Upload", session)
        there = part.stat().st_size
        match = _RANGE.fullmatch(headers.get("content-range", f"bytes 0-{max(0, len(body) - 1)}/{len(body)}"))
        if match is None:
            raise invalid(f"Invalid Content-Range: {headers.get('content-range')}")
        first, last, total = match.groups()
        if first is not None:
            if int(first) > there or int(last) - int(first) + 1 != len(body):
                raise ApiError("invalid", f"The chunk begins at {first}; {there} bytes are here.", status=416)
            with part.open("rb+") as file:
                file.seek(int(first))
                file.write(body)
                file.truncate()
            there = part.stat().st_size
        if total == "*" or there < int(total):
            return there
        kept = self._file()
        part.rename(kept)
        resource = json.loads((self.folder / f"{session}.json").read_text())
        (self.folder / f"{session}.json").unlink()
        return resource, kept

    def _file(self) -> Path:
        return self.folder / f"{uuid.uuid4().hex}.media"


def _resource(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError as error:
        raise ApiError("parseError", f"Parse Error: the job is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise ApiError("parseError", "Parse Error: the job has to be a JSON object.")
    return found
