"""The part `tables` of `genops.yaml`: whether the tables for analysis go to BigQuery, and how often they are made."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from genops_events.config.values import ConfigPart
from genops_events.reading.problems import wrong_value

OFF = "off"
_DATASET = re.compile(r"[A-Za-z0-9_]{1,1024}")


def _off(value: Any) -> Any:
    # YAML reads off as false.
    return OFF if value is False else value


def _dataset(value: str) -> str:
    if not _DATASET.fullmatch(value):
        raise wrong_value("Input should be off, or the id of a dataset of BigQuery: letters, digits and `_`", (OFF,))
    return value


class AnalysisTables(ConfigPart):
    """Rows of candidates, evaluations, spend and completions: always as Parquet in the bucket, and in BigQuery if wanted."""

    bigquery: Annotated[str, BeforeValidator(_off), AfterValidator(_dataset)] = OFF
    """`off`, or the id of the dataset in the project; it is created where it is missing."""
    every_minutes: Annotated[int, Field(strict=True, ge=1, le=1440)] = 10
    """Minutes between two looks at what is new."""

    @property
    def dataset(self) -> str | None:
        """The dataset of BigQuery, None where there shall be none."""
        return None if self.bigquery == OFF else self.bigquery
