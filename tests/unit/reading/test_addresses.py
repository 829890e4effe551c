from __future__ import annotations

import pytest
import yaml
from config_texts import example
from hypothesis import given
from hypothesis import strategies as st

from genops_events.config import parse_config
from genops_events.errors import ConfigError
from genops_events.reading.addresses import Readable, addresses_in, form_problem

READABLE = Readable("own-bucket", ("gs://partner/shared/", "gs://public-data/"))
EXAMPLE = example()


@pytest.mark.parametrize(
    "address",
    [
        "gs://own-bucket/a.pdf",
        "gs://own-bucket/training/ü 漢字.jsonl",
        "gs://own-bucket/100%/a%20b.pdf",
        "gs://own-bucket/genops-notes/a.pdf",
        "gs://own-bucket/x/genops/a.pdf",
        "gs://partner/shared/deep/er/a.pdf",
        "gs://public-data/a",
        "gs://own-bucket/a?b#c@d.pdf",
    ],
)
def test_the_own_bucket_and_what_genops_yaml_names_may_be_read(address: str) -> None:
    assert READABLE.problem(address) is None


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("gs://other/a.pdf", "neither in the bucket own-bucket nor"),
        ("gs://own-bucket-2/a.pdf", "neither in the bucket"),
        ("gs://partner/private/a.pdf", "neither in the bucket"),
        ("gs://partner/shared-not/a.pdf", "neither in the bucket"),
        ("gs://own-bucket/genops/candidates/x/arrival.json", "its own records"),
        ("gs://own-bucket/genops%2Fcandidates/x", "its own records"),
        ("gs://own-bucket/genops%252Fcandidates/x", "its own records"),
        ("gs://own-bucket/%67enops/candidates/x", "its own records"),
        ("gs://partner/shared/../private/a", "between its slashes"),
        ("gs://partner/shared/%2e%2e/private/a", "between its slashes"),
        ("gs://own-bucket//genops/a", "between its slashes"),
        ("gs://own-bucket/./genops/a", "between its slashes"),
        ("gs://own-bucket/a//b", "between its slashes"),
        ("gs://OWN-BUCKET/a", "names no object in a bucket"),
        ("gs://other@own-bucket/a", "names no object in a bucket"),
        ("gs://own-bucket:443/a", "names no object in a bucket"),
        ("gs://own-bucket%2F..%2Fother/a", "names no object in a bucket"),
        ("gs://own-bucket", "names no object in a bucket"),
        ("gs://own-bucket/", "names no object in a bucket"),
        ("gs://own-bucket/a/", "names no object in a bucket"),
        ("gs:///a", "names no object in a bucket"),
        ("GS://own-bucket/a", "is no address of an object"),
        ("https://storage.googleapis.com/own-bucket/a", "http(s) addresses are not fetched"),
        ("http://169.254.169.254/latest", "http(s) addresses are not fetched"),
        ("file:///etc/passwd", "is no address of an object"),
        ("/etc/passwd", "is no address of an object"),
        (" gs://own-bucket/a", "is no address of an object"),
        ("gs://own-bucket/a\nb", "a control character"),
        ("gs://own-bucket/a\0", "a control character"),
        ("gs://own-bucket/a\ud800", "surrogate"),
        ("gs://own-bucket/gen*", "`*`"),
        ("gs://own-bucket/a\\..\\b", "backslash"),
        ("gs://own-bucket/" + "ü" * 600, "more than 1,024 bytes"),
    ],
)
def test_everything_else_is_refused_with_its_reason(address: str, reason: str) -> None:
    problem = READABLE.problem(address)
    assert problem is not None
    assert reason in problem


@given(st.text())
def test_whatever_is_named_it_is_an_object_of_an_allowed_place_or_refused(text: str) -> None:
    for address in (text, f"gs://{text}", f"gs://own-bucket/{text}"):
        if READABLE.problem(address) is None:
            assert address.startswith(("gs://own-bucket/", "gs://partner/shared/", "gs://public-data/"))
            assert not address.startswith("gs://own-bucket/genops/")
            assert ".." not in address.split("/")
            assert form_problem(address) is None


def test_files_are_found_wherever_a_request_may_name_them_but_not_in_what_functions_are_told() -> None:
    request = {
        "contents": [
            {"parts": [{"fileData": {"fileUri": "1"}}, {"file_data": {"file_uri": "2"}}]},
            {"parts": [{"functionCall": {"name": "f", "args": {"fileUri": "data"}}}]},
            {
                "parts": [
                    {"functionResponse": {"response": {"fileUri": "data"}, "parts": [{"fileData": {"fileUri": "3"}}]}}
                ]
            },
        ]
    }
    assert sorted(addresses_in(request)) == ["1", "2", "3"]


@pytest.mark.parametrize(
    "prefix", ["gs://other", "gs://other/folder", "gs://UPPER/", "https://other/", "gs://a/../b/", "/"]
)
def test_a_prefix_that_is_none_is_refused_when_genops_yaml_is_read(prefix: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_config(yaml.safe_dump(EXAMPLE | {"readable": [prefix]}))
    assert "readable.0" in str(refused.value)


def test_what_genops_yaml_names_is_what_may_be_read() -> None:
    config = parse_config(yaml.safe_dump(EXAMPLE | {"readable": ["gs://other-bucket/", "gs://partner/shared/"]}))
    assert config.addresses == Readable(config.bucket, ("gs://other-bucket/", "gs://partner/shared/"))
    assert parse_config(yaml.safe_dump({k: v for k, v in EXAMPLE.items() if k != "readable"})).addresses.prefixes == ()
