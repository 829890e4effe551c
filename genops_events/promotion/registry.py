"""Show the champion in Vertex AI's model registry, by an alias and by labels of the model version."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from genops_events.catalogue.locations import location_in
from genops_events.errors import PermanentError
from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS, idempotent_retry, model_client
from genops_events.gcp.errors import google_call
from genops_events.record.stages import Stage
from genops_events.record.verdicts import TuningVerdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from genops_events.config import Config
    from genops_events.gcp.record_store import RecordStore
    from genops_events.record.promotion import Champion

CHAMPION_ALIAS = "champion"
CHAMPION_LABEL = "genops-champion"
"""`current` or `former`: unlike the alias, a former champion keeps the label."""

_NOT_OF_LABELS = re.compile(r"[^a-z0-9_-]")
_LABEL_CHARACTERS = 63
_SHOWN_AT_MOST = 5
"""Most champions that one call shows, if others are promoted meanwhile."""


def mirror(config: Config, store: RecordStore, champion: Champion) -> str:
    """Set alias and labels of the champion's model version, and remove them from the former one; return a sentence for the reason.

    The record decides who is champion, and the registry only shows it: its refusal does not fail a promotion. The record is
    read again after each write, and a newer champion is shown instead, so that the last write shows the right one.

    Raises:
        CloudUnavailable: the registry does not answer; a retry shows the champion.
    """
    try:
        for _ in range(_SHOWN_AT_MOST):
            _show(config, champion)
            now = store.champion(champion.dataset)
            if now is None or now.candidate == champion.candidate:
                return ""
            if champion.model and champion.model != now.model:
                retire(config, champion.model)
            champion = now
    except PermanentError as error:
        return f" The model registry does not show it: {error.message}"
    return ""


def _show(config: Config, champion: Champion) -> None:
    if champion.model:
        set_champion_alias(config, champion.model)
    former = {champion.predecessor_model} - {None, "", champion.model}
    for model in former:
        if model is not None:
            retire(config, model)
    if champion.model:
        set_labels(config, champion.model, champion_labels(champion))


def retire(config: Config, model: str) -> None:
    """Show a model version as a former champion; nothing is done if it was deleted.

    Raises:
        CloudUnavailable: the registry does not answer; the call can be repeated.
    """
    remove_champion_alias(config, model)
    try:
        set_labels(config, model, {CHAMPION_LABEL: "former"})
    except PermanentError:
        return  # it may be gone


def mirror_after(config: Config, store: RecordStore, champion: Champion, former: str | None) -> str:
    """Show `champion` as `mirror` does, and `former` as a former one: its successor may never have been shown."""
    if former is not None and former != champion.candidate:
        tuning = store.verdict(former, Stage.TUNING)
        if isinstance(tuning, TuningVerdict) and tuning.model and tuning.model != champion.model:
            retire(config, tuning.model)
    return mirror(config, store, champion)


def champion_labels(champion: Champion) -> dict[str, str]:
    """Return the labels of a champion's model version: Google takes lower case, digits, `_` and `-` only."""
    given = {
        CHAMPION_LABEL: "current",
        "genops-candidate": champion.candidate,
        "genops-dataset": champion.dataset,
        "genops-metric": champion.metric,
        "genops-score": f"{champion.score:.4g}".replace(".", "_"),
    }
    return {key: _NOT_OF_LABELS.sub("_", text.lower())[:_LABEL_CHARACTERS] for key, text in given.items()}


def set_champion_alias(config: Config, model: str) -> None:
    """Give `model` the alias `champion`; repeating it changes nothing."""
    _merge_aliases(config, model, CHAMPION_ALIAS)


def remove_champion_alias(config: Config, model: str) -> None:
    """Remove the alias `champion` from `model`; nothing is done if the model was deleted or does not have it."""
    try:
        _merge_aliases(config, model, f"-{CHAMPION_ALIAS}")
    except PermanentError:
        return


def set_labels(config: Config, model: str, labels: Mapping[str, str]) -> None:
    """Set these labels of a model version and keep its others; repeating it changes nothing."""
    client = model_client(config, location_in(model))
    with google_call(f"read the labels of {model}"):
        known = client.get_model(name=model, timeout=CALL_TIMEOUT_SECONDS, retry=idempotent_retry()).labels
    wanted = {**known, **labels}
    if wanted == dict(known):
        return
    with google_call(f"set labels on {model}"):
        client.update_model(
            model={"name": model, "labels": wanted},
            update_mask={"paths": ["labels"]},
            timeout=CALL_TIMEOUT_SECONDS,
            retry=idempotent_retry(),
        )


def _merge_aliases(config: Config, model: str, alias: str) -> None:
    with google_call(f"set alias {alias} on {model}"):
        model_client(config, location_in(model)).merge_version_aliases(
            name=model, version_aliases=[alias], timeout=CALL_TIMEOUT_SECONDS, retry=idempotent_retry()
        )
