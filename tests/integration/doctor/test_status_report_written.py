"""The daily status report, out of the tables, the record and the dead letters as they lie in the cloud."""

from __future__ import annotations

from datetime import timedelta

import pytest
from google.cloud import pubsub_v1
from held import tune
from made_up import arrived, ended, now
from tables_cloud import whole_candidate
from waiting import HANG_SECONDS

from genops_events.config import Config, load_config
from genops_events.doctor.status import keep_report, status_report
from genops_events.doctor.status_report import Period
from genops_events.gcp.outbox import announce
from genops_events.gcp.record_store import RecordStore
from genops_events.gcp.requirements import dead_letter_topic, topic_name
from genops_events.intake import dead_letters
from genops_events.intake.dead_letters import letter_attributes
from genops_events.record.paths import open_path
from genops_events.record.promotion import Question, question_path
from genops_events.record.stages import Outcome, Stage
from genops_events.tables import parts
from genops_events.tables.query import SqlProblem

QUERIES = {
    "By end": """SELECT state, count(*) AS candidates FROM genops.candidates
                 WHERE updated_at >= $since AND updated_at < $until GROUP BY ALL ORDER BY ALL""",
    "Spent": "SELECT purpose, sum(spent_usd) AS usd FROM genops.spend WHERE posted_at >= $since GROUP BY ALL ORDER BY ALL",
}


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in knows at once what it has."""
    monkeypatch.setattr(dead_letters, "FIRST_LOOK_SECONDS", 0.5)


def section(text: str, title: str) -> list[str]:
    """Return the lines of a section, cells without their padding."""
    lines = text.partition(f"## {title}\n\n")[2].partition("\n\n")[0].splitlines()
    return [" ".join(line.split()) for line in lines]


def test_a_report_has_what_ended_a_moment_ago_what_it_cost_and_what_waits(
    config: Config, store: RecordStore, candidate: str, budget: object
) -> None:
    whole_candidate(config, store)
    failed = arrived(config, store).candidate
    announce(config, store, ended(store, Stage.TUNING, Outcome.FAILED, failed, cost_usd="0.5"))
    budget(tuning_usd=0)  # type: ignore[operator]
    assert tune(candidate) is None
    text = status_report(load_config(), Period.before(now(), hours=24), QUERIES)
    assert section(text, "By end")[2:] == ["| failed | 1 |", "| under_way | 2 |"]
    assert section(text, "Spent")[2:] == ["| inference | 0 |", "| tuning | 1.25 |"]
    [waits] = section(text, "Waiting for a person, now")[2:]
    assert waits.startswith(f"| {candidate} | tuning: ")
    assert f"`genops approve {candidate} --budget`" in waits
    assert section(text, "Dead letters, now") == ["None."]


def test_more_candidates_than_one_round_writes_are_all_in_it(
    config: Config, store: RecordStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "MOST_CANDIDATES", 1)
    for _ in range(3):
        whole_candidate(config, store)
    text = status_report(config, Period.before(now(), hours=24), QUERIES)
    assert section(text, "By end")[2:] == ["| under_way | 3 |"]


def test_what_is_older_than_the_period_is_not_in_it(config: Config, store: RecordStore) -> None:
    whole_candidate(config, store)
    text = status_report(config, Period.before(now() - timedelta(hours=1), hours=24), QUERIES)
    assert section(text, "By end") == ["None."]


def test_a_question_to_a_person_waits_until_promotion_has_its_verdict(config: Config, store: RecordStore) -> None:
    asked = arrived(config, store)
    assert store.create(open_path(asked.candidate), asked)
    question = Question(
        candidate=asked.candidate,
        written_at=now(),
        run_id="r",
        text="Shall it?",
        asked_until=now() + timedelta(hours=1),
        on_timeout="reject",
    )
    assert store.create(question_path(asked.candidate), question)
    period = Period.before(now(), hours=1)
    [waits] = section(status_report(config, period, {}), "Waiting for a person, now")[2:]
    assert f"`genops approve {asked.candidate}`" in waits
    ended(store, Stage.PROMOTION, Outcome.HELD, asked.candidate)
    assert section(status_report(config, period, {}), "Waiting for a person, now") == ["None."]


def test_a_record_that_cannot_be_read_is_named_and_hides_nothing(config: Config, store: RecordStore) -> None:
    bad = arrived(config, store)
    assert store.create(open_path(bad.candidate), bad)
    store.bucket.blob(question_path(bad.candidate)).upload_from_string("{")
    whole_candidate(config, store)
    text = status_report(config, Period.before(now() + timedelta(seconds=1), hours=1), QUERIES)
    [waits] = section(text, "Waiting for a person, now")[2:]
    assert waits.startswith(f"| {bad.candidate} | cannot be read: ")
    assert section(text, "Spent")[2:]


def test_dead_letters_are_counted(config: Config, store: RecordStore) -> None:
    publisher = pubsub_v1.PublisherClient()
    for number in range(2):
        attributes = letter_attributes({}, reason="unreadable", message_id=str(number), published_at=now())
        publisher.publish(topic_name(config, dead_letter_topic(config)), b"x", **attributes).result(
            timeout=HANG_SECONDS
        )
    publisher.transport.close()
    text = status_report(config, Period.before(now(), hours=1), {})
    assert section(text, "Dead letters, now") == ["2. `genops dead-letters` shows what each is, and why."]


def test_a_report_of_the_same_period_replaces_itself(config: Config, store: RecordStore) -> None:
    period = Period.before(now(), hours=1)
    address = keep_report(config, period, "first")
    assert keep_report(config, period, "second: für alle") == address == f"gs://{config.bucket}/{period.path}"
    blob = store.bucket.get_blob(period.path)
    assert blob is not None
    assert (blob.download_as_text(), blob.content_type) == ("second: für alle", "text/markdown; charset=utf-8")


def test_a_wrong_query_is_told_with_the_columns_that_there_are(config: Config, store: RecordStore) -> None:
    with pytest.raises(SqlProblem, match=r"genops\.candidates: candidate, dataset"):
        status_report(config, Period.before(now(), hours=1), {"Mine": "SELECT nothing FROM genops.candidates"})
