"""What benchmarks without an Airflow run against: stand-ins of Google Cloud, each a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from genops_events.config import Config, parse_config
from genops_events.stack import ports
from genops_events.stack.credentials import write_credentials

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "genops.yaml"
BUCKET = "genops-data"
MODEL = "gemini-2.5-flash"


class StandIns:
    """Stand-ins, that of Cloud Storage among them; no notification is configured."""

    def __init__(self, state: Path, names: Collection[str] = ("storage", "vertex")) -> None:
        self._state = state
        chosen = iter(
            ports.choose([f"{name}{of}" for name in names for of in ("", " admin")], home=state, kept={}).values()
        )
        self._ports = {name: (next(chosen), next(chosen)) for name in names}
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def environment(self) -> dict[str, str]:
        """What leads Google's clients here."""
        found = {
            "STORAGE_EMULATOR_HOST": self._url("storage"),
            "GOOGLE_APPLICATION_CREDENTIALS": str(write_credentials(self._state)),
        }
        if "vertex" in self._ports:
            found["GOOGLE_VERTEX_BASE_URL"] = self._url("vertex")
        if "pubsub" in self._ports:
            found["PUBSUB_EMULATOR_HOST"] = self._url("pubsub").removeprefix("http://")
        return found

    def _url(self, name: str, *, admin: bool = False) -> str:
        return f"http://127.0.0.1:{self._ports[name][admin]}"

    @property
    def pids(self) -> list[int]:
        """Return their processes' ids, in the order of their names."""
        return [one.pid for one in self._processes]

    def start(self) -> None:
        """Start all, and return when they are healthy."""
        pubsub = self.environment.get("PUBSUB_EMULATOR_HOST", "127.0.0.1:1")
        more = {"storage": ("--pubsub", pubsub), "vertex": ("--storage", self._url("storage"))}
        for name, (port, admin) in self._ports.items():
            command = [sys.executable, "-m", f"gcp_stand_ins.{name}", "--port", str(port)]
            command += ["--admin-port", str(admin), "--state", str(self._state / name), *more.get(name, ())]
            with (self._state / f"{name}.log").open("ab") as log:
                self._processes.append(subprocess.Popen(command, stdout=log, stderr=log))
        deadline = time.monotonic() + 60
        for name in self._ports:
            while True:
                try:
                    self.admin(name, "GET", "/health")
                    break
                except OSError:
                    if time.monotonic() > deadline:
                        sys.exit(f"{name} did not start: {(self._state / f'{name}.log').read_text()}")
                    time.sleep(0.05)

    def stop(self) -> None:
        """End all."""
        for one in self._processes:
            one.terminate()
        for one in self._processes:
            one.wait(timeout=10)

    def admin(self, name: str, method: str, path: str, body: object = None) -> Any:
        """Call an admin route, and return its JSON."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url(name, admin=True) + path, data=data, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def faults(self, **settings: object) -> None:
        """Put fault settings in force, in place of what was."""
        self.admin("vertex", "PUT", "/faults", settings)

    def calls(self) -> int:
        """Return how often the model was asked so far, refused calls included."""
        return int(self.admin("vertex", "GET", "/calls").get("generateContent", 0))


@contextmanager
def running(state: Path, names: Collection[str] = ("storage", "vertex")) -> Iterator[StandIns]:
    """Run the stand-ins for as long as the block lasts, with a bucket, and Google's clients pointed at them."""
    made = StandIns(state, names)
    os.environ.update(made.environment)
    try:
        made.start()
        from google.cloud import storage

        storage.Client(project=config().project).create_bucket(BUCKET)
        yield made
    finally:
        made.stop()


def config() -> Config:
    return parse_config(EXAMPLE.read_text(encoding="utf-8"), name=str(EXAMPLE))


def write_prompts(name: str, rows: int) -> None:
    from google.cloud import storage

    lines = (json.dumps({"id": f"row-{row}", "prompt": prompt(row)}) for row in range(rows))
    blob = storage.Client(project=config().project).bucket(BUCKET).blob(name)
    blob.upload_from_string("\n".join(lines))


def prompt(row: int) -> str:
    return f"My card number {row} has not arrived yet; what can I do about it, and how long does it take?"
