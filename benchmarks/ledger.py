"""Measure the month's ledger under Cloud Storage's one write a second to an object name: `python -m benchmarks.ledger`.

So many candidates reserve at once, each wish from a thread of one of several processes, and then settle at once. The storage
stand-in refuses with 429 what changes an object name sooner than a second after its last change, and counts. Options:
`[--candidates 10 30 100 500] [--processes 10] [--before REVISION] [--month 10 10000] [--json FILE]`.

Before: the same calls with the library as it was at a revision of this repository's history (47d1145 by default), which changed
one document of the whole month by compare-and-set. `--month` measures one candidate in a month that has that many already.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.command_line import end_with_sigterm, positive
from benchmarks.inference import table
from benchmarks.inference_stack import BUCKET, StandIns, config, running

LIMIT_SECONDS = 1.0
AIM_SECONDS = 5.0
MOST_KIB = 64
ROOT = Path(__file__).resolve().parents[1]
MONTH = datetime(2026, 11, 30, 12, 34, 56, tzinfo=UTC)
COST = Decimal("1.07")
WAYS = ("after", "before")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=positive, nargs="*", default=[10, 30, 100, 500], help="at once")
    parser.add_argument(
        "--before-candidates", type=positive, nargs="*", default=[10, 30], help="of them, for the way before"
    )
    parser.add_argument("--processes", type=positive, default=10)
    parser.add_argument("--month", type=positive, nargs="*", default=[10, 10_000], help="candidates that the month has")
    parser.add_argument("--before", default="47d1145", help="a revision of the repository")
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        _work(*given.worker)
        return
    end_with_sigterm()
    figures: dict[str, Any] = {"at once": [], "month": []}
    with tempfile.TemporaryDirectory(prefix="genops-bench-") as folder:
        old = _checked_out(given.before, Path(folder) / "old")
        with running(Path(folder), names=("storage",)) as stand_ins:
            for way, path, numbers in (("after", None, given.candidates), ("before", old, given.before_candidates)):
                for number in numbers:
                    found = _measured(stand_ins, path, number, min(number, given.processes))
                    figures["at once"].append({"way": way, "candidates": number, **found})
            for number in given.month:
                for way, path in (("after", None), ("before", old)):
                    figures["month"].append({"way": way, "candidates": number, **_in_a_month(stand_ins, path, number)})
    _show(figures)
    if given.json:
        given.json.write_text(json.dumps(figures, indent=2) + "\n")
    if missed := _missed(figures):
        sys.exit("missed: " + "; ".join(missed))


def _checked_out(revision: str, folder: Path) -> Path:
    """Return a folder with the library as it was."""
    packed = subprocess.run(
        ["git", "archive", revision, "genops_events"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def _fresh(stand_ins: StandIns) -> None:
    """Remove every ledger, begin to count anew, and put the limit in force."""
    stand_ins.admin("storage", "PUT", "/faults", {"object_write_seconds": 0})
    bucket = _bucket()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda blob: blob.delete(), bucket.list_blobs(prefix="genops/ledger/")))
    stand_ins.admin("storage", "PUT", "/faults", {"object_write_seconds": LIMIT_SECONDS})
    stand_ins.admin("storage", "DELETE", "/writes")


def _bucket() -> Any:
    from google.cloud import storage

    return storage.Client(project=config().project).bucket(BUCKET)


def _measured(stand_ins: StandIns, path: Path | None, candidates: int, processes: int) -> dict[str, Any]:
    """Let so many candidates reserve at once, then settle at once."""
    _fresh(stand_ins)
    workers = [_started(path, processes, number, candidates) for number in range(processes)]
    found: dict[str, Any] = {}
    largest = 0
    for step in ("reserve", "settle"):
        stand_ins.admin("storage", "DELETE", "/writes")
        for one in workers:
            _read(one)
        served = _core_seconds(stand_ins)
        began = time.time()
        for one in workers:
            _tell(one, step)
        told: list[dict[str, Any]] = [json.loads(_read(one)) for one in workers]
        seconds = time.time() - began
        counts = stand_ins.admin("storage", "GET", f"/writes?prefix={BUCKET}/genops/ledger/2026-11.")
        writes = {word: {n: count for n, count in of.items() if n.endswith(".json")} for word, of in counts.items()}
        taken = sorted(one for each in told for one in each["seconds"])
        made = sum(writes["made"].values())
        largest = max(largest, *_sizes(_bucket()))
        found[step] = {
            "p50": _quantile(taken, 0.5),
            "p95": _quantile(taken, 0.95),
            "max": taken[-1] if taken else None,
            "failed": sum(each["failed"] for each in told),
            "seconds": seconds,
            "writes": made,
            "writes_of_one": max(writes["made"].values(), default=0),
            "refused": sum(writes["refused"].values()),
            "core_seconds": sum(each["core_seconds"] for each in told),
            "stand_in_core_seconds": _core_seconds(stand_ins) - served,
        }
    for one in workers:
        one.wait()
    return {**found, "largest_kib": largest / 1024}


def _sizes(bucket: Any) -> list[int]:
    """Return the sizes of the objects in which the month's ledger lies."""
    return [one.size for one in bucket.list_blobs(prefix="genops/ledger/2026-11.", delimiter="/")]


def _core_seconds(stand_ins: StandIns) -> float:
    """Return the processor time that the storage stand-in has used so far."""
    import psutil

    times = psutil.Process(stand_ins.pids[0]).cpu_times()
    return float(times.user + times.system)


def _in_a_month(stand_ins: StandIns, path: Path | None, candidates: int) -> dict[str, Any]:
    """Let one candidate reserve and settle in a month that has so many others, all settled: what one write takes."""
    _fresh(stand_ins)
    bucket = _bucket()
    name = "genops/ledger/2026-11.json"
    content = _old_ledger(candidates)
    bucket.blob(name).upload_from_string(content if path else _folded(content))
    time.sleep(2 * LIMIT_SECONDS)
    worker = _started(path, 1, 0, 1)
    found: dict[str, Any] = {}
    for step in ("reserve", "settle"):
        _read(worker)
        time.sleep(2 * LIMIT_SECONDS)  # so that the limit is not what is measured
        _tell(worker, step)
        told = json.loads(_read(worker))
        found[step] = told["seconds"][0] if told["seconds"] else None
    worker.wait()
    return {**found, "kib": max(_sizes(bucket)) / 1024}


def _old_ledger(candidates: int) -> str:
    """Return a ledger in the form of before, of so many candidates that have settled two stages each."""
    posting = {"reserved_usd": "0", "spent_usd": "1.05", "settled": True, "reserved_at": "2026-11-05T12:00:00Z"}
    posting |= {"estimated_usd": "1.07", "approved_by": None}
    entries = {
        f"banking77-{number + (1 << 60):016x}": {
            "dataset": "banking77",
            "purposes": {"tuning": posting, "inference": posting},
        }
        for number in range(candidates)
    }
    return json.dumps({"schema": "genops.ledger.v1", "month": "2026-11", "entries": entries}, indent=2)


def _folded(content: str) -> bytes:
    """Return a ledger of before as it is once every account of it lies in a folder of its own."""
    from genops_events.money.group_commit import KEPT_COMMITS, committed_group, unwritten
    from genops_events.money.ledger import Ledger

    ledger = Ledger.model_validate_json(content).model_copy(update={"commit": KEPT_COMMITS, "series": "5e1e5"})
    written = {(one.account, one.purpose) for one in unwritten(ledger, most=1_000_000)}
    after = committed_group(ledger, [], series="", written=written)
    assert after is not None
    return after.to_json()


def _started(path: Path | None, processes: int, number: int, candidates: int) -> subprocess.Popen[str]:
    """Start a process that says when it is ready for a step, and does it when it is told."""
    environment = dict(os.environ)
    roots = [str(path), str(ROOT)] if path else [str(ROOT)]
    environment["PYTHONPATH"] = os.pathsep.join(roots)
    command = [sys.executable, str(Path(__file__)), "--worker", str(processes), str(number), str(candidates)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def _read(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    if not (line := process.stdout.readline()):
        sys.exit("a process of the benchmark ended before its time")
    return line


def _tell(process: subprocess.Popen[str], step: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{step}\n")
    process.stdin.flush()


def _work(processes: str, number: str, candidates: str) -> None:
    """Be one of the processes: its candidates in threads, each with a client of its own, as Airflow's tasks have."""
    from genops_events.errors import GenopsError
    from genops_events.gcp.ledger_store import reserve, settle
    from genops_events.gcp.record_store import RecordStore

    mine = [f"banking77-{one:016x}" for one in range(int(number), int(candidates), int(processes))]
    stores = {candidate: RecordStore(_bucket()) for candidate in mine}
    for store in stores.values():
        store.names("genops/nothing/")  # connected

    def make(step: str, candidate: str) -> float | None:
        about: dict[str, Any] = {"candidate": candidate, "purpose": "tuning", "at": MONTH}
        began = time.monotonic()
        try:
            if step == "reserve":
                limit = Decimal(10**6)
                refusal = reserve(
                    stores[candidate], dataset="banking77", amount=COST, limit=limit, project_limit=limit, **about
                )
                if refusal is not None:
                    return None
            else:
                settle(stores[candidate], spent=COST, **about)
        except GenopsError:
            return None
        return time.monotonic() - began

    with ThreadPoolExecutor(len(mine)) as pool:
        list(pool.map(time.sleep, [0.01] * len(mine)))  # threads are there
        for _ in range(2):
            print("ready", flush=True)
            step, cpu = sys.stdin.readline().strip(), time.process_time()
            taken = list(pool.map(partial(make, step), mine))
            seconds = [one for one in taken if one is not None]
            figures = {"seconds": seconds, "failed": len(taken) - len(seconds)}
            print(json.dumps(figures | {"core_seconds": time.process_time() - cpu}), flush=True)


def _quantile(values: list[float], share: float) -> float | None:
    return values[min(int(share * len(values)), len(values) - 1)] if values else None


def _missed(figures: dict[str, Any]) -> list[str]:
    missed = []
    for one in figures["at once"]:
        if one["way"] == "before":
            continue
        for step in ("reserve", "settle"):
            late, failed = one[step]["p95"], one[step]["failed"]
            if failed or late is None or late > AIM_SECONDS:
                missed += [f"{one['candidates']} {step}: p95 {_told(late)} s, {failed} failed"]
        if one["largest_kib"] > MOST_KIB:
            missed += [f"{one['candidates']}: the ledger has {one['largest_kib']:.1f} KiB"]
    return missed


def _show(figures: dict[str, Any]) -> None:
    console = Console(width=160)
    rows = [
        (
            f"{one['candidates']:,}",
            one["way"],
            step,
            _told(one[step]["p50"]),
            _told(one[step]["p95"]),
            _told(one[step]["max"]),
            str(one[step]["failed"]),
            str(one[step]["writes"]),
            f"{one[step]['writes_of_one']}",
            str(one[step]["refused"]),
            f"{one['largest_kib']:.1f}",
            f"{one[step]['core_seconds'] / one['candidates'] * 1000:.0f}",
            f"{one[step]['stand_in_core_seconds'] / one['candidates'] * 1000:.0f}",
        )
        for one in figures["at once"]
        for step in ("reserve", "settle")
    ]
    heads = ("at once", "way", "wish", "p50 (s)", "p95 (s)", "max (s)", "failed", "writes", "of one object")
    table(console, (*heads, "refused", "ledger (KiB)", "core-ms a wish", "at the stand-in"), rows)
    rows = [
        (f"{one['candidates']:,}", one["way"], _told(one["reserve"]), _told(one["settle"]), f"{one['kib']:,.1f}")
        for one in figures["month"]
    ]
    table(console, ("candidates of the month", "way", "reserve (s)", "settle (s)", "ledger (KiB)"), rows)


def _told(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.2f}"


if __name__ == "__main__":
    main()
