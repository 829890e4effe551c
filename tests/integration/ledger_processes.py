"""Processes that reserve and settle in one ledger, and are killed -9 between any two lines of it; no test.

`python ledger_processes.py` reads a JSON list from its standard input, an object a process: its candidate, and after how many
lines of the ledger's own modules it is killed (null: not at all). It forks them all at once, so that each begins with what is
imported here and nothing else, and prints for each how it ended: its last word, or nothing where it was killed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import FrameType
from typing import Any

from genops_events.config import load_config
from genops_events.gcp import ledger_commits, ledger_reads, ledger_store
from genops_events.gcp.record_store import RecordStore
from genops_events.money import group_commit, ledger

MONTH = datetime(2026, 11, 5, tzinfo=UTC)
COST = Decimal("1.07")
DATASET, PROJECT = Decimal(25), Decimal(40)
OWN = {one.__file__ for one in (ledger_commits, ledger_reads, ledger_store, group_commit, ledger)}


class Lines:
    """Counts the lines that this process runs of the ledger's modules, and kills it after so many."""

    def __init__(self, most: int | None) -> None:
        self.count = 0
        self._most = most

    def called(self, frame: FrameType, _event: str, _arg: object) -> Any:
        return self.ran if frame.f_code.co_filename in OWN else None

    def ran(self, _frame: FrameType, event: str, _arg: object) -> Any:
        if event == "line":
            self.count += 1
            if self.count == self._most:
                os.kill(os.getpid(), signal.SIGKILL)
        return self.ran


def reserve_and_settle(candidate: str, lines: Lines) -> str:
    """Do what a stage does with its money; return how it went, and how many lines that took."""
    store = RecordStore.open(load_config())
    dataset = candidate.rpartition("-")[0]
    sys.settrace(lines.called)
    refusal = ledger_store.reserve(
        store,
        candidate=candidate,
        dataset=dataset,
        purpose="tuning",
        amount=COST,
        limit=DATASET,
        project_limit=PROJECT,
        at=MONTH,
    )
    if refusal is None:
        ledger_store.settle(store, candidate=candidate, purpose="tuning", spent=COST, at=MONTH)
    sys.settrace(None)
    return f"{'refused' if refusal else 'settled'} {lines.count}"


def main() -> None:
    # Little patience with the dead, and little that is kept: within seconds all happens that takes minutes otherwise.
    ledger_commits.TURN_SECONDS = 0.5
    ledger_commits.FORGOTTEN = timedelta(seconds=3)
    ledger_commits.APART_SECONDS = 0.05
    ledger_commits.SAME_APART_SECONDS = 0.25
    group_commit.KEPT_COMMITS = 3
    children = []
    for one in json.load(sys.stdin):
        read, write = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(read)
            told = reserve_and_settle(one["candidate"], Lines(one["lines"]))
            os.write(write, told.encode())
            os._exit(0)
        os.close(write)
        children.append((pid, read))
    ends = []
    for pid, read in children:
        with os.fdopen(read) as pipe:
            ends.append(pipe.read())
        _, status = os.waitpid(pid, 0)
        if status and os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
            sys.exit(f"a process ended with {status}")
    print(json.dumps(ends))


if __name__ == "__main__":
    main()
