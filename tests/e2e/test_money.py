"""What is over a limit is held before it is spent, and goes on when somebody says so: a real stack, seen from the outside."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from running_stack import DATASET, PROMPTS, Stack, Subscriber, running_stack, training_subset
from waiting import until

from genops_events.gcp.ledger_store import all_accounts
from genops_events.gcp.record_store import RecordStore
from genops_events.record.paths import month_of_ledger

pytestmark = pytest.mark.e2e

POOR, WORDY, CROWD = "poor", "wordy", "crowd"
TUNING_USD = "0.005"
PROMPT_TOKENS = 60
LONG_LINES = [3, 14, 16]
"""Of the example prompts: those of more tokens than that, by the stand-in's count."""
CROWD_USD = Decimal("0.09")
"""Enough to tune about five of them."""
AT_ONCE = 50
ME = "operator@genops.local"


def configure(config: dict[str, Any]) -> None:
    for name, budget in {
        POOR: {"tuning_usd": float(TUNING_USD)},
        WORDY: {"prompt_tokens": PROMPT_TOKENS},
        CROWD: {"monthly_usd": float(CROWD_USD)},
    }.items():
        dataset = config["datasets"][name] = copy.deepcopy(config["datasets"][DATASET])
        dataset["prefix"] = f"training/{name}/"
        dataset["evaluation"]["gate"] = {"exact_match": 0.0}
        dataset["budget"] |= budget


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("stack"), change=configure) as running:
        yield running


@pytest.fixture(scope="module")
def subscriber(stack: Stack) -> Iterator[Subscriber]:
    listening = Subscriber(stack, "test-money")
    yield listening
    listening.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Training files, no two alike."""
    folder = tmp_path_factory.mktemp("files")
    return [training_subset(folder, f"{seed}.jsonl", seed=seed, examples=16) for seed in range(AT_ONCE)]


@pytest.fixture(scope="module")
def held(stack: Stack, subscriber: Subscriber, files: list[Path]) -> dict[str, str]:
    """Return candidates that a limit holds: two before their tuning, two for their prompts."""
    wanted = {"approved": POOR, "rejected": POOR, "wordy": WORDY, "wordy rejected": WORDY}
    found = {
        name: stack.put(file, dataset=dataset) for file, (name, dataset) in zip(files, wanted.items(), strict=False)
    }
    for name, candidate in found.items():
        hold = until(lambda one=candidate: the_hold(stack, one), what=f"the hold of {name}")
        assert hold["stage"] == ("tuning" if wanted[name] == POOR else "budget")
    return found


def the_hold(stack: Stack, candidate: str) -> dict[str, Any] | None:
    """Return what the candidate waits for, or waited for."""
    found = (
        stack.document(f"genops/candidates/{candidate}/holds/{stage}-1.json")
        for stage in ("tuning", "evaluation", "budget")
    )
    return next((one for one in found if one is not None), None)


def ledger(stack: Stack, dataset: str) -> dict[str, dict[str, dict[str, Any]]]:
    """Return what the ledger has about each candidate of a dataset: amounts by purpose."""
    store = RecordStore(stack.bucket())
    found: dict[str, Any] = {}
    for name in store.generations("genops/ledger/", delimiter="/"):
        if (month := month_of_ledger(name)) is not None:
            found |= all_accounts(store, month)
    return {
        one: {purpose: posting.model_dump(mode="json") for purpose, posting in entry.purposes.items()}
        for one, entry in found.items()
        if entry.dataset == dataset
    }


def committed(entries: dict[str, dict[str, dict[str, Any]]]) -> Decimal:
    """Return what is reserved and spent, together."""
    return sum(
        (
            Decimal(posting["reserved_usd"]) + Decimal(posting["spent_usd"])
            for purposes in entries.values()
            for posting in purposes.values()
        ),
        Decimal(0),
    )


def event(subscriber: Subscriber, candidate: str, kind: str) -> dict[str, Any]:
    """Return the data of an event of the candidate."""
    until(lambda: kind in subscriber.types(candidate), what=f"{kind} of {candidate}")
    messages = [one for one in subscriber.messages if one.attributes["ce-subject"] == candidate]
    return next(json.loads(one.data) for one in messages if one.attributes["ce-type"] == kind)


def told(stack: Stack, *words: str) -> tuple[int, str]:
    """Return exit code and text of a command, white space squeezed."""
    done = stack.genops(*words)
    return done.returncode, " ".join(done.stderr.split())


def test_over_budget_a_candidate_is_held_before_its_tuning_and_everybody_is_told_the_sum(
    stack: Stack, held: dict[str, str], subscriber: Subscriber, files: list[Path]
) -> None:
    candidate = held["approved"]
    assert candidate not in stack.tuning_jobs()
    assert ledger(stack, POOR) == {}
    code, document = stack.watch(candidate, timeout=0)
    row = document["stages"]["tuning"]
    assert (code, document["state"], row["state"]) == (3, "under_way", "held")
    missing = Decimal(row["missing_usd"])
    assert missing == Decimal(row["asked_usd"]) - Decimal(TUNING_USD) > 0
    data = event(subscriber, candidate, "genops.tuning.held.v1")
    assert (Decimal(data["missing_usd"]), data["reason"]) == (missing, row["reason"])
    reason = f"over `budget.tuning_usd` of ${TUNING_USD}: ${missing.normalize():f} too much."
    for shown in (told(stack, "watch", candidate, "--timeout", "0")[1], told(stack, "candidates")[1]):
        assert candidate in shown
        assert re.sub(r"\s", "", f"{reason} `genops approve {candidate} --budget`") in re.sub(r"\s", "", shown)
    # On a laptop, before the upload, the same was to be known.
    estimate = stack.json("estimate", str(files[0]), "--dataset", POOR)
    assert Decimal(estimate["steps"]["tuning"]["usd"]) == Decimal(row["asked_usd"])


def test_what_somebody_approves_goes_on_to_its_end_with_one_tuning_job(
    stack: Stack, held: dict[str, str], subscriber: Subscriber
) -> None:
    candidate = held["approved"]
    code, text = told(stack, "approve", candidate, "--budget", "--reason", "Worth it.")
    assert (code, "A sweep was started, and it goes on in a moment." in text) == (0, True)
    code, document = stack.watch(candidate)
    assert (code, document["state"]) == (0, "answered"), document
    assert len(stack.tuning_jobs()[candidate]) == 1
    approval = stack.document(f"genops/candidates/{candidate}/holds/tuning-1-approval.json")
    assert (approval["by"], approval["reason"]) == (ME, "Worth it.")
    posting = ledger(stack, POOR)[candidate]["tuning"]
    assert (posting["approved_by"], posting["settled"]) == (ME, True)
    until(lambda: "genops.inference.completed.v1" in subscriber.types(candidate), what="the last event")
    assert subscriber.types(candidate)[:2] == ["genops.tuning.held.v1", "genops.tuning.succeeded.v1"]


def test_prompts_over_a_limit_are_listed_by_line_and_let_pass_by_whoever_approves(
    stack: Stack, held: dict[str, str], subscriber: Subscriber
) -> None:
    candidate = held["wordy"]
    ids = [json.loads(line)["id"] for line in PROMPTS.read_text().splitlines()]
    hold = the_hold(stack, candidate)
    assert hold is not None
    assert (hold["limits"], hold["prompts_over"]) == (["budget.prompt_tokens"], len(LONG_LINES))
    name = f"genops/candidates/{candidate}/prompts-over.jsonl"
    listed = [json.loads(line) for line in stack.bucket().blob(name).download_as_text().splitlines()]
    assert [(one["line"], one["id"]) for one in listed] == [(line, ids[line - 1]) for line in LONG_LINES]
    assert (
        f"line {LONG_LINES[0]} ({ids[LONG_LINES[0] - 1]}) has " in told(stack, "watch", candidate, "--timeout", "0")[1]
    )
    assert event(subscriber, candidate, "genops.budget.held.v1")["prompts_over"] == len(LONG_LINES)
    assert told(stack, "approve", candidate, "--budget")[0] == 0
    code, document = stack.watch(candidate)
    assert code == 0, document
    assert document["stages"]["budget"]["approved_by"] == ME
    assert len(stack.tuning_jobs()[candidate]) == 1


@pytest.mark.parametrize(("name", "end"), [("rejected", "rejected"), ("wordy rejected", "held")])
def test_who_is_rejected_while_it_waits_for_money_ends_and_costs_nothing_more(
    name: str, end: str, stack: Stack, held: dict[str, str]
) -> None:
    candidate = held[name]
    before = committed({"": ledger(stack, POOR if end == "rejected" else WORDY).get(candidate, {})})
    code, text = told(stack, "reject", candidate, "--reason", "Wrong file.")
    assert (code, "A sweep was started, and it ends in a moment." in text) == (0, True), text
    code, document = stack.watch(candidate)
    assert (code, document["state"]) == (2, end), document
    row = document["stages"]["tuning" if end == "rejected" else "promotion"]
    assert ME in row["reason"]
    assert "Wrong file." in row["reason"]
    assert committed({"": ledger(stack, POOR if end == "rejected" else WORDY).get(candidate, {})}) == before
    assert len(stack.tuning_jobs().get(candidate, [])) == (0 if end == "rejected" else 1)


def test_fifty_candidates_at_once_never_overspend_the_month_by_a_cent(
    stack: Stack, held: dict[str, str], subscriber: Subscriber, files: list[Path]
) -> None:
    with ThreadPoolExecutor(8) as pool:
        candidates = list(pool.map(lambda file: stack.put(file, dataset=CROWD), files))
    assert len(set(candidates)) == AT_ONCE
    most, rest = Decimal(0), set(candidates)

    def at_rest() -> bool:
        nonlocal most
        most = max(most, committed(ledger(stack, CROWD)))
        rest.difference_update([one for one in rest if _rests(subscriber.types(one))])
        return not rest

    until(at_rest, what=f"all have ended, or wait for money: {rest}")
    entries = ledger(stack, CROWD)
    most = max(most, committed(entries))
    assert CROWD_USD / 2 < most <= CROWD_USD
    jobs = {one: found for one, found in stack.tuning_jobs().items() if one in set(candidates)}
    assert {len(found) for found in jobs.values()} == {1}
    assert 0 < len(jobs) < AT_ONCE
    assert {one for one, purposes in entries.items() if "tuning" in purposes} == set(jobs)
    for candidate in set(candidates) - set(jobs):
        hold = the_hold(stack, candidate)
        assert hold is not None
        assert (hold["stage"], hold["limits"]) == ("tuning", ["budget.monthly_usd of the dataset"])
        assert Decimal(0) < Decimal(hold["missing_usd"]) <= Decimal(hold["asked_usd"])
        assert f"${Decimal(hold['missing_usd']).normalize():f} too much" in hold["reason"]
    # The command counts as the ledger does.
    shown = stack.json("spend")["datasets"][CROWD]
    assert CROWD_USD - Decimal(shown["left_usd"]) == committed(ledger(stack, CROWD))
    assert shown["stages"]["tuning"]["candidates"] == len(jobs)


def _rests(types: list[str]) -> bool:
    """Return whether a candidate with these events goes nowhere by itself."""
    outcomes = {stage: outcome for _, stage, outcome, _ in (kind.split(".") for kind in types)}
    if "failed" in outcomes.values() or outcomes.get("tuning") == "held" or {"inference", "promotion"} & set(outcomes):
        return outcomes.get("promotion") != "promoted" or "inference" in outcomes
    return "held" in outcomes.values() and {"evaluation", "budget"} <= set(outcomes)
