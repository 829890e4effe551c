"""What jobs of the Vertex AI stand-in cost when there are many of them, in lines of Python that are run."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import FrameType
from typing import Any, cast

from gcp_stand_ins.faults import FaultSwitch
from gcp_stand_ins.vertex.documents import Database
from gcp_stand_ins.vertex.faults import VertexFaults
from gcp_stand_ins.vertex.learner import LearnedModels
from gcp_stand_ins.vertex.learning import Learning
from gcp_stand_ins.vertex.registry import Registry
from gcp_stand_ins.vertex.training_data import TrainingData
from gcp_stand_ins.vertex.tuning import Tuning

PARENT = "projects/p/locations/us-central1"
FEW = 50
JOBS = 500


class Readable:
    """Cloud Storage, which has whatever it is asked for."""

    async def check_lately(self, bucket: str, name: str) -> None:
        return


async def lines_run(work: Callable[[], Awaitable[object]]) -> int:
    """Return how many lines of the stand-in's code `work` runs."""
    lines = 0

    def traced(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal lines
        lines += event == "line" and "gcp_stand_ins" in frame.f_code.co_filename
        return traced

    before = sys.gettrace()
    sys.settrace(traced)
    try:
        await work()
    finally:
        sys.settrace(before)
    return lines


def made(database: Database, folder: Path, executor: ThreadPoolExecutor) -> Tuning:
    learned = LearnedModels(folder / "learned", executor)
    data = cast("TrainingData", Readable())
    return Tuning(
        database=database,
        registry=Registry(database),
        learned=learned,
        data=data,
        switch=FaultSwitch(folder / "faults.json", VertexFaults),
        listed_after_seconds=0,
        learning=Learning(learned=learned, data=data, executor=executor, scratch=folder),
    )


async def test_a_job_and_a_page_cost_as_much_with_five_hundred_jobs_as_with_fifty(tmp_path: Path) -> None:
    database = Database(tmp_path / "vertex.db")
    with closing(database.connection), ThreadPoolExecutor(1) as executor:
        tuning = made(database, tmp_path, executor)

        async def create(numbers: range) -> None:
            for number in numbers:
                spec = {"trainingDatasetUri": "gs://bucket/shared.jsonl"}
                body = {
                    "baseModel": "gemini-2.5-flash",
                    "supervisedTuningSpec": spec,
                    "labels": {"number": str(number)},
                }
                await tuning.create(PARENT, body)

        async def page() -> None:
            found = cast("dict[str, list[Any]]", tuning.list_jobs(PARENT, {"pageSize": str(FEW)}))
            assert len(found["tuningJobs"]) == FEW

        few, page_of_few = await lines_run(lambda: create(range(FEW))), await lines_run(page)
        many, page_of_many = await lines_run(lambda: create(range(FEW, JOBS))), await lines_run(page)
        await tuning.stop()
    # Ten times as many jobs: what looks at each of them would run ten times as many lines.
    assert few > FEW
    assert many / (JOBS - FEW) < 1.5 * few / FEW
    assert page_of_many < 1.5 * page_of_few
