"""Sweep 100,000 objects under one prefix: seconds and memory, beside the bare listing of the same objects.

    python -m benchmarks.sweep [--objects 100000] [--json FILE]

The objects are put into the storage stand-in's own database, since uploading them would take longer than everything else.
Each measurement is a process of its own. The stand-in runs beside it, so both need a core.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DATASET, BUCKET, PREFIX = "banking77", "genops-data", "training/banking77/"
LOST = 7
"""Objects without a candidate, spread over the prefix: a sweep that finds none would measure nothing."""
WORK = ("floor", "first", "again", "daily")
TARGET_SECONDS, TARGET_MEGABYTES = 30, 200


def main() -> int:
    """Print the table; 1 where a sweep did not find what is there to be found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=100_000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--work", choices=WORK, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        print(json.dumps(_work(given.work)))
        return 0
    with tempfile.TemporaryDirectory(prefix="genops-sweep-") as folder, _stand_in(Path(folder), given.objects) as env:
        rows = {work: _measured(work, env) for work in WORK}
    return _report(rows, given.objects, given.json)


def _report(rows: dict[str, dict[str, Any]], objects: int, file: Path | None) -> int:
    from rich.console import Console
    from rich.table import Table

    titles = {
        "floor": "bare listing, no fields left out",
        "first": "first sweep, all looked up",
        "again": "next sweep, only new ones",
        "daily": "once a day, all again",
    }
    table = Table("what", "objects", "lost", "seconds", "peak MB", "imports MB", title=f"{objects:,} objects")
    for work, row in rows.items():
        figures = (row["objects"], row["lost"], row["seconds"], row["peak_mb"], row["imports_mb"])
        table.add_row(titles[work], *(f"{one:,}" if isinstance(one, int) else f"{one:.1f}" for one in figures))
    console = Console()
    console.print(table)
    console.print(f"Target: {TARGET_SECONDS} s and {TARGET_MEGABYTES} MB for 100,000 objects.")
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    console.print(machine)
    if file is not None:
        file.write_text(json.dumps({"machine": machine, "objects": objects, "rows": rows}, indent=2) + "\n")
    expected = {"first": LOST, "again": 0, "daily": 0}
    return int(any(rows[work]["lost"] != lost for work, lost in expected.items()))


def _measured(work: str, env: dict[str, str]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.sweep", "--work", work],
        env=env,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return dict(json.loads(done.stdout))


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _work(work: str) -> dict[str, Any]:
    """Do one measurement in this process."""
    import google.cloud.storage  # noqa: F401 - what every task of the product has imported, too

    from genops_events.config import load_config
    from genops_events.gcp.at_once import widen
    from genops_events.gcp.record_store import RecordStore
    from genops_events.intake.bucket_sweep import LostArrivals, SweepPosition
    from genops_events.intake.open_candidates import mint

    config = load_config()
    store = RecordStore.open(config)
    widen(store.bucket.client)
    imports = _peak_mb()
    began = time.monotonic()
    objects = lost = 0
    if work == "floor":
        objects = sum(1 for _ in store.bucket.list_blobs(prefix=PREFIX))
    else:
        kept = Path(os.environ["GENOPS_CONFIG"]).with_name("standing.json")
        standing = SweepPosition.model_validate_json(kept.read_bytes()) if work != "first" else SweepPosition()
        now = datetime.now(UTC) + timedelta(days=1.5 if work == "daily" else 0)
        sweep = LostArrivals(config, store, standing, now=now)
        for page in sweep.pages():
            objects += page.objects
            lost += len(mint(store, page.lost))
        kept.write_text(sweep.standing.model_dump_json())
    return {
        "seconds": time.monotonic() - began,
        "objects": objects,
        "lost": lost,
        "imports_mb": imports,
        "peak_mb": _peak_mb(),
    }


@contextmanager
def _stand_in(folder: Path, objects: int) -> Iterator[dict[str, str]]:
    """Run the storage stand-in with `objects` old objects, nearly all of them with a candidate of 12 objects' length."""
    import socket
    import urllib.request

    import yaml

    from genops_events.stack.credentials import write_credentials

    settings = yaml.safe_load((ROOT / "examples" / "genops.yaml").read_text())
    config = folder / "genops.yaml"
    models = str(ROOT / "examples" / "models.toml")
    config.write_text(yaml.safe_dump({**settings, "bucket": BUCKET, "models": models}))
    ports = []
    for _ in range(2):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            ports.append(probe.getsockname()[1])
    command = [sys.executable, "-m", "gcp_stand_ins.storage", "--object-write-seconds", "0", "--port", str(ports[0])]
    command += ["--admin-port", str(ports[1]), "--state", str(folder / "storage"), "--pubsub", "127.0.0.1:9"]
    env = {
        **os.environ,
        "GENOPS_CONFIG": str(config),
        "STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{ports[0]}",
        "GOOGLE_APPLICATION_CREDENTIALS": str(write_credentials(folder)),
    }
    template = _template(command, env, folder)
    _fill(template, objects)
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        _wait(f"http://127.0.0.1:{ports[1]}/health", urllib.request.urlopen)
        yield env
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait(url: str, read: Any) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            read(url, timeout=2).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def _template(command: list[str], env: dict[str, str], folder: Path) -> Path:
    """Make the bucket and one object through the official client, so that the rows below are as the stand-in writes them."""
    import urllib.request

    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    script = (
        "from google.cloud import storage; b = storage.Client(project='genops-local').create_bucket('genops-data');"
        "b.blob('template').upload_from_string(b'x')"
    )
    try:
        _wait(f"http://127.0.0.1:{command[command.index('--admin-port') + 1]}/health", urllib.request.urlopen)
        subprocess.run([sys.executable, "-c", script], env=env, check=True)
    finally:
        process.terminate()
        process.wait(timeout=30)
    return folder / "storage" / "storage.sqlite3"


def _fill(database: Path, objects: int) -> None:
    """Copy the template's row: training files, and what their candidates leave in the record."""
    import sqlite3

    from genops_events.config.identity import candidate_id
    from genops_events.record.paths import folder

    connection = sqlite3.connect(database)
    columns = [row[1] for row in connection.execute("PRAGMA table_info(objects)")]
    template = dict(
        zip(columns, connection.execute("SELECT * FROM objects WHERE name = 'template'").fetchone(), strict=True)
    )
    old = datetime.now(UTC) - timedelta(hours=2)
    created = old.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    first = int(old.timestamp() * 1_000_000)
    resource = json.loads(template["resource"])
    unknown = {objects * number // LOST for number in range(LOST)}
    left = ["arrival.json", "validation.json", "tuning-intent.json", "tuning.json", "evaluation.json", "budget.json"]
    left += ["promotion.json", "inference.json", "events/10-a.json", "events/20-b.json", "events/30-c.json"]

    def row(name: str, generation: int) -> tuple[Any, ...]:
        told = {**resource, "name": name, "generation": str(generation), "timeCreated": created, "updated": created}
        values = {**template, "name": name, "generation": generation, "resource": json.dumps(told).encode()}
        return tuple(values[column] for column in columns)

    def rows() -> Iterator[tuple[Any, ...]]:
        for number in range(objects):
            name = f"{PREFIX}2026-11/customer-{number % 97:03}/part-{number:07}.jsonl"
            generation = first + number
            yield row(name, generation)
            if number not in unknown:
                candidate = candidate_id(DATASET, BUCKET, name, generation)
                yield from (row(f"{folder(candidate)}{one}", generation) for one in left)

    with connection:
        marks = ", ".join("?" for _ in columns)
        connection.executemany(f"INSERT INTO objects ({', '.join(columns)}) VALUES ({marks})", rows())
    connection.close()


if __name__ == "__main__":
    sys.exit(main())
