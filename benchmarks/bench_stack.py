"""Start a local stack for a benchmark, with the Dags of the cascade and of the floor, and leave nothing of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import yaml

if TYPE_CHECKING:
    from genops_events.config import Config

CHECKOUT = Path(__file__).resolve().parents[1]
EXAMPLES = CHECKOUT / "examples"
TRAINING_FILE = EXAMPLES / "banking77" / "train.jsonl"
EXAMPLE_DATASET = "banking77"
EVALUATION_ROWS = 40
"""The machinery is measured, not the stand-in's model: a quarter of the example's evaluation file is enough."""
JOB_SECONDS = 2.0
UP_TIMEOUT_SECONDS = 180.0
DOWN_TIMEOUT_SECONDS = 90.0


class StackFailed(Exception):
    """The stack could not be started; its own words went to standard error."""


@dataclass(frozen=True, slots=True)
class BenchStack:
    """A running stack."""

    config: Config
    airflow_url: str
    ready_seconds: float
    processes: dict[str, int]
    """The process id of each component."""


@contextmanager
def running_stack(datasets: int, add: Callable[[Path], None] | None = None) -> Iterator[BenchStack]:
    """Run a stack with `datasets` datasets, `dataset_name(0)` and on; stop it and remove its state at the end.

    Where the block raises, the logs are kept, and their folder is told.

    Args:
        datasets: how many.
        add: is called with the stack's folder before it starts, to add to its `dags/`, or to its `home/`.

    Raises:
        StackFailed: it did not come up.
    """
    folder = Path(tempfile.mkdtemp(prefix="genops-bench-"))
    home = folder / "home"
    environment = {**os.environ, "GENOPS_HOME": str(home)}
    try:
        config_file = _write_configuration(folder, datasets)
        _write_dags(folder)
        if add is not None:
            add(folder)
        status = _up(config_file, folder / "dags", environment)
        variables = json.loads(_genops(environment, "env", "--json"))
        os.environ.update(variables)
        yield _prepare(config_file, status)
    except BaseException:
        _keep_logs(home)
        raise
    finally:
        _genops(environment, "down", "--purge", timeout_seconds=DOWN_TIMEOUT_SECONDS)
        shutil.rmtree(folder)


def component_pids() -> dict[str, int]:
    """Return the process id of each component of the running stack as it is now: one that died has another."""
    status = json.loads(_genops(os.environ, "status", "--json"))
    return {one["name"]: one["pid"] for one in status["components"] if one["pid"] is not None}


def dataset_name(number: int) -> str:
    """Return the name of a dataset of the benchmark's configuration."""
    return f"bench-{number:03}"


def _write_configuration(folder: Path, datasets: int) -> Path:
    """Write the example's configuration with a dataset for each upload.

    Each candidate is the first of its dataset, so it is promoted and goes the whole way, as each key of the floor does.
    """
    document = yaml.safe_load((EXAMPLES / "genops.yaml").read_text(encoding="utf-8"))
    example = document["datasets"][EXAMPLE_DATASET]
    document["datasets"] = {
        (name := dataset_name(number)): {
            **example,
            "prefix": f"training/{name}/",
            "budget": {**example["budget"], "monthly_usd": 100_000},
        }
        for number in range(datasets)
    }
    document["models"] = str(EXAMPLES / "models.toml")
    path = folder / "genops.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    evaluation = folder / "bucket" / example["evaluation"]["file"]
    shutil.copytree(EXAMPLES / "bucket", folder / "bucket")
    rows = evaluation.read_text(encoding="utf-8").splitlines(keepends=True)
    evaluation.write_text("".join(rows[:: max(1, len(rows) // EVALUATION_ROWS)][:EVALUATION_ROWS]), encoding="utf-8")
    return path


def _write_dags(folder: Path) -> None:
    (folder / "dags").mkdir()
    (folder / "floor-record").mkdir()
    for source in (CHECKOUT / "dags", CHECKOUT / "benchmarks" / "floor_dags"):
        for file in source.glob("*.py"):
            shutil.copy(file, folder / "dags")


def _up(config_file: Path, dags: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    words = ("up", "--detach", "--config", str(config_file), "--dags", str(dags), "--json")
    status: dict[str, Any] = json.loads(_genops(environment, *words, timeout_seconds=UP_TIMEOUT_SECONDS))
    return status


def _prepare(config_file: Path, status: dict[str, Any]) -> BenchStack:
    """Set the jobs' duration, and put the files that the datasets share into the bucket."""
    from genops_events.config import load_config
    from genops_events.intake.uploads import upload

    config = load_config(config_file)
    vertex = next(one for one in status["components"] if one["name"] == "vertex")
    answer = httpx.put(f"{vertex['admin_url']}/faults", json={"job_seconds": JOB_SECONDS}, trust_env=False)
    answer.raise_for_status()
    dataset = config.dataset(dataset_name(0))
    for name in (dataset.evaluation.file, dataset.inference.prompts):
        upload(config, config_file.parent / "bucket" / name, dataset=dataset_name(0), name=name)
    return BenchStack(
        config=config,
        airflow_url=status["airflow_url"],
        ready_seconds=status["seconds"],
        processes={one["name"]: one["pid"] for one in status["components"]},
    )


def _genops(environment: Mapping[str, str], *words: str, timeout_seconds: float = 30.0) -> str:
    """Run a command of genops; return its standard output.

    Raises:
        StackFailed: it failed or took too long.
    """
    command = [sys.executable, "-m", "genops_events.cli", *words]
    try:
        done = subprocess.run(
            command, env=dict(environment), stdout=subprocess.PIPE, text=True, check=False, timeout=timeout_seconds
        )
    except subprocess.TimeoutExpired as error:
        raise StackFailed(f"`genops {words[0]}` took longer than {timeout_seconds:.0f} s") from error
    if done.returncode != 0:
        raise StackFailed(f"`genops {words[0]}` ended with exit code {done.returncode}")
    return done.stdout


def _keep_logs(home: Path) -> None:
    kept = Path(tempfile.mkdtemp(prefix="genops-bench-logs-"))
    for name, source in (("components", home / "logs"), ("tasks", home / "airflow" / "logs")):
        if source.is_dir():
            shutil.copytree(source, kept / name, symlinks=True)
    print(f"The stack's logs are kept in {kept}", file=sys.stderr)
