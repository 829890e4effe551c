"""Measure one quota under several runs at once: `python -m benchmarks.shared_quota [--prompts 16000] [--runs 8] [--json FILE]`.

Three ways to answer the same prompts, in one go, against a stand-in that refuses with 429 what is over 6,000 requests in any
60 seconds: one run with the whole quota (the floor), several runs that share it, and several that each have the whole of it,
as before. Each run is a process of its own with a file of its own; they and the two stand-ins are on the same machine. And a
run that begins while another one works: how long until its first call.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.command_line import end_with_sigterm, positive
from benchmarks.inference import table
from benchmarks.inference_stack import BUCKET, MODEL, StandIns, config, running, write_prompts

QUOTA = 6000
WINDOW_SECONDS = 60
"""What was asked before counts for so long."""
ANSWER_SECONDS = 0.5
SHARE = 0.95
LATE_AFTER_SECONDS = 12
LATE_PROMPTS = 3000
WARM = 50
WAYS = {
    "one": "one run with the whole quota",
    "shared": "{runs} runs that share it",
    "each": "{runs} runs, each with the whole quota",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=positive, default=16_000, help="of all runs together")
    parser.add_argument("--runs", type=positive, default=8)
    parser.add_argument("--only", choices=(*WAYS, "late"), action="append", default=[])
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--share", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.run:
        _answer(given.run, rows=given.rows, share=given.share)
        return
    end_with_sigterm()
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="genops-bench-") as folder, running(Path(folder)) as stand_ins:
        for rows in {WARM, LATE_PROMPTS, given.prompts, given.prompts // given.runs}:
            write_prompts(f"prompts-{rows}.jsonl", rows)
        for way in WAYS:
            if not given.only or way in given.only:
                runs = 1 if way == "one" else given.runs
                figures[way] = _measured(stand_ins, way, runs=runs, rows=given.prompts // runs)
        if not given.only or "late" in given.only:
            figures["late"] = _late(stand_ins)
    _show(figures, given.prompts, given.runs)
    if given.json:
        given.json.write_text(json.dumps(figures, indent=2) + "\n")
    if missed := _missed(figures):
        sys.exit("missed: " + "; ".join(missed))


def _started(run: str, rows: int, *, share: bool) -> subprocess.Popen[str]:
    """Start one run; it waits for a line once it is ready."""
    command = [sys.executable, "-m", "benchmarks.shared_quota", "--run", run, "--rows", str(rows)]
    if share:
        command.append("--share")
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    if process.stdout.readline() != "ready\n":
        sys.exit("a run ended before it began")


def _go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def _ended(process: subprocess.Popen[str]) -> dict[str, float]:
    told, _ = process.communicate()
    if process.returncode:
        sys.exit(f"a run ended with {process.returncode}")
    found: dict[str, float] = json.loads(told.splitlines()[-1])
    return found


def _measured(stand_ins: StandIns, way: str, *, runs: int, rows: int) -> dict[str, float]:
    """Let so many runs answer as many rows each, all begun at once, under the quota that the stand-in enforces."""
    processes = [_started(f"{way}-{number}", rows, share=way != "each") for number in range(runs)]
    for one in processes:
        _ready(one)
    refused = _under_quota(stand_ins)
    for one in processes:
        _go(one)
    found = [_ended(one) for one in processes]
    seconds = max(one["ended"] for one in found) - min(one["began"] for one in found)
    return {
        "runs": runs,
        "seconds": seconds,
        "share": runs * rows / (QUOTA / 60 * seconds),
        "refused": stand_ins.admin("vertex", "GET", "/quota")["refused"] - refused,
        "asked": sum(one["asked"] for one in found),
        "first_call_seconds": max(one["first"] - one["began"] for one in found),
        "first_ended_seconds": min(one["ended"] for one in found) - min(one["began"] for one in found),
        "core_seconds": sum(one["core_seconds"] for one in found),
    }


def _late(stand_ins: StandIns) -> dict[str, float]:
    """Let a run begin while another one has the whole quota, and return when its first call was made."""
    first, late = (_started(f"late-{number}", LATE_PROMPTS, share=True) for number in range(2))
    for one in (first, late):
        _ready(one)
    refused = _under_quota(stand_ins)
    _go(first)
    time.sleep(LATE_AFTER_SECONDS)
    _go(late)
    found = [_ended(one) for one in (first, late)]
    seconds = max(one["ended"] for one in found) - found[0]["began"]
    return {
        "first_call_seconds": found[1]["first"] - found[1]["began"],
        "share": 2 * LATE_PROMPTS / (QUOTA / 60 * seconds),
        "refused": stand_ins.admin("vertex", "GET", "/quota")["refused"] - refused,
    }


def _under_quota(stand_ins: StandIns) -> int:
    """Put the quota in force, with nothing counted in it, and return how many calls were refused so far."""
    stand_ins.faults(quota_requests_per_minute=QUOTA, delay_seconds=ANSWER_SECONDS, error_methods=["generateContent"])
    time.sleep(WINDOW_SECONDS)
    return int(stand_ins.admin("vertex", "GET", "/quota")["refused"])


def _answer(run: str, *, rows: int, share: bool) -> None:
    """Answer a file in this process, and print the figures as JSON; what is imported and connected first is not counted."""
    from genops_events.config.answers import AnswerSettings, Thinking
    from genops_events.config.quotas import Quota
    from genops_events.gcp.clients import storage_client
    from genops_events.gemini.kept import KeptRows
    from genops_events.gemini.online import answer_online
    from genops_events.gemini.pace import Pace
    from genops_events.gemini.prompts import PromptRow
    from genops_events.gemini.requests import Requests
    from genops_events.gemini.results import rows_of

    settings = config()
    bucket = storage_client(settings).bucket(BUCKET)
    asked_at: list[float] = []

    class Seen(Requests):
        def body(self, row: PromptRow) -> dict[str, Any]:
            asked_at.append(time.time())
            return super().body(row)

    how = AnswerSettings(temperature=0.0, max_output_tokens=64, thinking=Thinking(budget_tokens=0))

    def answer(count: int, prefix: str, pace: Pace) -> Any:
        return answer_online(
            settings,
            model=MODEL,
            rows=rows_of(bucket, f"prompts-{count}.jsonl", readable=settings.addresses),
            requests=Seen(how),
            kept=KeptRows(bucket, prefix),
            pace=pace,
        )

    answer(WARM, f"warm-{run}/", Pace())
    asked_at.clear()
    quota = Quota(settings.project, settings.location, MODEL, QUOTA)
    pace = Pace.of(bucket, quota) if share else Pace(requests_per_minute=QUOTA)
    print("ready", flush=True)
    sys.stdin.readline()
    cpu, began = time.process_time(), time.time()
    tally = answer(rows, f"{run}/", pace)
    figures = {"began": began, "ended": time.time(), "core_seconds": time.process_time() - cpu, "asked": tally.asked}
    # The body is made just before a row waits for its turn: that of the second row, once the first one was let go.
    print(json.dumps(figures | {"first": asked_at[1]}))


def _missed(figures: dict[str, dict[str, float]]) -> list[str]:
    missed = []
    if (shared := figures.get("shared")) and (shared["share"] < SHARE or shared["refused"]):
        missed.append(f"{shared['share']:.1%} of the quota shared, {shared['refused']} refused")
    if (one := figures.get("one")) and (one["share"] < SHARE or one["refused"]):
        missed.append(f"{one['share']:.1%} of the quota by one run, {one['refused']} refused")
    return missed


def _show(figures: dict[str, dict[str, float]], prompts: int, runs: int) -> None:
    console = Console(highlight=False)
    console.print(
        f"{prompts:,} prompts under a quota of {QUOTA:,} a minute; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}"
    )
    headings = ("", "share of the quota", "refused", "calls made", "seconds", "last first call, s", "core-s of clients")
    rows = [
        (
            WAYS[way].format(runs=runs),
            f"{one['share']:.1%}",
            f"{one['refused']:,.0f}",
            f"{one['asked']:,.0f}",
            f"{one['seconds']:.1f}",
            f"{one['first_call_seconds']:.1f}",
            f"{one['core_seconds']:.1f}",
        )
        for way, one in figures.items()
        if way in WAYS
    ]
    table(console, headings, rows)
    if late := figures.get("late"):
        console.print(
            f"A run that begins while another one works makes its first call after {late['first_call_seconds']:.1f} s; "
            f"{late['refused']:,.0f} refused."
        )


if __name__ == "__main__":
    main()
