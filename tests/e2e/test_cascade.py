"""The promise, end to end: real Airflow, real clients, real database, seen from the outside."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery
from running_stack import DATASET, TRAIN, Stack, Subscriber, running_stack, training_subset
from waiting import HANG_SECONDS, QUIET_SECONDS, until

from genops_events.airflow_rest.pool import set_pool
from genops_events.config.identity import candidate_id

pytestmark = pytest.mark.e2e

PROMOTED = [
    "genops.tuning.succeeded.v1",
    "genops.evaluation.passed.v1",
    "genops.budget.approved.v1",
    "genops.promotion.promoted.v1",
    "genops.inference.completed.v1",
]
LAST_EVENTS = {
    "genops.candidate.rejected.v1",
    "genops.promotion.held.v1",
    "genops.inference.completed.v1",
    *(f"genops.{stage}.failed.v1" for stage in ("tuning", "evaluation", "budget", "promotion", "inference")),
}
AT_ONCE = 30


def without_help(config: dict[str, Any]) -> None:
    """Let no sweep wake what is merely slow on a busy machine: what is lost here stays lost, and each run is one of the cascade's own."""
    config["intake"] = {"sweep_minutes": 10, "patience_minutes": 600}


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    with running_stack(tmp_path_factory.mktemp("stack"), change=without_help) as running:
        yield running


@pytest.fixture(scope="module")
def subscriber(stack):
    listening = Subscriber(stack, "test-completions")
    yield listening
    listening.close()


@pytest.fixture(scope="module")
def champion(stack, subscriber):
    """Return the candidate of a good upload made by google-cloud-storage alone, after its end."""
    blob = stack.bucket().blob("training/banking77/plain-client.jsonl")
    blob.upload_from_filename(str(TRAIN))
    candidate = candidate_id(DATASET, blob.bucket.name, blob.name, int(blob.generation))
    code, document = stack.watch(candidate)
    assert code == 0, document
    return document


def in_cascade_order(types: list[str]) -> list[str]:
    """Return `types` with evaluation before budget: either may come first."""
    return sorted(types, key=lambda kind: (kind.split(".")[1] in {"promotion", "inference"}, _rank(kind)))


def _rank(kind: str) -> int:
    return ["tuning", "candidate", "evaluation", "budget", "promotion", "inference"].index(kind.split(".")[1])


def assert_order(types: list[str]) -> None:
    """Assert that the events of one candidate came in the order of the stages."""
    stages = [kind.split(".")[1] for kind in types]
    assert stages[0] in {"tuning", "candidate"}
    assert stages[3:] == [stage for stage in ("promotion", "inference") if stage in stages]


def test_a_file_uploaded_by_a_plain_client_becomes_a_promoted_model_with_answers(stack, champion):
    assert champion["state"] == "answered"
    assert champion["champion"] == champion["candidate"]
    states = {stage: row["state"] for stage, row in champion["stages"].items()}
    assert states == {
        "tuning": "succeeded",
        "evaluation": "passed",
        "budget": "approved",
        "promotion": "promoted",
        "inference": "completed",
    }
    assert champion["stages"]["evaluation"]["scores"]["exact_match"] > 0.4
    assert float(champion["cost_usd"]) > 0


def test_the_answers_are_there_one_line_per_prompt(stack, champion):
    uri = champion["stages"]["inference"]["answers_uri"]
    name = uri.removeprefix(f"gs://{stack.variables['GENOPS_BUCKET']}/")
    answers = [json.loads(line) for line in stack.bucket().blob(name).download_as_text().splitlines()]
    assert [one["id"] for one in answers] == [f"prompt-{number:02}" for number in range(1, 21)]
    assert all(one["answer"] for one in answers)


def test_a_plain_subscriber_gets_each_completion_event_in_order(stack, champion, subscriber):
    candidate = champion["candidate"]
    until(lambda: len(subscriber.types(candidate)) == len(PROMOTED), what="all five events")
    assert in_cascade_order(subscriber.types(candidate)) == PROMOTED
    assert_order(subscriber.types(candidate))


def test_the_champion_is_in_the_tables_of_the_bucket_and_of_bigquery(stack, champion):
    rest = stack.airflow_rest()
    rest.post("/api/v2/dags/genops_tables/dagRuns", {"logical_date": None})
    runs = until(lambda: all_ended(stack.dag_runs("genops_tables")), what="the end of genops_tables")
    assert {one["state"] for one in runs} == {"success"}
    candidate = champion["candidate"]
    sql = f"SELECT state, CAST(cost_usd AS STRING) AS cost FROM genops.candidates WHERE candidate = '{candidate}'"
    expected = [("answered", Decimal(champion["cost_usd"]))]
    client = bigquery.Client(
        project=stack.variables["GOOGLE_CLOUD_PROJECT"],
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": stack.variables["BIGQUERY_EMULATOR_HOST"]},
    )
    asked = [dict(one) for one in client.query(sql).result(timeout=HANG_SECONDS)]
    counted = "SELECT COUNT(*) AS n FROM genops.completions WHERE candidate = @candidate"
    parameters = [bigquery.ScalarQueryParameter("candidate", "STRING", candidate)]
    config = bigquery.QueryJobConfig(query_parameters=parameters)
    events = [one["n"] for one in client.query(counted, job_config=config).result(timeout=HANG_SECONDS)]
    client.close()
    assert [(one["state"], Decimal(one["cost"])) for one in asked] == expected
    assert events == [len(PROMOTED)]
    without_cloud = stack.json("sql", sql)
    assert [(one["state"], Decimal(one["cost"])) for one in without_cloud] == expected


def test_the_same_file_with_shuffled_labels_is_held_back_and_the_champion_stays(stack, champion, tmp_path):
    shuffled = training_subset(tmp_path, "shuffled.jsonl", seed=1, examples=770, shuffled=True)
    candidate = stack.upload(shuffled)
    code, document = stack.watch(candidate)
    assert code == 2
    assert document["state"] == "held"
    assert document["stages"]["evaluation"]["state"] == "refused"
    assert document["stages"]["inference"]["state"] == "skipped"
    assert document["champion"] == champion["candidate"]


BAD_FILES = {
    "empty": b"",
    "not-jsonl": b"intent,text\ncard_arrival,Where is my card?\n",
    "one-array": json.dumps([json.loads(line) for line in TRAIN.read_text().splitlines()[:20]]).encode(),
    "wrong-roles": b"".join(
        json.dumps(
            {"contents": [{"role": "model", "parts": [{"text": "a"}]}, {"role": "user", "parts": [{"text": "b"}]}]}
        ).encode()
        + b"\n"
        for _ in range(20)
    ),
    "too-few": "".join(TRAIN.read_text().splitlines(keepends=True)[:15]).encode(),
    "not-utf8": "".join(TRAIN.read_text().splitlines(keepends=True)[:20]).encode("utf-16"),
}


def test_bad_training_files_are_rejected_with_their_lines_and_cost_nothing(stack, champion, subscriber, tmp_path):
    candidates = {}
    for name, content in BAD_FILES.items():
        file = tmp_path / f"{name}.jsonl"
        file.write_bytes(content)
        candidates[name] = stack.upload(file)
    gone = stack.bucket().blob("training/banking77/deleted-before-it-is-read.jsonl")
    # Cloud Storage refuses a removal within a second: whoever reads a file that is gone reads it late, and here it has to be at once.
    stack.set_faults("storage", object_write_seconds=0)
    gone.upload_from_filename(str(TRAIN))
    candidates["deleted"] = candidate_id(DATASET, gone.bucket.name, gone.name, int(gone.generation))
    gone.delete()
    stack.set_faults("storage")
    # A folder placeholder is no arrival, and must not stop what comes after it.
    stack.bucket().blob("training/banking77/folder/").upload_from_string(b"")
    for name, candidate in candidates.items():
        code, document = stack.watch(candidate)
        assert (code, document["state"]) == (2, "rejected"), name
        assert document["stages"]["tuning"]["reason"], name
        assert document["cost_usd"] == "0", name
    for name, candidate in candidates.items():
        until(lambda one=candidate: subscriber.types(one), what=f"the event of {name}")
        assert subscriber.types(candidate) == ["genops.candidate.rejected.v1"]
    jobs = stack.tuning_jobs()
    assert not set(candidates.values()) & set(jobs)
    quarantine = stack.bucket().blob(f"genops/candidates/{candidates['wrong-roles']}/quarantine.jsonl")
    first = json.loads(quarantine.download_as_text().splitlines()[0])
    assert first["line"] == 1
    assert first["reason"]
    runs = [run for run in stack.dag_runs("genops_tuning") if run["partition_key"] in candidates.values()]
    assert {run["state"] for run in runs} == {"success"}, "a rejection is a normal end, not a red failure"


def test_a_refused_upload_names_what_is_wrong_and_what_to_do(stack, tmp_path):
    unknown = stack.genops("upload", str(TRAIN), "--dataset", "bankin77")
    assert unknown.returncode == 1
    assert "banking77" in unknown.stderr
    directory = stack.genops("upload", str(tmp_path), "--dataset", DATASET)
    assert directory.returncode == 1
    assert "directory" in directory.stderr
    missing = stack.genops("upload", str(tmp_path / "none.jsonl"), "--dataset", DATASET)
    assert missing.returncode == 1
    assert "does not exist" in missing.stderr


def test_watching_ends_with_3_when_the_time_is_up_and_with_1_on_a_typing_error(stack):
    code, document = stack.watch(f"{DATASET}-0123456789abcdef", timeout=QUIET_SECONDS)
    assert (code, document["state"]) == (3, "under_way")
    assert stack.genops("watch", "banking77-xyz").returncode == 1


def test_the_triggerer_killed_during_tuning_delays_the_candidate_and_nothing_else(stack, champion, tmp_path):
    stack.set_vertex(job_seconds=12)
    try:
        candidate = stack.upload(training_subset(tmp_path, "killed.jsonl", seed=2, examples=300))
        until(lambda: candidate in stack.tuning_jobs(), what="the tuning job")
        os.kill(stack.status()["triggerer"]["pid"], signal.SIGKILL)
        code, document = stack.watch(candidate)
    finally:
        stack.set_vertex()
    assert code in {0, 2}
    assert document["state"] in {"answered", "held"}
    assert len(stack.tuning_jobs()[candidate]) == 1


def airflow(stack: Stack, path: str, **headers: str) -> Any:
    headers |= stack.airflow_login()
    answer = httpx.get(f"{stack.variables['GENOPS_AIRFLOW_URL']}/api/v2/{path}", headers=headers, timeout=HANG_SECONDS)
    return answer.raise_for_status().json()


def tuning_of(stack: Stack, candidate: str) -> dict[str, Any]:
    """Return tuning as `genops watch` shows it now."""
    return stack.watch(candidate, timeout=0)[1]["stages"]["tuning"]


def test_a_job_is_cancelled_while_others_wait_for_its_place_and_everybody_is_told(
    stack, champion, subscriber, tmp_path
):
    stack.set_vertex(job_seconds=600)
    set_pool(stack.airflow_rest(), slots=1)
    try:
        # One after the other: who comes first is first in the queue.
        first = stack.upload(training_subset(tmp_path, "first.jsonl", seed=50, examples=100))
        until(lambda: "progress" in tuning_of(stack, first), what="the progress of the first")
        second = stack.upload(training_subset(tmp_path, "second.jsonl", seed=51, examples=100))
        until(lambda: tuning_of(stack, second).get("queued_behind") == 0, what="the second waits")
        third = stack.upload(training_subset(tmp_path, "third.jsonl", seed=52, examples=100))
        until(lambda: tuning_of(stack, third).get("queued_behind") == 1, what="the third waits")
        assert tuning_of(stack, third)["reason"] == "queued behind 1"

        unwanted = stack.genops("cancel", second, "--reason", "Not needed")
        assert unwanted.returncode == 0
        assert "before anything is paid" in unwanted.stderr
        stack.set_vertex()  # for the third
        cancelled = stack.json("cancel", first, "--reason", "Wrong file")
        code, document = stack.watch(first)
        ends = {one: stack.watch(one) for one in (second, third)}
    finally:
        stack.set_vertex()
        set_pool(stack.airflow_rest(), slots=100)

    # In `genops watch`:
    (job,) = cancelled["jobs"]
    reason = f"Tuning job {job} was cancelled by {cancelled['asked_by']}. Wrong file."
    assert (code, document["state"]) == (2, "failed")
    tuning = document["stages"]["tuning"]
    assert (tuning["end"], tuning["reason"]) == ("cancelled", reason)
    # At Vertex AI: the one that nobody wanted was never submitted.
    jobs = stack.tuning_jobs()
    assert [one["state"] for one in jobs[first]] == ["JOB_STATE_CANCELLED"]
    assert second not in jobs
    # In Airflow:
    (run,) = [run for run in stack.dag_runs("genops_tuning") if run["partition_key"] == first]
    task = f"dags/genops_tuning/dagRuns/{quote(run['dag_run_id'])}/taskInstances/tune"
    assert airflow(stack, task)["state"] == "failed"
    assert reason in json.dumps(airflow(stack, f"{task}/logs/1", Accept="application/json"))
    # In the completion event:
    until(lambda: subscriber.types(first), what="the event of the cancelled one")
    assert subscriber.types(first) == ["genops.tuning.failed.v1"]
    assert [data["reason"] for data in subscriber.data(first)] == [reason]
    # Whoever waited went on: the unwanted one to its end, the other to its job.
    assert (ends[second][0], ends[second][1]["state"]) == (2, "rejected")
    assert ends[second][1]["stages"]["tuning"]["reason"].endswith("before a tuning job was submitted. Not needed.")
    assert ends[third][1]["state"] in {"answered", "held"}
    again = stack.genops("cancel", first)
    assert again.returncode == 2
    assert f"nothing was cancelled. {reason}" in again.stderr


def test_thirty_uploads_at_once_each_reach_their_own_end_exactly_once(stack, champion, subscriber, tmp_path):
    files = [training_subset(tmp_path, f"{n}.jsonl", seed=100 + n, examples=100 + 20 * n) for n in range(AT_ONCE)]
    candidates = upload_together(stack, files)
    assert len(set(candidates)) == AT_ONCE

    # The subscriber tells, as it would tell a user: asking the record each second would slow down what is watched.
    until(
        lambda: all(set(subscriber.types(one)) & LAST_EVENTS for one in candidates),
        what="the last event of all thirty",
    )
    rows = {row["candidate"]: row for row in stack.json("candidates")}
    # In the record: one end each; an end that is none of these says which stage gave up, and why.
    assert [rows[one] for one in candidates if rows[one]["state"] not in {"answered", "held"}] == []
    # At Vertex AI: one tuning job each.
    jobs = stack.tuning_jobs()
    assert Counter(len(jobs[one]) for one in candidates) == {1: AT_ONCE}
    # In the completion events: complete, in order, duplicates only by id.
    expected = {one: events_of(rows[one]) for one in candidates}
    until(lambda: all(len(subscriber.types(one)) == len(expected[one]) for one in candidates), what="events")
    for one in candidates:
        assert set(subscriber.types(one)) == expected[one]
        assert_order(subscriber.types(one))
    # In Airflow's runs: one of each stage for each candidate, none failed.
    for dag in ("genops_tuning", "genops_evaluation", "genops_budget", "genops_inference"):
        runs = until(lambda name=dag: all_ended(stack.dag_runs(name)), what=f"the end of all runs of {dag}")
        stage = dag.removeprefix("genops_")
        reached = {one for one in candidates if rows[one]["stages"][stage]["state"] != "skipped"}
        started = Counter(run["partition_key"] for run in runs if run["partition_key"] in candidates)
        assert started == dict.fromkeys(reached, 1), dag
        assert {run["state"] for run in runs if run["partition_key"] in candidates} <= {"success"}, dag


def all_ended(runs: list[dict]) -> list[dict]:
    """Return `runs` once none of them is under way, and nothing before."""
    return runs if all(run["state"] in {"success", "failed"} for run in runs) else []


def upload_together(stack: Stack, files: list[Path]) -> list[str]:
    """Upload all files through one client at once; return their candidates."""
    from concurrent.futures import ThreadPoolExecutor

    bucket = stack.bucket()

    def upload(file: Path) -> str:
        blob = bucket.blob(f"training/banking77/at-once/{file.name}")
        blob.upload_from_filename(str(file))
        return candidate_id(DATASET, bucket.name, blob.name, int(blob.generation))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(upload, files))


def events_of(row: dict) -> set[str]:
    """Return the event types that a candidate's verdicts must have been announced by."""
    return {
        f"genops.{stage}.{verdict['state']}.v1"
        for stage, verdict in row["stages"].items()
        if verdict["ended_at"] is not None
    }
