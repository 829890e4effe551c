"""A test that starts a component and waits to be interrupted: `test_interrupted_runs.py` runs it, and nobody else."""

from __future__ import annotations

import os
import time
from pathlib import Path

from cloud import StandIn
from waiting import HANG_SECONDS, until


def test_waits(tmp_path: Path) -> None:
    pubsub = StandIn("pubsub", tmp_path)
    pubsub.start()
    until(pubsub.is_healthy)
    assert pubsub.process is not None
    told = Path(os.environ["GENOPS_TEST_PIDS"])
    draft = told.with_suffix(".draft")
    draft.write_text(f"{os.getpid()} {pubsub.process.pid}")
    draft.replace(told)
    time.sleep(HANG_SECONDS)
