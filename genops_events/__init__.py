"""Event-driven tuning, evaluation, budget check, promotion and inference of generative models on Airflow and Vertex AI.

The four names below are for Dags and services of users. Everything else is the project's own and may move.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genops_events.asking import generate
    from genops_events.config import load_config
    from genops_events.config.identity import dataset_of
    from genops_events.gcp.record_store import RecordStore

__version__ = "0.2.0"
"""The one place that says it: pyproject.toml and `genops --version` read it here."""

__all__ = ["RecordStore", "dataset_of", "generate", "load_config"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: a Dag file that imports this package costs nothing more."""
    match name:
        case "RecordStore":
            from genops_events.gcp.record_store import RecordStore

            return RecordStore
        case "dataset_of":
            from genops_events.config.identity import dataset_of

            return dataset_of
        case "generate":
            from genops_events.asking import generate

            return generate
        case "load_config":
            from genops_events.config import load_config

            return load_config
        case _:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
