"""`genops.yaml`, the one file that a user writes: what is watched, tuned, judged, paid for and answered."""

from genops_events.config.loading import json_schema, load_config, parse_config
from genops_events.config.sections import Config, Dataset, Intake

__all__ = ["Config", "Dataset", "Intake", "json_schema", "load_config", "parse_config"]
