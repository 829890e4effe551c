"""The filter language: what is understood, what it lets through, and what is refused with the reason."""

from __future__ import annotations

import pytest

from gcp_stand_ins.pubsub.filters import FilterError, parse

EVENT = {"kind": "OBJECT_FINALIZE", "lang": "en", "iana.org/tag": "x", 'quo"te': "v"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("attributes:kind", True),
        ("attributes:other", False),
        ('attributes.kind = "OBJECT_FINALIZE"', True),
        ('attributes.kind="object_finalize"', False),
        ('attributes.kind != "x"', True),
        ('attributes.other != "x"', True),
        ('hasPrefix(attributes.kind, "OBJECT_")', True),
        ('hasPrefix(attributes.other, "")', False),
        ('attributes:"iana.org/tag"', True),
        ('attributes."iana.org/tag" = "x"', True),
        (r'attributes."quo\"te" = "v"', True),
        ('attributes.lang = "\\u0065n"', True),
        ("NOT attributes:kind", False),
        ("-attributes:other", True),
        ("NOT (attributes:kind AND attributes:other)", True),
        ("attributes:kind AND attributes:lang AND NOT attributes:other", True),
        ("attributes:other OR attributes:lang", True),
        ("(attributes:other OR attributes:lang) AND attributes:kind", True),
        ("attributes:other OR (attributes:lang AND attributes:missing)", False),
        ('attributes.kind = "AND" OR attributes:lang', True),
    ],
)
def test_filter_says(text: str, *, expected: bool) -> None:
    assert parse(text)(EVENT) is expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("kind", "'attributes' is expected"),
        ("attributes", "ends where '.' is expected"),
        ("attributes.kind", "= or !="),
        ("attributes.kind = x", "string"),
        ('attributes.kind == "x"', "string"),
        ("attributes:kind AND", "ends"),
        ("attributes:kind attributes:lang", "AND, OR or the end"),
        ("attributes:a AND attributes:b OR attributes:c", "without parentheses"),
        ("(attributes:a", r"'\)' is expected"),
        ("attributes:a and attributes:b", "AND, OR or the end"),
        ('hasPrefix(attributes.a "x")', "','"),
        ("attributes:a ; attributes:b", "unexpected ';'"),
        ("attributes:" + "k" * 256, "at most 256"),
        (r'attributes.a = "\x"', "bad escape"),
    ],
)
def test_what_is_no_filter_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(FilterError, match=reason):
        parse(text)
