"""Take secrets out of a log before anybody else reads it: by their forms, by their names, and by their values. No I/O.

No rule knows every secret by its form. What is masked here is a second net below Airflow's own masker, which
knows the values of connections and variables; it takes too much rather than too little.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

MASK = "***"
MOST_RAW_CHARACTERS = 1_000_000
"""Of a log that is looked through; earlier lines are left out whole."""
_SHORTEST_VALUE = 6
_NO_SECRETS = {"airflow"}
"""Values that Airflow does not mask, either: its usual password stands in every path."""

_SENSITIVE = (
    r"passw(?:or)?d|pwd|passphrase|(?<![a-z])pass(?:code)?(?![a-z])|(?<![a-z])pw(?![a-z])|"
    r"secret|api[_-]?key|access[_-]?key|private[_-]?key|service[_-]?key|fernet[_-]?key|keyfile|"
    r"credentials?|connection[_-]?string|dsn|sql_alchemy_conn|webhook(?:[_-]?url)?|signature|session[_-]?id"
)
_VALUE = r"(?:\\+\"[^\"]*\"?|\"(?:[^\"\\]|\\.)*\"?|'(?:[^'\\]|\\.)*'?|\S+)"
# JSON within JSON escapes its quotes; a list of pairs has a comma between name and value.
_SIGN = r"(?:(?:\\*[\"'])?\s*(?:[:=]|=>)\s*|\\*[\"']\s*,\s*)"

# In this order: what ends at a mark of its own comes before what ends at a blank. Each takes time in proportion to the text,
# also where that is one word of a million characters: what comes before a name is not looked at, and repetitions have bounds.
_FORMS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(form), mask)
    for form, mask in (
        # A private key; also one whose begin or end is not part of the log.
        (r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", MASK),
        (r"(?s)\A.*-----END [A-Z ]*PRIVATE KEY-----", MASK),
        # Headers: whatever the scheme is, the rest of the line.
        (r"(?im)\b((?:proxy-)?authorization|(?:set-)?cookie)\b([\"']?\s*[:=]\s*).*$", rf"\1\2{MASK}"),
        (r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}", rf"\1 {MASK}"),
        # scheme://user:password@host
        (r"(?i)\b([a-z][a-z0-9+.-]{0,30}://)[^\s\"'<>]{0,1000}@", rf"\1{MASK}@"),
        (r"https://hooks\.slack\.com/\S+", MASK),
        # password=…, "api_key": "…"; a token that is a number is a count of tokens.
        (rf"(?i)((?:{_SENSITIVE})[\w-]{{0,64}}{_SIGN}){_VALUE}", rf"\1{MASK}"),
        (rf"(?i)(token[\w-]{{0,64}}{_SIGN})(?!\d[\d,.]*(?:\W|$)){_VALUE}", rf"\1{MASK}"),
        # --password …, curl -u user:password, <password>…</password>
        (rf"(?i)(?<!\S)(--?[\w-]{{0,40}}(?:{_SENSITIVE}|token)[\w-]{{0,40}}[ \t]+)(?!-){_VALUE}", rf"\1{MASK}"),
        (r"(?<!\S)((?:-u|--user)[ \t]+)\S+:\S+", rf"\1{MASK}"),
        (rf"(?i)(<[^<>/]{{0,40}}(?:{_SENSITIVE}|token)[^<>]{{0,40}}>)[^<]+(?=</)", rf"\1{MASK}"),
        (r"(?i)([?&](?:x-goog-signature|x-goog-credential|x-amz-[a-z-]+|sig|key|code)=)[^&\s\"']+", rf"\1{MASK}"),
        # Keys that tell by their begin whose they are: Google, Amazon, GitHub, GitLab, Slack, Hugging Face, model services.
        (r"\bAIza[\w-]{16,}", MASK),
        (r"\bya29\.[\w.-]+", MASK),
        (r"\bGOCSPX-[\w-]+", MASK),
        (r"(?<!\w)1//[\w-]{20,}", MASK),
        (r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b", MASK),
        (r"\b(?:gh[pousr]_|github_pat_|glpat-|hf_|xox[abeprs]-)[\w-]{8,}", MASK),
        (r"\b(?:sk|rk|pk)[-_][\w-]{16,}", MASK),
        (r"\beyJ[\w-]{8,}(?:\.[\w-]*){0,4}", MASK),  # a JSON Web Token
        # Whatever looks drawn at random: hexadecimal, base64, base64 in lines.
        (r"\b[0-9a-fA-F]{32,}\b", MASK),
        (r"(?<![\w/])(?=[A-Za-z0-9+/]*\d)(?=[\d+/a-z]*[A-Z])(?=[\d+/A-Z]*[a-z])[A-Za-z0-9+/]{60,}={0,2}", MASK),
        (r"(?<![\w+=-])(?=[\w+=-]*\d)(?=[a-z\d_+=-]*[A-Z])(?=[A-Z\d_+=-]*[a-z])[A-Za-z0-9_+=-]{32,}", MASK),
        # People.
        (r"\b[\w.+-]{1,64}@[\w-]{1,64}\.[\w.-]+\b", MASK),
    )
)
_NO_SECRETS_IN = {"PWD", "OLDPWD"}
"""Folders that a shell works in, whatever their names sound like."""
_SENSITIVE_NAME = re.compile(rf"(?i){_SENSITIVE}|token|_key$|auth|conn")
_WITHIN = re.compile(r"://[^\s:/@]*:([^\s@]+)@|\"password\"\s*:\s*\"((?:[^\"\\]|\\.)+)\"")
"""Passwords in the address of a database, or in a connection of Airflow that is written as JSON."""


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The end of a log, as it may be shown."""

    text: str
    left_out: int
    """Characters before it."""


def masked(text: str, *, values: Iterable[str] = ()) -> str:
    """Return `text` with every secret that its form or its name gives away replaced by `***`.

    Args:
        text: lines of a log.
        values: secrets that are known, wherever they stand.
    """
    for value in sorted(set(values), key=len, reverse=True):  # the longer one first: it may hold another
        text = text.replace(value, MASK)
    for form, mask in _FORMS:
        text = form.sub(mask, text)
    return text


def secret_values(environment: Mapping[str, str]) -> set[str]:
    """Return the values of an environment whose names say that they are secrets, and passwords within any value."""
    named = {
        value for name, value in environment.items() if name not in _NO_SECRETS_IN and _SENSITIVE_NAME.search(name)
    }
    # A log may tell the password of a connection without its address.
    within = {one for value in environment.values() for found in _WITHIN.findall(value) for one in found}
    within |= {unquote(one) for one in within}
    return {one for one in named | within if len(one) >= _SHORTEST_VALUE and one.lower() not in _NO_SECRETS}


def excerpt(text: str, *, most_characters: int, values: Iterable[str] = ()) -> Excerpt:
    """Return the end of a log, masked: an error stands at the end of it.

    Masked first and cut then: half a secret is not recognised. For the same reason, a log that is too long to be looked
    through is cut between lines.
    """
    recent = _from_a_line(text, MOST_RAW_CHARACTERS)
    shown = masked(recent, values=values)
    kept = _from_a_line(shown, most_characters) or shown[-most_characters:]
    return Excerpt(kept, len(text) - len(recent) + len(shown) - len(kept))


def _from_a_line(text: str, most: int) -> str:
    """Return the last whole lines of `text` that are at most so many characters."""
    if len(text) <= most:
        return text
    return text[len(text) - most - 1 :].partition("\n")[2]
