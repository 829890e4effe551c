"""The samples and the Dag downstream as Airflow's Dag processor sees them: read in no time, paused, and documented."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from waiting import HANG_SECONDS

ROOT = Path(__file__).resolve().parents[3]
SAMPLES = sorted((ROOT / "dags" / "samples").glob("*.py"))
DOWNSTREAM = ROOT / "examples" / "downstream" / "use_champion.py"
FILES = [*SAMPLES, DOWNSTREAM]
NAMES = [file.stem for file in FILES]
HEAVY = ("google.cloud", "google.genai", "duckdb", "aiohttp", "requests", "pandas")
LOOK = """
import gc, json, runpy, sys, warnings
warnings.simplefilter("error")
from airflow.sdk import DAG, Param, PartitionedAssetTimetable, task  # what the Dag processor has imported before
before, known, found = set(sys.modules), set(), {}
for file in sys.argv[1:]:
    names = runpy.run_path(file)  # holds its Dags as long as they are looked for
    dags = [one for one in gc.get_objects() if isinstance(one, DAG) and id(one) not in known]
    known.update(map(id, dags))
    found[file] = [{
        "dag": dag.dag_id,
        "paused": dag.is_paused_upon_creation,
        "tags": sorted(dag.tags),
        "schedule": type(dag.timetable).__name__,
        "catchup": dag.catchup,
        "doc": dag.doc_md,
        "retries": [one.retries for one in dag.tasks],
    } for dag in dags]
    found.setdefault("kept", []).append(dags)
del found["kept"]
print(json.dumps({"imported": sorted(set(sys.modules) - before), "dags": found}))
"""


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    """What the Dag processor would know of the files, and what it had to import for that."""
    words = [sys.executable, "-c", LOOK, *map(str, FILES)]
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=HANG_SECONDS, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_a_file_has_one_dag_of_its_name_with_words_for_people(seen: dict[str, Any], file: Path) -> None:
    [dag] = seen["dags"][str(file)]
    assert dag["dag"] == file.stem
    assert dag["doc"]
    assert dag["catchup"] is False
    assert dag["retries"]
    assert all(one >= 1 for one in dag["retries"])


def test_reading_them_imports_nothing_heavy(seen: dict[str, Any]) -> None:
    below = tuple(f"{one}." for one in HEAVY)
    assert "genops_events.airflow.retries" in seen["imported"]
    assert [one for one in seen["imported"] if one in HEAVY or one.startswith(below)] == []


@pytest.mark.parametrize("file", SAMPLES, ids=[file.stem for file in SAMPLES])
def test_a_sample_runs_for_nobody_who_has_not_asked(seen: dict[str, Any], file: Path) -> None:
    [dag] = seen["dags"][str(file)]
    assert dag["paused"] is True
    assert dag["tags"] == ["genops", "sample"]
    report = file.stem == "genops_sample_status_report"
    assert dag["schedule"] == ("CronTriggerTimetable" if report else "NullTimetable")


def test_the_dag_downstream_is_woken_by_keys(seen: dict[str, Any]) -> None:
    [dag] = seen["dags"][str(DOWNSTREAM)]
    assert dag["schedule"] == "PartitionedAssetTimetable"


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_it_is_short_and_stands_in_the_docs(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= 80
    page = "use-the-champion.md" if file == DOWNSTREAM else "run-a-sample.md"
    assert f"(../../{file.relative_to(ROOT).as_posix()})" in (ROOT / "docs" / "how-to" / page).read_text()
