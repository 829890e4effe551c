"""What this stand-in can be told to do wrong."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from genops_events.local.faults import Faults


class VertexFaults(Faults):
    """The common faults, and the fate of the tuning jobs created from now on.

    A job keeps the settings under which it was created.
    """

    job_seconds: float = Field(default=3.0, gt=0)
    """From creation to the end of a tuning job."""
    job_outcome: Literal["succeeded", "failed", "cancelled", "expired"] = "succeeded"
    """How a job ends whose training data is in order."""
    job_vanishes: bool = False
    """The job is created, and then no call finds it."""
    job_hangs: bool = False
    """The job stays in JOB_STATE_RUNNING until it is cancelled."""
