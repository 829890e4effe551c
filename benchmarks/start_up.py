"""Measure what a command and a Dag file cost before they do anything: `make bench-start`.

Each command is a whole process, each Dag file is imported in one of its own, after Airflow's SDK. The figures are core-seconds (user
and system), the median of the rounds; in a round everything runs once, so that what others do meets all alike. Floors in the same
rounds: Python that does nothing, Typer's import (which the command is made with), and the import of Airflow's SDK.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.command_line import end_with_sigterm, positive
from benchmarks.inference_stack import config, running

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 10
CANDIDATES = 20
MAX_HELP_SECONDS, MAX_DAG_SECONDS = 0.4, 0.3
NOTHING, TYPER, HELP = "python -c pass", 'python -c "import typer"', "genops --help"
PROCESSES = {
    NOTHING: ("-c", "pass"),
    TYPER: ("-c", "import typer"),
    **{
        f"genops {' '.join(words)}": ("-m", "genops_events.cli", *words)
        for words in (["--version"], ["--help"], ["candidates", "--help"], ["candidates"], ["candidates", "--json"])
    },
}
_IMPORTS = """
import json, runpy, sys, time
began = time.process_time()
from airflow.sdk import DAG, Param, PartitionedAssetTimetable
before = time.process_time()
runpy.run_path(sys.argv[1])
print(json.dumps({"sdk": before - began, "file": time.process_time() - before}))
"""
"""Airflow hands its names on lazily: the three are what our Dag files import."""
DAGS = tuple(sorted((ROOT / "dags").glob("*.py")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=positive, default=ROUNDS)
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    given = parser.parse_args()
    end_with_sigterm()
    with tempfile.TemporaryDirectory(prefix="genops-bench-") as folder:
        os.environ |= {"AIRFLOW_HOME": f"{folder}/airflow", "GENOPS_CONFIG": str(ROOT / "examples" / "genops.yaml")}
        with running(Path(folder), ("storage", "pubsub")):
            _put_candidates()
            rounds = [{name: _core_seconds(words) for name, words in PROCESSES.items()} for _ in range(given.rounds)]
        imports = [[_in_own_process(file) for file in DAGS] for _ in range(given.rounds)]
    figures = {name: statistics.median(one[name] for one in rounds) for name in PROCESSES}
    sdk = statistics.median(one["sdk"] for each in imports for one in each)
    dags = {file.stem: statistics.median(each[at]["file"] for each in imports) for at, file in enumerate(DAGS)}
    _show(figures, sdk, dags, rounds=given.rounds)
    if given.json:
        given.json.write_text(json.dumps({"processes": figures, "airflow_sdk": sdk, "dags": dags}, indent=2) + "\n")
    if figures[HELP] > MAX_HELP_SECONDS or max(dags.values()) > MAX_DAG_SECONDS:
        sys.exit(f"over {MAX_HELP_SECONDS} core-seconds for `{HELP}`, or over {MAX_DAG_SECONDS} for a Dag file")


def _put_candidates() -> None:
    """Put a few arrivals into the record, and make what provisioning makes."""
    from genops_events.config.identity import candidate_id
    from genops_events.gcp.record_store import RecordStore
    from genops_events.provisioning.provision import provision
    from genops_events.record.intake import Arrival
    from genops_events.record.paths import arrival_path

    settings, now = config(), datetime.now(UTC)
    provision(settings)
    store = RecordStore.open(settings)
    for number in range(CANDIDATES):
        name = f"training/banking77/{number}.jsonl"
        key = candidate_id("banking77", settings.bucket, name, 1)
        arrival = Arrival(
            candidate=key,
            written_at=now,
            dataset="banking77",
            bucket=settings.bucket,
            object=name,
            generation=1,
            size_bytes=1,
            arrived_at=now,
            found_by="sweep",
        )
        store.create(arrival_path(key), arrival)


def _core_seconds(words: tuple[str, ...]) -> float:
    """Run Python with these arguments, and return what the whole process used, user and system."""
    process = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{words} ended with {process.returncode}: {said.decode()}")
    return used.ru_utime + used.ru_stime


def _in_own_process(file: Path) -> dict[str, float]:
    """Import Airflow's SDK, then the file, in a process that has imported nothing else; return the core-seconds of each."""
    done = subprocess.run([sys.executable, "-c", _IMPORTS, str(file)], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _show(figures: dict[str, float], sdk: float, dags: dict[str, float], *, rounds: int) -> None:
    console = Console(highlight=False)
    load = os.getloadavg()[0]
    console.print(
        f"Median of {rounds}; {os.cpu_count()} cores, load {load:.1f}, Python {platform.python_version()}; "
        f"{CANDIDATES} candidates in the record"
    )
    for title, floor, rows in (
        ("a process", figures[NOTHING], figures),
        ("a Dag file", 0.0, {"from airflow.sdk import DAG …": sdk, **dags}),
    ):
        table = Table(box=None, pad_edge=False, header_style="bold")
        for heading in (title, "core seconds", "without Python's own" if floor else ""):
            table.add_column(heading, justify="left" if heading == title else "right")
        for name, seconds in rows.items():
            table.add_row(name, f"{seconds:.3f}", f"{seconds - floor:.3f}" if floor else "")
        console.print(table)


if __name__ == "__main__":
    main()
