"""Name the champion in Vertex AI's model registry, by an alias of the model version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genops_events.errors import PermanentError
from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS, idempotent_retry, model_client
from genops_events.gcp.errors import google_call

if TYPE_CHECKING:
    from genops_events.config import Config

CHAMPION_ALIAS = "champion"


def set_champion_alias(config: Config, model: str) -> None:
    """Give `model` the alias `champion`; repeating it changes nothing."""
    _merge_aliases(config, model, CHAMPION_ALIAS)


def remove_champion_alias(config: Config, model: str) -> None:
    """Take the alias `champion` from `model`; a model that is gone or never had it is left as it is."""
    try:
        _merge_aliases(config, model, f"-{CHAMPION_ALIAS}")
    except PermanentError:
        return


def _merge_aliases(config: Config, model: str, alias: str) -> None:
    with google_call(f"set alias {alias} on {model}"):
        model_client(config).merge_version_aliases(
            name=model, version_aliases=[alias], timeout=CALL_TIMEOUT_SECONDS, retry=idempotent_retry()
        )
