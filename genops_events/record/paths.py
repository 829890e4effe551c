"""The paths of all that this project keeps in the bucket: the record's documents, and the files beside them."""

from __future__ import annotations

from datetime import UTC, datetime

from genops_events.reading.object_names import ROOT
from genops_events.record.stages import Stage

CANDIDATES = f"{ROOT}candidates/"

COMPARISONS = f"{ROOT}comparisons/"
"""Prefix of all comparisons, with a folder for each."""

QUEUE = f"{ROOT}queue/"
"""Prefix of the markers of candidates that wait for a tuning job's place."""

OPEN = f"{ROOT}open/"
"""Prefix of copies of the arrivals whose candidates are not settled yet; a sweep looks at these alone."""

QUOTAS = f"{ROOT}quotas/"
"""Prefix of the empty objects by which processes share a quota; those of past blocks of seconds are not needed any more."""


def folder(candidate: str) -> str:
    """Return the prefix of all documents and files of `candidate`."""
    return f"{CANDIDATES}{candidate}/"


def is_part(path: str) -> bool:
    """Return whether an object of a candidate's folder is one in which work has kept its rows as they came."""
    return ".parts/" in path or "/evaluation-parts/" in path


def arrival_path(candidate: str) -> str:
    """Return the path of the arrival of `candidate`."""
    return f"{folder(candidate)}arrival.json"


def open_path(candidate: str) -> str:
    """Return the path of the copy of the arrival, which exists as long as `candidate` is not settled."""
    return f"{OPEN}{candidate}.json"


def sweep_path() -> str:
    """Return the path of the last sweep's figures."""
    return f"{ROOT}intake/sweep.json"


def validation_path(candidate: str) -> str:
    """Return the path of the findings about the training file."""
    return f"{folder(candidate)}validation.json"


def training_path(candidate: str) -> str:
    """Return the path of the validated copy of the training file."""
    return f"{folder(candidate)}training.jsonl"


def valid_lines_path(candidate: str) -> str:
    """Return the path of the valid lines of a training file, if some of its lines are quarantined."""
    return f"{folder(candidate)}training-valid.jsonl"


def validation_examples_path(candidate: str) -> str:
    """Return the path of the candidate's copy of the dataset's validation file."""
    return f"{folder(candidate)}validation-examples.jsonl"


def quarantine_path(candidate: str) -> str:
    """Return the path of the rejected lines: line number, reason, beginning of the line."""
    return f"{folder(candidate)}quarantine.jsonl"


def intent_path(candidate: str, stage: Stage, round_: int = 0) -> str:
    """Return the path of the intent of the Dag run that has taken on `stage`; each release, return and retry begins a new round."""
    return f"{folder(candidate)}{stage}-intent{f'-{round_}' if round_ else ''}.json"


def prompts_over_path(candidate: str) -> str:
    """Return the path of the list of all prompts over a limit: line, id, figure, limit."""
    return f"{folder(candidate)}prompts-over.jsonl"


def prompts_path(candidate: str, round_: int = 0) -> str:
    """Return the path of the copy of the prompt file that the budget stage has priced, and that is answered."""
    return f"{folder(candidate)}prompts{f'-{round_}' if round_ else ''}.jsonl"


def holds_folder(candidate: str) -> str:
    """Return the prefix of the holds of `candidate`, and of their approvals."""
    return f"{folder(candidate)}holds/"


def hold_path(candidate: str, stage: Stage, number: int) -> str:
    """Return the path of the hold of `stage`, which waits for an approval; `number` is 1 for the first."""
    return f"{holds_folder(candidate)}{stage}-{number}.json"


def approval_path(candidate: str, stage: Stage, number: int) -> str:
    """Return the path of the approval of the hold of this number."""
    return f"{holds_folder(candidate)}{stage}-{number}-approval.json"


def return_path(candidate: str, stage: Stage, number: int) -> str:
    """Return the path of the return of `stage`, by which a sweep gives it to a new Dag run; `number` counts them."""
    return f"{holds_folder(candidate)}{stage}-return-{number}.json"


def retry_path(candidate: str, stage: Stage, number: int) -> str:
    """Return the path of the retry of `stage`, by which a person sets its failed verdict aside; `number` counts them."""
    return f"{holds_folder(candidate)}{stage}-retry-{number}.json"


def failures_path(candidate: str, stage: Stage, round_: int = 0) -> str:
    """Return the path of the tries of `stage` that failed by an error of its own."""
    return f"{folder(candidate)}{stage}-failures{f'-{round_}' if round_ else ''}.json"


def submission_path(candidate: str) -> str:
    """Return the path of the name of the candidate's tuning job."""
    return f"{folder(candidate)}tuning-job.json"


def attempt_path(candidate: str) -> str:
    """Return the path of the last attempt to submit the tuning job."""
    return f"{folder(candidate)}tuning-attempt.json"


def progress_path(candidate: str) -> str:
    """Return the path of the progress of the tuning job, which the triggerer writes."""
    return f"{folder(candidate)}tuning-progress.json"


def cancellation_path(candidate: str) -> str:
    """Return the path of the cancellation of the tuning job."""
    return f"{folder(candidate)}cancellation.json"


def queued_path(candidate: str, since: datetime) -> str:
    """Return the path of the marker of a candidate that waits for a tuning job's place; sorted by `since`."""
    return f"{QUEUE}{since.astimezone(UTC):%Y%m%dT%H%M%S.%f}-{candidate}.json"


def verdict_path(candidate: str, stage: Stage, retries: int = 0) -> str:
    """Return the path of the verdict of `stage`; `retries` is the number of failed verdicts that were set aside before it."""
    return f"{folder(candidate)}{stage}{f'-{retries}' if retries else ''}.json"


def answers_path(candidate: str) -> str:
    """Return the path of the answers to the dataset's prompts."""
    return f"{folder(candidate)}answers/answers.jsonl"


def evaluation_answers_path(candidate: str) -> str:
    """Return the path of the answers to the evaluation prompts."""
    return f"{folder(candidate)}answers/evaluation.jsonl"


def champion_path(dataset: str) -> str:
    """Return the path of the champion of `dataset`."""
    return f"{ROOT}datasets/{dataset}/champion.json"


LEDGER_OBJECTS = 5
"""Each month's ledger lies in so many objects, whose turn it is one after the other: one object name takes one write a second."""


def ledger_path(month: str) -> str:
    """Return the path of the first object of the ledger of `month` (`yyyy-mm`)."""
    return f"{ROOT}ledger/{month}.json"


def ledger_further_path(month: str, number: int) -> str:
    """Return the path of another object of the ledger of `month`; the one with the highest commit is the ledger."""
    return f"{ROOT}ledger/{month}.{number}.json"


def ledger_of_commit(month: str, commit: int) -> str:
    """Return the path of the object into which a commit of the ledger of `month` is written, the first one being 1."""
    number = (commit - 1) % LEDGER_OBJECTS
    return ledger_further_path(month, number) if number else ledger_path(month)


def ledger_paths(month: str) -> tuple[str, ...]:
    """Return the paths of all objects in which the ledger of `month` may lie."""
    return tuple(ledger_of_commit(month, commit) for commit in range(1, LEDGER_OBJECTS + 1))


def month_of_ledger(path: str) -> str | None:
    """Return whose ledger lies at `path`, as `yyyy-mm`, or None where that is no path of a ledger."""
    month = path.removeprefix(f"{ROOT}ledger/").partition(".")[0]
    return month if path in ledger_paths(month) else None


def ledger_prefix(month: str) -> str:
    """Return the prefix below which the ledger of `month` lies, and all that its writing takes: one listing shows it."""
    return f"{ROOT}ledger/{month}."


def ledger_wishes_prefix(month: str) -> str:
    """Return the prefix below which wishes for the ledger of `month` lie until they are answered."""
    return f"{ledger_prefix(month)}wishes/"


def ledger_account_wishes_prefix(month: str, account: str) -> str:
    """Return the prefix below which the wishes of one account lie."""
    return f"{ledger_wishes_prefix(month)}{account}/"


def ledger_wish_path(month: str, account: str, wish: str) -> str:
    """Return where one wish lies: an empty object, which says in its metadata what is wished for."""
    return f"{ledger_account_wishes_prefix(month, account)}{wish}"


def ledger_turns_prefix(month: str) -> str:
    """Return the prefix below which it is noted who writes the ledger of `month` next."""
    return f"{ledger_prefix(month)}turns/"


def ledger_turn_path(month: str, version: str, number: int) -> str:
    """Return where it is noted that somebody is about to write what follows a version of the ledger."""
    return f"{ledger_turns_prefix(month)}{version}-{number}"


def ledger_accounts_prefix(month: str, series: str) -> str:
    """Return the prefix below which the accounts of a ledger lie, each in a folder: its `series` says which ledger's."""
    return f"{ROOT}ledger/{month}/{series}/"


def ledger_account_prefix(month: str, series: str, account: str) -> str:
    """Return the prefix below which the postings of one account lie: mostly a candidate's."""
    return f"{ledger_accounts_prefix(month, series)}{account}/"


def ledger_posting_path(month: str, series: str, account: str, commit: int, purpose: str) -> str:
    """Return where a posting lies as one commit of the ledger has left it: an empty object with the posting as metadata."""
    return f"{ledger_account_prefix(month, series, account)}{commit:09}-{purpose}"


def quota_prefix(project: str, location: str, model: str) -> str:
    """Return the prefix of the objects of processes that share the quota of one model."""
    return f"{QUOTAS}{project}/{location}/{model}/"


def quota_block_prefix(project: str, location: str, model: str, block: int) -> str:
    """Return the prefix of the objects for one block of seconds; blocks sort by time."""
    return f"{quota_prefix(project, location, model)}{block:012}/"


def quota_entry_path(project: str, location: str, model: str, block: int, holder: str) -> str:
    """Return the path of a process's entry for one block of seconds, or of its claim to a piece: an empty object that is removed afterwards."""
    return f"{quota_block_prefix(project, location, model, block)}{holder}"
