"""Recognise files of other forms that were uploaded in place of JSON Lines."""

from __future__ import annotations

import codecs

from genops_events.reading.json_lines import CR_ONLY, begins_with_cr_lines
from genops_events.reading.json_places import after_first_value

_SIGNATURES = (
    (b"\x1f\x8b", "a gzip archive"),
    (b"PK\x03\x04", "a zip archive or a spreadsheet"),
    (b"PAR1", "a Parquet file"),
    (b"Obj\x01", "an Avro file"),
    (b"%PDF", "a PDF document"),
    (codecs.BOM_UTF16_LE, "text in UTF-16 (save it as UTF-8)"),
    (codecs.BOM_UTF16_BE, "text in UTF-16 (save it as UTF-8)"),
)
_SEPARATORS = ((b"\t", "tab-separated values"), (b",", "CSV"), (b";", "CSV"))


def foreign_form(line: bytes, *, is_json: bool) -> str:
    """Return the form of the file that begins with this line, if it is not JSON Lines; else an empty text."""
    text = line.strip()
    form = next((name for signature, name in _SIGNATURES if line.startswith(signature)), "")
    if not form and b"\0" in text:
        form = "a binary file"
    elif not form and text.startswith(b"["):
        form = "one JSON array"
    elif not form and text and not is_json:
        form = _foreign_text(text)
    return form


def _foreign_text(text: bytes) -> str:
    if text.startswith(b"{"):
        if begins_with_cr_lines(text):
            return CR_ONLY
        if after_first_value(text) is not None:
            return ""
        # `{` or `{"contents": [` alone on a line: an object over several lines.
        return "JSON that is spread over several lines" if text.endswith((b"{", b"[", b",")) else ""
    if text.startswith(b"<"):
        return "XML or HTML"
    return next((name for separator, name in _SEPARATORS if separator in text), "plain text")
