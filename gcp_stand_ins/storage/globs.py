"""Cloud Storage's `matchGlob` as a regular expression."""

from __future__ import annotations

import re

from gcp_stand_ins.storage.wire import ApiError

_TOKEN = re.compile(r"(?P<across>\*\*)|(?P<set>\[!?\]?[^\]]*\])|\\(?P<literal>.)|(?P<char>.)", re.DOTALL)


def glob_pattern(glob: str) -> re.Pattern[str]:
    """Return what a glob matches: `*` within a folder, `**` across folders, `?`, `[…]` and `{a,b}`.

    Raises:
        ApiError: 400, a bracket or brace is not closed.
    """
    out: list[str] = []
    depth = 0
    for token in _TOKEN.finditer(glob):
        char = token["char"]
        if token["across"]:
            out.append(".*")
        elif token["set"]:
            out.append(_set_pattern(token["set"][1:-1]))
        elif char == "[":
            raise ApiError(400, f"Invalid matchGlob {glob!r}: '[' is not closed.")
        elif char == "{" or (depth and char in {",", "}"}):
            depth += {"{": 1, "}": -1}.get(char, 0)
            out.append({"{": "(?:", ",": "|", "}": ")"}[char])
        else:
            out.append({"*": "[^/]*", "?": "[^/]"}.get(char or "") or re.escape(char or token["literal"]))
    if depth:
        raise ApiError(400, f"Invalid matchGlob {glob!r}: '{{' is not closed.")
    try:
        return re.compile("".join(out), re.DOTALL)
    except re.error as error:
        raise ApiError(400, f"Invalid matchGlob {glob!r}: {error}.") from None


def _set_pattern(inner: str) -> str:
    negated = inner.startswith("!")
    members = inner[negated:].replace("\\", r"\\").replace("[", r"\[").replace("]", r"\]").replace("^", r"\^")
    return f"[{'^' if negated else ''}{members}]"
