"""What all of these tests share: a home for Airflow, which writes its configuration there as soon as it is imported, and a cloud."""

from __future__ import annotations

import atexit
import os
import tempfile

_home = tempfile.TemporaryDirectory(prefix="genops-airflow-")
atexit.register(_home.cleanup)
os.environ["AIRFLOW_HOME"] = _home.name

# After the home: these import Airflow.
from cloud import (  # noqa: E402
    cloud,
    completions,
    config,
    connections_closed,
    stand_ins,
    store,
    strict_cloud,
    training_uri,
    whole_config,
)
from held import budget  # noqa: E402
from sweeps import airflow  # noqa: E402

__all__ = [
    "airflow",
    "budget",
    "cloud",
    "completions",
    "config",
    "connections_closed",
    "stand_ins",
    "store",
    "strict_cloud",
    "training_uri",
    "whole_config",
]
