"""Subscription filters: the language of `Subscription.filter`, parsed once into a predicate over attributes.

Grammar (https://cloud.google.com/pubsub/docs/subscription-message-filter#filtering_syntax):

    filter    = condition { "AND" condition } | condition { "OR" condition }
    condition = [ "NOT" | "-" ] ( comparison | "(" filter ")" )
    comparison = "attributes" ":" key | "attributes" "." key ( "=" | "!=" ) string
               | "hasPrefix" "(" "attributes" "." key "," string ")"

AND and OR are not mixed without parentheses, as in the service.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Predicate = Callable[[Mapping[str, str]], bool]

MAX_FILTER_BYTES = 256

_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:[^"\\]|\\.)*")|(?P<word>[A-Za-z0-9_][A-Za-z0-9_\-]*)|(?P<symbol>!=|[=:.,()\-]))""",
    re.VERBOSE,
)


class FilterError(ValueError):
    """The filter cannot be understood; the text says where and what was expected."""


def everything(_: Mapping[str, str]) -> bool:
    """Let every message through: the filter that is not there."""
    return True


def parse(text: str) -> Predicate:
    """Return the predicate that `text` describes.

    Raises:
        FilterError: the text is too long or not in the grammar.
    """
    if not text.strip():
        return everything
    if len(text.encode()) > MAX_FILTER_BYTES:
        raise FilterError(f"the filter has {len(text.encode())} bytes; at most {MAX_FILTER_BYTES} are allowed")
    parser = _Parser(text, _tokens(text))
    predicate = parser.filter()
    parser.expect_end()
    return predicate


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    position: int


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    position = 0
    end = len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise FilterError(f"unexpected {text[position:].lstrip()[:1]!r} in the filter {text!r}")
        tokens.append(_Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
        position = match.end()
    return tokens


class _Parser:
    def __init__(self, text: str, tokens: list[_Token]) -> None:
        self._text = text
        self._tokens = tokens
        self._at = 0

    def filter(self) -> Predicate:
        conditions = [self._condition()]
        joint = ""
        while (word := self._peek()) in {"AND", "OR"}:
            if joint and word != joint:
                raise FilterError(f"AND and OR are mixed without parentheses in the filter {self._text!r}")
            joint = word
            self._at += 1
            conditions.append(self._condition())
        if len(conditions) == 1:
            return conditions[0]
        combine = all if joint == "AND" else any
        return lambda attributes: combine(one(attributes) for one in conditions)

    def expect_end(self) -> None:
        if self._at < len(self._tokens):
            raise self._unexpected("AND, OR or the end")

    def _condition(self) -> Predicate:
        word = self._peek()
        if word in {"NOT", "-"}:
            self._at += 1
            negated = self._condition()
            return lambda attributes: not negated(attributes)
        if word == "(":
            self._at += 1
            inner = self.filter()
            self._take(")")
            return inner
        if word == "hasPrefix":
            return self._has_prefix()
        return self._comparison()

    def _has_prefix(self) -> Predicate:
        self._at += 1
        self._take("(")
        self._take("attributes")
        self._take(".")
        key = self._key()
        self._take(",")
        prefix = self._string()
        self._take(")")
        return lambda attributes: attributes.get(key, "").startswith(prefix) and key in attributes

    def _comparison(self) -> Predicate:
        self._take("attributes")
        if self._peek() == ":":
            self._at += 1
            present = self._key()
            return lambda attributes: present in attributes
        self._take(".")
        key = self._key()
        operator = self._peek()
        if operator not in {"=", "!="}:
            raise self._unexpected("= or !=")
        self._at += 1
        value = self._string()
        if operator == "=":
            return lambda attributes: attributes.get(key) == value
        # A message without the attribute is unequal too.
        return lambda attributes: attributes.get(key) != value

    def _peek(self) -> str:
        """Return the next word or symbol; never a quoted string, which could read like one."""
        if self._at < len(self._tokens) and self._tokens[self._at].kind != "string":
            return self._tokens[self._at].text
        return ""

    def _take(self, expected: str) -> None:
        if self._peek() != expected:
            raise self._unexpected(repr(expected))
        self._at += 1

    def _key(self) -> str:
        if self._at < len(self._tokens) and self._tokens[self._at].kind == "word":
            self._at += 1
            return self._tokens[self._at - 1].text
        return self._string()

    def _string(self) -> str:
        if self._at >= len(self._tokens) or self._tokens[self._at].kind != "string":
            raise self._unexpected('a "quoted" string')
        token = self._tokens[self._at]
        try:
            value = ast.literal_eval(token.text.replace("\n", "\\n"))
        except (SyntaxError, ValueError) as error:
            raise FilterError(f"the string {token.text} in the filter has a bad escape: {error}") from error
        self._at += 1
        return str(value)

    def _unexpected(self, expected: str) -> FilterError:
        if self._at >= len(self._tokens):
            return FilterError(f"the filter {self._text!r} ends where {expected} is expected")
        token = self._tokens[self._at]
        return FilterError(
            f"found {token.text!r} at position {token.position} of the filter {self._text!r} where {expected} is expected"
        )
