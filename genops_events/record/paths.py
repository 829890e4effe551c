"""Where everything lies that this project keeps in the bucket: the record's documents, and the files beside them."""

from __future__ import annotations

from datetime import UTC, datetime

from genops_events.reading.object_names import ROOT
from genops_events.record.stages import Stage

CANDIDATES = f"{ROOT}candidates/"

COMPARISONS = f"{ROOT}comparisons/"
"""Everything about comparisons lies below it, a folder for each."""

QUEUE = f"{ROOT}queue/"
"""A marker of each candidate that waits for a place for its tuning job."""

OPEN = f"{ROOT}open/"
"""A copy of each arrival whose candidate is not settled yet: all that a sweep has to look at."""

QUOTAS = f"{ROOT}quotas/"
"""Empty objects by which processes share a quota; those of blocks of seconds that are over are of no use to anybody."""


def folder(candidate: str) -> str:
    """Return the prefix of everything that is about `candidate`."""
    return f"{CANDIDATES}{candidate}/"


def arrival_path(candidate: str) -> str:
    """Return where the arrival of `candidate` is recorded."""
    return f"{folder(candidate)}arrival.json"


def open_path(candidate: str) -> str:
    """Return where the copy of the arrival lies for as long as `candidate` is not settled."""
    return f"{OPEN}{candidate}.json"


def sweep_path() -> str:
    """Return where the last sweep's figures lie."""
    return f"{ROOT}intake/sweep.json"


def validation_path(candidate: str) -> str:
    """Return where the findings about the training file are recorded."""
    return f"{folder(candidate)}validation.json"


def training_path(candidate: str) -> str:
    """Return where the validated copy of the training file lies."""
    return f"{folder(candidate)}training.jsonl"


def valid_lines_path(candidate: str) -> str:
    """Return where the valid lines of a training file lie, if some of its lines are quarantined."""
    return f"{folder(candidate)}training-valid.jsonl"


def validation_examples_path(candidate: str) -> str:
    """Return where the copy of the dataset's validation file lies that belongs to `candidate`."""
    return f"{folder(candidate)}validation-examples.jsonl"


def quarantine_path(candidate: str) -> str:
    """Return where the rejected lines lie: line number, reason, what was read."""
    return f"{folder(candidate)}quarantine.jsonl"


def intent_path(candidate: str, stage: Stage, round_: int = 0) -> str:
    """Return where a Dag run writes that it has taken on `stage`; each release of a held stage, and each return, begins a new round."""
    return f"{folder(candidate)}{stage}-intent{f'-{round_}' if round_ else ''}.json"


def prompts_over_path(candidate: str) -> str:
    """Return where every prompt that is over a limit is listed: line, id, figure, limit."""
    return f"{folder(candidate)}prompts-over.jsonl"


def prompts_path(candidate: str, round_: int = 0) -> str:
    """Return where the copy of the prompt file lies that the budget was checked by, and that is answered."""
    return f"{folder(candidate)}prompts{f'-{round_}' if round_ else ''}.jsonl"


def holds_folder(candidate: str) -> str:
    """Return the prefix of the holds of `candidate`, and of their approvals."""
    return f"{folder(candidate)}holds/"


def hold_path(candidate: str, stage: Stage, number: int) -> str:
    """Return where it is written that `stage` waits for an approval, for the first time (1) or once more."""
    return f"{holds_folder(candidate)}{stage}-{number}.json"


def approval_path(candidate: str, stage: Stage, number: int) -> str:
    """Return where the approval of the hold of this number is recorded."""
    return f"{holds_folder(candidate)}{stage}-{number}-approval.json"


def return_path(candidate: str, stage: Stage, number: int) -> str:
    """Return where it is written that a sweep lets `stage` go on, which no Dag run has ended; `number` counts the times."""
    return f"{holds_folder(candidate)}{stage}-return-{number}.json"


def retry_path(candidate: str, stage: Stage, number: int) -> str:
    """Return where it is written that a person has set the failed verdict of `stage` aside; `number` counts the times."""
    return f"{holds_folder(candidate)}{stage}-retry-{number}.json"


def failures_path(candidate: str, stage: Stage, round_: int = 0) -> str:
    """Return where the tries of `stage` are counted that failed by an error of its own."""
    return f"{folder(candidate)}{stage}-failures{f'-{round_}' if round_ else ''}.json"


def submission_path(candidate: str) -> str:
    """Return where the name of the candidate's tuning job is recorded."""
    return f"{folder(candidate)}tuning-job.json"


def attempt_path(candidate: str) -> str:
    """Return where it is written that the tuning job is about to be submitted."""
    return f"{folder(candidate)}tuning-attempt.json"


def progress_path(candidate: str) -> str:
    """Return where the triggerer notes how far the tuning job is."""
    return f"{folder(candidate)}tuning-progress.json"


def cancellation_path(candidate: str) -> str:
    """Return where it is written that the tuning job is to be cancelled."""
    return f"{folder(candidate)}cancellation.json"


def queued_path(candidate: str, since: datetime) -> str:
    """Return where the marker lies for as long as the candidate waits for a place for its tuning job; sorted by `since`."""
    return f"{QUEUE}{since.astimezone(UTC):%Y%m%dT%H%M%S.%f}-{candidate}.json"


def verdict_path(candidate: str, stage: Stage, retries: int = 0) -> str:
    """Return where the verdict of `stage` is recorded; after so many failed ones that were set aside, beside them."""
    return f"{folder(candidate)}{stage}{f'-{retries}' if retries else ''}.json"


def answers_path(candidate: str) -> str:
    """Return where the answers to the dataset's prompts lie."""
    return f"{folder(candidate)}answers/answers.jsonl"


def evaluation_answers_path(candidate: str) -> str:
    """Return where the answers to the evaluation prompts lie."""
    return f"{folder(candidate)}answers/evaluation.jsonl"


def champion_path(dataset: str) -> str:
    """Return where the champion of `dataset` is recorded."""
    return f"{ROOT}datasets/{dataset}/champion.json"


def ledger_path(month: str) -> str:
    """Return where the ledger of `month` (`yyyy-mm`) lies."""
    return f"{ROOT}ledger/{month}.json"


def quota_prefix(project: str, location: str, model: str) -> str:
    """Return below which prefix the processes that share the quota of one model say so."""
    return f"{QUOTAS}{project}/{location}/{model}/"


def quota_block_prefix(project: str, location: str, model: str, block: int) -> str:
    """Return below which prefix they say so for one block of seconds; in the order of time."""
    return f"{quota_prefix(project, location, model)}{block:012}/"


def quota_entry_path(project: str, location: str, model: str, block: int, holder: str) -> str:
    """Return where the empty object lies by which a process takes part in one block of seconds; removed when that is over."""
    return f"{quota_block_prefix(project, location, model, block)}{holder}"
