"""Measure inference online against the stand-in: `python -m benchmarks.inference [--prompts 10000] [--json FILE]`.

Four things: the share of a quota of 6,000 requests a minute that is used, and how many calls are refused for being over
it; the overhead of a call over a bare aiohttp loop, unthrottled; peak memory at 1,000 prompts and at all of them; and what
is asked twice when the process is killed half-way. Each run is a process of its own; the stand-ins are two more, on the same
machine, so that the seconds are theirs as well: the core-seconds are the client's alone.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import inference_ways
from benchmarks.command_line import end_with_sigterm, positive
from benchmarks.inference_stack import BUCKET, StandIns, config, running, write_prompts

QUOTA = 6000
ANSWER_SECONDS = 0.5
"""How long the stand-in takes to answer where the quota is measured, and the kill: calls must be under way."""
AT_ONCE = 64
FEW = 1000
SHARE, MOST_MB, OVERHEAD = 0.95, 200, 1.2
WORDS = {
    "bare": "bare aiohttp loop",
    "genops": "genops: read, ask, keep",
    "genai": "google-genai over aiohttp, asking alone",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=positive, default=10_000)
    parser.add_argument("--repeats", type=positive, default=3, help="of the unthrottled runs; the median is shown")
    parser.add_argument("--only", choices=("quota", "overhead", "memory", "kill"), action="append", default=[])
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    parser.add_argument("--way", choices=WORDS, help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--at-once", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--prefix", default="", help=argparse.SUPPRESS)
    parser.add_argument("--requests-per-minute", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        inference_ways.main(given)
        return
    end_with_sigterm()
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="genops-bench-") as folder, running(Path(folder)) as stand_ins:
        for rows in {inference_ways.WARM, FEW, given.prompts}:
            write_prompts(f"prompts-{rows}.jsonl", rows)
        for name, measure in (("overhead", _overhead), ("memory", _memory), ("kill", _kill), ("quota", _quota)):
            if not given.only or name in given.only:
                figures[name] = measure(stand_ins, given.prompts, given.repeats)
    _show(figures, given.prompts)
    if given.json:
        given.json.write_text(json.dumps(figures, indent=2) + "\n")
    if missed := _missed(figures):
        sys.exit("missed: " + "; ".join(missed))


def _command(way: str, rows: int, **more: object) -> list[str]:
    command = [sys.executable, "-m", "benchmarks.inference", "--way", way, "--rows", str(rows)]
    return command + [part for name, value in more.items() for part in (f"--{name.replace('_', '-')}", str(value))]


def _run(way: str, rows: int, **more: object) -> dict[str, float]:
    done = subprocess.run(_command(way, rows, **more), capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _overhead(stand_ins: StandIns, prompts: int, repeats: int) -> dict[str, Any]:
    """Run each way several times in turn, unthrottled, against a stand-in that answers at once."""
    stand_ins.faults()
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WORDS}
    for number in range(repeats):
        for way in WORDS:
            rows = max(1, prompts // 10) if way == "genai" else prompts
            found[way].append(_run(way, rows, at_once=AT_ONCE, prefix=f"overhead-{number}/"))
    ways = {
        way: {
            "ms": statistics.median(1000 * one["seconds"] / one["rows"] for one in runs),
            "core_ms": statistics.median(1000 * one["core_seconds"] / one["rows"] for one in runs),
        }
        for way, runs in found.items()
    }
    bare = ways["bare"]
    for one in ways.values():
        one["times"] = one["ms"] / bare["ms"]
        one["core_times"] = one["core_ms"] / bare["core_ms"]
    return ways


def _memory(stand_ins: StandIns, prompts: int, repeats: int) -> dict[str, float]:  # noqa: ARG001
    stand_ins.faults()
    return {
        str(rows): _run("genops", rows, at_once=AT_ONCE, prefix=f"memory-{rows}/")["peak_mb"] for rows in (FEW, prompts)
    }


def _quota(stand_ins: StandIns, prompts: int, repeats: int) -> dict[str, float]:  # noqa: ARG001
    """Answer under the quota, which the stand-in enforces over any 60 seconds."""
    time.sleep(60)  # what was asked before counts for so long
    stand_ins.faults(quota_requests_per_minute=QUOTA, delay_seconds=ANSWER_SECONDS, error_methods=["generateContent"])
    before = stand_ins.admin("vertex", "GET", "/quota")["refused"]
    found = _run("genops", prompts, prefix="quota/", requests_per_minute=QUOTA)
    after = stand_ins.admin("vertex", "GET", "/quota")
    return {
        "seconds": found["seconds"],
        "share": prompts / (QUOTA / 60 * found["seconds"]),
        "refused": after["refused"] - before,
        "asked": found["asked"],
        "peak_mb": found["peak_mb"],
        "core_seconds": found["core_seconds"],
        "most_under_way": found["most_under_way"],
    }


def _kill(stand_ins: StandIns, prompts: int, repeats: int) -> dict[str, float]:  # noqa: ARG001
    """Kill the process when half of the prompts were asked, look what is kept, and let another one go on."""
    stand_ins.faults(delay_seconds=ANSWER_SECONDS, error_methods=["generateContent"])
    before = stand_ins.calls()
    more = {"prefix": "kill/", "requests_per_minute": 2 * QUOTA}
    with subprocess.Popen(_command("genops", prompts, **more), stdout=subprocess.DEVNULL) as process:
        while stand_ins.calls() - before < prompts // 2:
            if process.poll() is not None:
                sys.exit("the run ended before it was killed")
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    time.sleep(2 * ANSWER_SECONDS)
    asked = stand_ins.calls() - before
    kept = _kept("kill/")
    _run("genops", prompts, **more)
    return {
        "asked_before": asked,
        "kept": kept,
        "in_flight": asked - kept,
        "asked_twice": stand_ins.calls() - before - prompts,
        "rows": _kept("kill/"),
    }


def _kept(prefix: str) -> int:
    from google.cloud import storage

    from genops_events.gemini.kept import KeptRows

    bucket = storage.Client(project=config().project).bucket(BUCKET)
    return sum(1 for _ in KeptRows(bucket, prefix).in_order())


def _missed(figures: dict[str, Any]) -> list[str]:
    missed = []
    if (quota := figures.get("quota")) and (quota["share"] < SHARE or quota["refused"]):
        missed.append(f"{quota['share']:.1%} of the quota, {quota['refused']} refused")
    if (memory := figures.get("memory")) and max(memory.values()) > MOST_MB:
        missed.append(f"{max(memory.values()):.0f} MB")
    if (overhead := figures.get("overhead")) and overhead["genops"]["times"] > OVERHEAD:
        missed.append(f"{overhead['genops']['times']:.2f} times a bare loop")
    if (kill := figures.get("kill")) and kill["asked_twice"] > kill["in_flight"]:
        missed.append(f"{kill['asked_twice']} asked twice")
    return missed


def _show(figures: dict[str, Any], prompts: int) -> None:
    console = Console(highlight=False)
    console.print(
        f"{prompts:,} prompts; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}"
    )
    if overhead := figures.get("overhead"):
        headings = ("a call, unthrottled", "ms", "times", "core ms of the client", "times")
        rows = [
            (WORDS[way], f"{one['ms']:.2f}", f"{one['times']:.2f}", f"{one['core_ms']:.2f}", f"{one['core_times']:.2f}")
            for way, one in overhead.items()
        ]
        table(console, headings, rows)
    if memory := figures.get("memory"):
        table(console, ("prompts", "peak MB"), [(f"{int(rows):,}", f"{mb:.0f}") for rows, mb in memory.items()])
    if kill := figures.get("kill"):
        names = {
            "asked_before": "asked when killed",
            "kept": "of these kept",
            "in_flight": "in flight",
            "asked_twice": "asked twice",
        }
        table(console, ("kill -9 half-way", "prompts"), [(text, f"{kill[name]:,.0f}") for name, text in names.items()])
    if quota := figures.get("quota"):
        rows = [
            ("share of the quota used", f"{quota['share']:.1%}"),
            ("refused for being over it", f"{quota['refused']:,.0f}"),
            ("seconds", f"{quota['seconds']:.1f}"),
            ("core-seconds of the client", f"{quota['core_seconds']:.1f}"),
            ("most prompts under way", f"{quota['most_under_way']:,.0f}"),
            ("peak MB", f"{quota['peak_mb']:.0f}"),
        ]
        table(console, (f"quota of {QUOTA:,} requests a minute", ""), rows)


def table(console: Console, headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    console.print(table)


if __name__ == "__main__":
    main()
