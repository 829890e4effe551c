"""The stages that a tuning job of the Vertex AI stand-in passes through, with `now` in the hands of the test."""

from __future__ import annotations

import pytest

from gcp_stand_ins.vertex.job import Fate
from gcp_stand_ins.vertex.tuning_jobs import DataResult, Stage, TuningJob, stage_at

ORDER = [
    Stage.PENDING,
    Stage.PROCESSING,
    Stage.WAITING,
    Stage.TUNING,
    Stage.POST_PROCESSING,
    Stage.SUCCEEDED,
]


@pytest.mark.parametrize("read_after", [1, 5, 500], ids=["at once", "in its stage", "much later"])
def test_a_job_passes_through_every_stage_however_late_its_data_is_read(read_after: int) -> None:
    job = TuningJob(
        parent="projects/p/locations/l",
        id="1",
        created=0,
        request={},
        fate=Fate(seconds=100, outcome="succeeded", vanishes=False, hangs=False),
        base_model="gemini-2.5-flash",
        model_id="2",
        endpoint_ids=("3",),
        data=DataResult(at=read_after),
    )
    passed = [stage_at(job, second)[0] for second in range(read_after + 102)]
    assert list(dict.fromkeys(passed)) == ORDER
    assert passed == sorted(passed, key=ORDER.index)
