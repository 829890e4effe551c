"""A person decides in a real Airflow, in the shell or by saying nothing; and takes it back: seen from the outside."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from running_stack import DATASET, Stack, Subscriber, running_stack, training_subset
from waiting import HANG_SECONDS, until

from genops_events.record.promotion import PersonsAnswer, answer_path

pytestmark = pytest.mark.e2e

ASKED = "asked"
HURRIED = "hurried"
UNHEARD = "unheard"
ANSWER_HOURS = 0.002
"""Seven seconds."""
EXAMPLES = {"first": 80, "better": 280, "rejected": 240}
WAITS = "waits for a person"
ME = "operator@genops.local"
CHAMPION_ALIAS = "champion"


def configure(config: dict[str, Any]) -> None:
    config["intake"] = {"sweep_minutes": 1, "patience_minutes": 0.1}
    for name, promotion in {
        UNHEARD: {"approval": "person"},
        ASKED: {"approval": "person"},
        HURRIED: {"approval": "person", "answer_hours": ANSWER_HOURS, "on_timeout": "approve"},
    }.items():
        dataset = config["datasets"][name] = copy.deepcopy(config["datasets"][DATASET])
        dataset["prefix"] = f"training/{name}/"
        dataset["evaluation"]["gate"] = {"exact_match": 0.01}
        dataset["promotion"] = promotion


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("stack"), change=configure) as running:
        yield running


@pytest.fixture(scope="module")
def subscriber(stack: Stack) -> Iterator[Subscriber]:
    listening = Subscriber(stack, "test-decisions")
    yield listening
    listening.close()


@pytest.fixture(scope="module")
def candidates(stack: Stack, subscriber: Subscriber, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return candidates that all would be champion, of whom nobody has answered yet but the clock."""
    folder = tmp_path_factory.mktemp("files")
    found = {}
    for seed, (name, examples) in enumerate({**EXAMPLES, HURRIED: 80, UNHEARD: 80}.items(), start=2):
        file = training_subset(folder, f"{name}.jsonl", seed=seed, examples=examples)
        found[name] = stack.put(file, dataset=ASKED if name in EXAMPLES else name)
    patient = {candidate for name, candidate in found.items() if name != HURRIED}
    until(lambda: waiting(stack) >= patient, what="all who have the time wait for a person")
    return found


def questions(stack: Stack) -> list[dict[str, Any]]:
    """Return what Airflow shows under Required Actions, answered or not."""
    return list(stack.airflow("GET", "/dags/~/dagRuns/~/hitlDetails", params={"limit": 100})["hitl_details"])


def waiting(stack: Stack) -> set[str]:
    """Return the candidates whose tasks wait in Airflow for a person, without a worker."""
    parked = [one for one in questions(stack) if one["task_instance"]["state"] == "awaiting_input"]
    return {one["subject"].split()[1] for one in parked}


def question(stack: Stack, candidate: str) -> dict[str, Any]:
    """Return what Airflow asks about the candidate."""
    [found] = [one for one in questions(stack) if candidate in one["subject"]]
    return found


def task_state(stack: Stack, candidate: str) -> str:
    return str(question(stack, candidate)["task_instance"]["state"])


def event(subscriber: Subscriber, candidate: str, kind: str) -> dict[str, Any]:
    """Return the data of the candidate's one event of this type."""
    until(lambda: kind in subscriber.types(candidate), what=f"{kind} of {candidate}")
    messages = [one for one in subscriber.messages if one.attributes["ce-subject"] == candidate]
    ids = {one.attributes["ce-id"] for one in messages if one.attributes["ce-type"] == kind}
    assert len(ids) == 1
    return subscriber.data(candidate)[[one.attributes["ce-type"] for one in messages].index(kind)]


def registered(stack: Stack, candidate: str) -> dict[str, Any]:
    """Return the candidate's version in Vertex AI's model registry."""
    model = stack.document(f"genops/candidates/{candidate}/tuning.json")["model"]
    url = f"{stack.variables['GOOGLE_VERTEX_BASE_URL'].rstrip('/')}/v1/{model}"
    return dict(httpx.get(url, timeout=HANG_SECONDS).raise_for_status().json())


def test_the_question_in_airflow_shows_the_figures_and_leads_to_the_report(
    stack: Stack, candidates: dict[str, str]
) -> None:
    candidate = candidates["first"]
    asked = question(stack, candidate)
    assert asked["subject"] == f"Shall {candidate} become champion of {ASKED}?"
    assert (asked["options"], asked["defaults"]) == (["Approve", "Reject"], ["Reject"])
    scores = stack.document(f"genops/candidates/{candidate}/evaluation.json")["scores"]
    assert f"| exact_match (decisive) | {scores['exact_match']:.4g} | - |" in asked["body"]
    assert "Passed the gate" in asked["body"]
    link = asked["body"].partition("[Evaluation report](")[2].partition(")")[0]
    report = httpx.get(link, timeout=HANG_SECONDS).raise_for_status()
    assert report.headers["content-type"].startswith("text/html")
    assert candidate in report.text
    done = stack.genops("watch", candidate, "--timeout", "0")
    told = f"promotion {WAITS} `genops approve {candidate}` or `genops reject {candidate}`"
    assert (done.returncode, told in " ".join(done.stderr.split())) == (3, True), done.stderr


def test_what_a_person_answers_in_airflow_makes_it_champion(
    stack: Stack, candidates: dict[str, str], subscriber: Subscriber
) -> None:
    candidate = candidates["first"]
    run = quote(question(stack, candidate)["task_instance"]["dag_run_id"], safe="")
    stack.airflow(
        "PATCH",
        f"/dags/genops_promotion/dagRuns/{run}/taskInstances/promote/-1/hitlDetails",
        json={"chosen_options": ["Approve"], "params_input": {"reason": "Reads well."}},
    )
    code, document = stack.watch(candidate)
    assert (code, document["champion"]) == (0, candidate), document
    row = document["stages"]["promotion"]
    assert (row["state"], row["answer"], row["answer_reason"]) == ("promoted", "approved", "Reads well.")
    told = event(subscriber, candidate, "genops.promotion.promoted.v1")
    assert (told["answered_by"], told["reason"]) == (row["answered_by"], row["reason"])
    assert row["reason"].startswith(f"Approved by {row['answered_by']}: Reads well. No champion yet")
    assert task_state(stack, candidate) == "success"


def test_who_rejects_in_the_shell_holds_it_and_airflow_asks_no_longer(
    stack: Stack, candidates: dict[str, str], subscriber: Subscriber
) -> None:
    candidate = candidates["rejected"]
    done = stack.genops("reject", candidate, "--reason", "It swears.")
    assert done.returncode == 0
    assert f"Rejected by {ME}: It swears. The task in Airflow goes on." in " ".join(done.stderr.split())
    code, document = stack.watch(candidate)
    assert (code, document["state"], document["champion"]) == (2, "held", candidates["first"])
    assert document["stages"]["promotion"]["reason"] == f"Rejected by {ME}: It swears."
    assert event(subscriber, candidate, "genops.promotion.held.v1")["answered_by"] == ME
    until(lambda: task_state(stack, candidate) == "skipped", what="the task has ended")
    assert question(stack, candidate)["response_received"] is True


def test_without_an_answer_in_time_the_configured_one_counts(
    stack: Stack, candidates: dict[str, str], subscriber: Subscriber
) -> None:
    candidate = candidates[HURRIED]
    code, document = stack.watch(candidate)
    assert (code, document["champion"]) == (0, candidate), document
    row = document["stages"]["promotion"]
    assert (row["answer"], row["answered_by"]) == ("approved", "nobody")
    assert row["reason"].startswith("Approved because nobody answered in time, as `promotion.on_timeout` says.")
    assert event(subscriber, candidate, "genops.promotion.promoted.v1")["answered_by"] == "nobody"


def test_an_answer_that_airflow_never_heard_of_is_acted_on_and_the_task_that_asks_is_in_nobodys_way(
    stack: Stack, candidates: dict[str, str]
) -> None:
    candidate = candidates[UNHEARD]
    # As `genops approve` leaves it where Airflow cannot be reached.
    answer = PersonsAnswer(
        candidate=candidate,
        written_at=datetime.now(UTC),
        approved=True,
        by="ada@laptop",
        reason="Yes.",
        through="shell",
    )
    blob = stack.bucket().blob(answer_path(candidate))
    blob.upload_from_string(answer.model_dump_json(by_alias=True), if_generation_match=0)
    until(
        lambda: swept(stack) and stack.document(f"genops/candidates/{candidate}/inference.json"),
        what="sweeps promote it, and have its prompts answered",
    )
    assert stack.document(f"genops/candidates/{candidate}/promotion.json")["answered_by"] == "ada@laptop"
    assert candidate in waiting(stack)
    done = stack.genops("approve", candidate)
    assert (done.returncode, "Its task in Airflow still asked, and goes on now." in " ".join(done.stderr.split())) == (
        2,
        True,
    )
    until(lambda: task_state(stack, candidate) == "success", what="the task has ended")
    assert len(stack.tuning_jobs()[candidate]) == 1


def swept(stack: Stack) -> bool:
    """Let a sweep look, and return once it has."""
    run = stack.airflow("POST", "/dags/genops_intake/dagRuns", json={"logical_date": None})["dag_run_id"]
    path = f"/dags/genops_intake/dagRuns/{quote(run, safe='')}"
    state = until(
        lambda: (now := stack.airflow("GET", path)["state"]) not in {"queued", "running"} and now,
        what="the sweep's end",
    )
    return bool(state == "success")


def test_a_rollback_gives_the_place_back_in_the_record_in_the_registry_and_as_an_event(
    stack: Stack, candidates: dict[str, str], subscriber: Subscriber
) -> None:
    first, better = candidates["first"], candidates["better"]
    assert stack.genops("approve", better, "--reason", "Better.").returncode == 0
    code, document = stack.watch(better)
    assert (code, document["champion"]) == (0, better), document
    assert CHAMPION_ALIAS in registered(stack, better)["versionAliases"]

    rolled = stack.json("rollback", ASKED, "--reason", "It swears.")
    assert (rolled["champion"], rolled["candidate"], rolled["registry"]) == (first, better, None)
    assert CHAMPION_ALIAS in registered(stack, first)["versionAliases"]
    assert CHAMPION_ALIAS not in registered(stack, better).get("versionAliases", [])
    labels = {one: registered(stack, one)["labels"]["genops-champion"] for one in (first, better)}
    assert labels == {first: "current", better: "former"}
    [shown] = [one for one in stack.json("champions") if one["dataset"] == ASKED]
    assert (shown["champion"], shown["rollback"]) == (first, {"from": better, "by": ME, "reason": "It swears."})
    told = event(subscriber, better, "genops.promotion.rolled_back.v1")
    assert (told["champion"], told["by"], told["reason"]) == (first, ME, "It swears.")
    assert stack.document(f"genops/datasets/{ASKED}/champion.json")["unannounced"] == []
    assert stack.watch(better, timeout=0)[1]["champion"] == first


def test_what_lost_is_listed_and_taken_away_only_with_apply(stack: Stack, candidates: dict[str, str]) -> None:
    loser, former = candidates["rejected"], candidates["better"]
    before = {one["candidate"]: one for one in stack.json("prune", "--dataset", ASKED)}
    assert (before[loser]["kept"], before[loser]["done"]) == (None, None)
    assert before[former]["kept"] == "kept for a rollback"
    assert before[candidates["first"]]["kept"] == "champion"
    assert registered(stack, loser)["name"]

    done = {one["candidate"]: one["done"] for one in stack.json("prune", "--dataset", ASKED, "--apply")}
    assert done == {loser: "undeployed and deleted", former: None, candidates["first"]: None}
    for gone in (before[loser]["model"], before[loser]["endpoint"]):
        url = f"{stack.variables['GOOGLE_VERTEX_BASE_URL'].rstrip('/')}/v1/{gone}"
        assert httpx.get(url, timeout=HANG_SECONDS).status_code == httpx.codes.NOT_FOUND
    assert registered(stack, former)["name"]
    assert loser not in {one["candidate"] for one in stack.json("prune", "--dataset", ASKED)}
