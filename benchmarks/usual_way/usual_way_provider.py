"""Make the Google provider importable, which lies beside this file, in Airflow's plugins folder."""

from __future__ import annotations

import sys
from pathlib import Path

import airflow

SITE = Path(__file__).with_name("usual_way_site")
if str(SITE) not in sys.path:
    sys.path.append(str(SITE))
    airflow.__path__.append(str(SITE / "airflow"))
