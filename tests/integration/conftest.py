"""Give Airflow a home of these tests' own: it writes its configuration there as soon as it is imported."""

from __future__ import annotations

import atexit
import os
import tempfile

_home = tempfile.TemporaryDirectory(prefix="genops-airflow-")
atexit.register(_home.cleanup)
os.environ["AIRFLOW_HOME"] = _home.name
