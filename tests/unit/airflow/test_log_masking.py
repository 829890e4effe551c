"""What leaves a log before anybody else reads it."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from waiting import without_hanging

from genops_events.airflow.log_masking import MOST_RAW_CHARACTERS, excerpt, masked, secret_values

DRAWN = "Zx9Qw7Er5Ty3Ui1OpAs2Df4Gh6Jk8Lz0"
KEY_LINES = "\n".join(["-----BEGIN RSA PRIVATE KEY-----", DRAWN * 2, DRAWN, "-----END RSA PRIVATE KEY-----"])


@pytest.mark.parametrize(
    ("line", "secret"),
    [
        ("password=hunter2", "hunter2"),
        ("DB_PASSWORD: 'correct horse'", "correct horse"),
        ("{'api_key': 'k-1', 'rows': 3}", "k-1"),
        ('{"client_secret":"a \\"quoted\\" one"}', "quoted"),
        ("token=abc", "abc"),
        ("Authorization: Digest username=ada, response=77", "response=77"),
        ("{'Cookie': 'session=1; user=ada'}", "session=1"),
        ("got Bearer abc.def-ghi back", "abc.def-ghi"),
        ("postgresql+psycopg2://airflow:p@ss/word@db:5432/airflow", "ss/word"),
        ("GET https://storage.googleapis.com/b/o?X-Goog-Signature=0aF&alt=media", "0aF"),
        ("posted to https://hooks.slack.com/services/T0/B0/xyz", "T0/B0"),
        (f"key AIzaSy{DRAWN}", "AIzaSy"),
        ("ya29.a0AfH6-x.y_z", "a0AfH6"),
        ("AKIAIOSFODNN7EXAMPLE is not allowed", "IOSFODNN7"),
        ("pushing with ghp_abcdefghij0123456789", "abcdefghij"),
        ("model key sk-proj-abcdefghij0123456789", "abcdefghij"),
        ("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "eyJzdWIi"),
        (f"the nonce was {DRAWN}", DRAWN),
        ("digest 0123456789abcdef0123456789abcdef", "0123456789abcdef"),
        ("mail to ada.lovelace+x@example.org failed", "ada.lovelace"),
        (f"key:\n{KEY_LINES}\ndone", DRAWN[:12]),
        (KEY_LINES.partition("\n")[2], DRAWN[:12]),
        (KEY_LINES.rpartition("\n")[0], DRAWN[:12]),
        (r"{\"password\": \"correct horse\"}", "correct"),
        ("[('x-api-key', 'k-1')]", "k-1"),
        ("mysql --password hunter2 -h db", "hunter2"),
        ("curl -u ada:hunter2 https://db", "hunter2"),
        ("<Password>hunter2</Password>", "hunter2"),
        ("DB_PASS=hunter2", "hunter2"),
        ('{"private_key": "-----BEGIN PRIVATE KEY-----\\nMIIE\\n-----END PRIVATE KEY-----\\n"}', "MIIE"),
    ],
)
def test_a_secret_is_told_by_its_name_or_its_form(line: str, secret: str) -> None:
    assert secret in line
    shown = masked(line)
    assert secret not in shown
    assert "***" in shown


@pytest.mark.parametrize(
    "line",
    [
        "KeyError: 'customer_id'",
        'File "/usr/lib/python3.11/site-packages/airflow/sdk/execution_time/task_runner.py", line 1187, in run',
        "banking77-2cdbbb2a21d6eddc: rejected, 3 of 770 lines are not valid",
        "manual__2026-11-23T13:38:04.123456+00:00",
        "0197d3f2-aaaa-7bbb-8ccc-123456789abc",
        "input_tokens=300, max_output_tokens: 256, totalTokenCount: 1,024",
        "the token has expired; no secret was found",
        "gs://genops-data/genops/candidates/banking77-2cdbbb2a21d6eddc/tuning.json does not exist",
        "projects/genops-local/locations/us-central1/models/1234567890123456789@1",
        "genops_events.gcp.errors.CloudRefused: Could not submit the tuning job: 403 PERMISSION_DENIED",
    ],
)
def test_what_an_explanation_needs_stays_as_it_is(line: str) -> None:
    assert masked(line) == line


def test_known_values_go_wherever_they_stand() -> None:
    environment = {
        "DB_PASSWORD": "blue-42",
        "SERVICE_TOKEN": "blue-42-long",
        "AIRFLOW__CORE__FERNET_KEY": "f" * 44,
        "PIN_SECRET": "1234",  # so short that half the log would go
        "POSTGRES_PASSWORD": "airflow",
        "DATABASE_URL": "postgres://ada:green%2F43@db/orders",
        "AIRFLOW_CONN_BANK": '{"conn_type": "http", "password": "white-44"}',
        "HOME": "/home/ada",
        "PWD": "/home/ada/work",
    }
    values = secret_values(environment)
    within = {"green%2F43", "green/43", "white-44", environment["AIRFLOW_CONN_BANK"]}
    assert values == {"blue-42", "blue-42-long", "f" * 44} | within
    assert masked("tried blue-42-long, then blue-42", values=values) == "tried ***, then ***"


@given(
    secret=st.text(string.ascii_letters + string.digits + "!#$%&()*+-./:;<=>?@[]^_{|}~", min_size=6, max_size=40),
    before=st.text(max_size=30),
    name=st.sampled_from(["password", "api-key", "CLIENT_SECRET", "db.passwd", "webhook_url"]),
)
def test_no_secret_after_its_name_survives(secret: str, before: str, name: str) -> None:
    marked = f"§{secret}"
    assert marked not in masked(f"{before}\n{name}={marked} and more")


def test_the_end_of_a_log_is_kept_in_whole_lines() -> None:
    text = "\n".join(f"line {number}" for number in range(100))
    found = excerpt(text, most_characters=25)
    assert found.text == "line 97\nline 98\nline 99"
    assert found.left_out + len(found.text) == len(text)
    assert excerpt("short", most_characters=25).text == "short"


def test_it_is_masked_before_it_is_cut() -> None:
    # Cut first, the name of the secret would be gone, and its end would stay.
    found = excerpt("password=" + "a" * 20 + "b" * 5, most_characters=10)
    assert "b" not in found.text
    long_line = "word " * 1000
    assert excerpt(long_line, most_characters=50).text == long_line[-50:]


@pytest.mark.parametrize("word", ["a1B", "a.b-", '{"a":1,"b":"c"},', "x://y,", "a@"])
def test_a_line_without_a_blank_is_looked_through_once(word: str) -> None:
    # A picture in base64, or minified JSON. Looked through from each of its characters, a tenth of it took minutes.
    with without_hanging():
        masked(word * (200_000 // len(word)))


def test_a_log_without_an_end_takes_no_longer_than_its_last_part() -> None:
    line = f"password={DRAWN}\n"
    endless = line * (2 * MOST_RAW_CHARACTERS // len(line))
    found = excerpt(endless, most_characters=MOST_RAW_CHARACTERS)
    assert DRAWN not in found.text
    assert found.text.startswith("password=***\n")
    assert found.left_out >= MOST_RAW_CHARACTERS
