"""The sweep heals what was lost, on a real Airflow: nobody touches a candidate, and each reaches its end."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import httpx
import pytest
from running_stack import DATASET, Subscriber, running_stack, training_subset
from waiting import HANG_SECONDS, until

from genops_events.config.identity import candidate_id
from genops_events.intake.notifications import Notice, arrival
from genops_events.record.events import announcement, announcement_path
from genops_events.record.intake import Sweep
from genops_events.record.paths import OPEN, arrival_path, folder, open_path, sweep_path, verdict_path
from genops_events.record.stages import Outcome, Stage
from genops_events.record.verdicts import TuningVerdict

pytestmark = pytest.mark.e2e

PREFIX = f"training/{DATASET}/"
SWEEP_SECONDS = 60
REJECTED = "genops.candidate.rejected.v1"


def impatient(config):
    config["intake"] = {"sweep_minutes": 1, "patience_minutes": 0.1}


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    with running_stack(tmp_path_factory.mktemp("stack"), change=impatient) as running:
        yield running


@pytest.fixture(scope="module")
def subscriber(stack):
    listening = Subscriber(stack, "test-healing")
    yield listening
    listening.close()


def airflow(stack, method, path, body):
    base = stack.variables["GENOPS_AIRFLOW_URL"].rstrip("/")
    headers = stack.airflow_login()
    httpx.request(
        method, f"{base}/api/v2/dags/{path}", json=body, headers=headers, timeout=HANG_SECONDS
    ).raise_for_status()


def set_paused(stack, dag, *, paused):
    airflow(stack, "PATCH", dag, {"is_paused": paused})


def sweep_now(stack):
    """Start intake as a person would, instead of waiting for the clock; such a run sweeps, too."""
    airflow(stack, "POST", "genops_intake/dagRuns", {"logical_date": None})


def there(stack, name):
    return stack.bucket().blob(name).exists()


def last_sweep(stack):
    blob = stack.bucket().blob(sweep_path())
    return Sweep.model_validate_json(blob.download_as_bytes()) if blob.exists() else None


def uploaded(stack, name, content):
    """Upload a training file with Google's client alone; return its candidate."""
    blob = stack.bucket().blob(f"{PREFIX}{name}")
    blob.upload_from_string(content)
    return candidate_id(DATASET, blob.bucket.name, blob.name, int(blob.generation))


def runs_of(stack, candidate, dag):
    return [run for run in stack.dag_runs(dag) if run["partition_key"] == candidate]


@pytest.fixture(scope="module")
def lost(stack, subscriber, tmp_path_factory):
    """Lose something at every step of the way; return the candidates by what happened to them."""
    set_paused(stack, "genops_evaluation", paused=True)
    file = training_subset(tmp_path_factory.mktemp("files"), "paused.jsonl", seed=7, examples=120)
    candidates = {"paused": uploaded(stack, "paused.jsonl", file.read_bytes())}
    until(lambda: there(stack, verdict_path(candidates["paused"], Stage.BUDGET)), what="budget's verdict")
    for notification in stack.bucket().list_notifications():
        notification.delete()
    candidates["silent"] = uploaded(stack, "silent.jsonl", b"too short\n")
    candidates["half"] = half_minted(stack)
    candidates["unpublished"] = never_published(stack)
    return candidates


@pytest.mark.parametrize("what", ["silent", "half", "unpublished"])
def test_what_no_message_told_and_what_nobody_published_reaches_its_end(stack, subscriber, lost, what):
    candidate = lost[what]
    until(
        lambda: subscriber.types(candidate) == [REJECTED],
        what=f"the completion event of {what}",
    )
    if what == "unpublished":
        assert runs_of(stack, candidate, "genops_tuning") == []
        return
    until(
        lambda: [run["state"] for run in runs_of(stack, candidate, "genops_tuning")] == ["success"],
        what=f"the one tuning run of {what}",
    )
    found = json.loads(stack.bucket().blob(arrival_path(candidate)).download_as_bytes())
    assert found["found_by"] == ("sweep" if what == "silent" else "notification")


def test_what_a_paused_dag_dropped_goes_on_once_it_is_unpaused(stack, lost):
    candidate = lost["paused"]
    until(
        lambda: (found := last_sweep(stack)) is not None and found.left_alone == {"paused": 1},
        what="a sweep that leaves the candidate alone",
    )
    assert len(runs_of(stack, candidate, "genops_tuning")) == 1, "no wake-up gets through to a paused Dag"
    assert runs_of(stack, candidate, "genops_evaluation") == []
    set_paused(stack, "genops_evaluation", paused=False)
    sweep_now(stack)
    code, document = stack.watch(candidate)
    assert code in {0, 2}
    assert document["state"] in {"answered", "held"}
    assert len(stack.tuning_jobs()[candidate]) == 1
    assert len(runs_of(stack, candidate, "genops_evaluation")) == 1
    assert len(runs_of(stack, candidate, "genops_tuning")) == 2, "the sweep woke it once"


def test_every_event_was_published_once(subscriber, lost):
    ids = subscriber.ids()
    assert len(ids) == len(set(ids)) >= len(lost)


def test_once_all_is_settled_no_marker_is_left_and_nothing_is_healed(stack):
    last = until(
        lambda: (found := last_sweep(stack)) is not None and found.open_candidates == 0 and found,
        what="a sweep that finds nothing open",
    )
    assert list(stack.bucket().list_blobs(prefix=OPEN)) == []
    assert (last.healed, last.error, last.reached_end) == ((), None, True)
    assert 0 < (last.next_due_at - last.started_at).total_seconds() <= SWEEP_SECONDS
    states = {run["state"] for run in stack.dag_runs("genops_intake")}
    assert states <= {"success", "running", "queued"}


def half_minted(stack):
    """Leave what an intake leaves that died between marker and arrival; return the candidate."""
    blob = stack.bucket().blob(f"{PREFIX}half.jsonl")
    blob.upload_from_string(b"too short\n")
    made = an_arrival(stack, blob.name, int(blob.generation))
    stack.bucket().blob(open_path(made.candidate)).upload_from_string(made.to_json())
    return made.candidate


def never_published(stack):
    """Leave what a stage leaves that died before it published its verdict's event; return the candidate."""
    made = an_arrival(stack, f"{PREFIX}gone.jsonl", 1)
    now = datetime.now(UTC)
    verdict = TuningVerdict(
        candidate=made.candidate,
        written_at=now,
        dataset=DATASET,
        outcome=Outcome.REJECTED,
        reason="for the test",
        started_at=now,
        ended_at=now,
    )
    event = announcement(verdict, bucket=stack.variables["GENOPS_BUCKET"], now=now)
    documents = {
        open_path(made.candidate): made,
        arrival_path(made.candidate): made,
        verdict_path(made.candidate, Stage.TUNING): verdict,
        announcement_path(made.candidate, Stage.TUNING, Outcome.REJECTED): event,
    }
    for path, document in documents.items():
        stack.bucket().blob(path).upload_from_string(document.to_json())
    assert len(list(stack.bucket().list_blobs(prefix=folder(made.candidate)))) == len(documents) - 1
    return made.candidate


def an_arrival(stack, name, generation):
    now = datetime.now(UTC)
    notice = Notice(bucket=stack.variables["GENOPS_BUCKET"], object=name, generation=generation)
    return arrival(notice, dataset=DATASET, found_by="notification", now=now)
