"""The catalogue itself: the models of the file that ships with this package, overridden by those of the user's file."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from datetime import date
from functools import cache, lru_cache
from importlib.resources import files
from typing import Annotated, Any

from pydantic import Field

from genops_events.catalogue.facts import GROUPS, METHODS, Billing, CataloguePart, Kind, Method, Model
from genops_events.errors import ConfigError, ConfigProblem, PermanentError
from genops_events.reading.toml_tables import check_table, parse_toml

_SHIPPED = "models.toml"
_PUBLISHED = "publishers/"
_NOT_TAKEN_OVER = ("life", "prices", "aliases", "like")
"""Parts that `like` does not take from the other model: dates and prices are never guessed."""
_WHOLE = ("methods", "levels", "resolutions")
"""Parts that `like` does not merge: a model has its own, or those of the other model."""


class UnknownModelError(PermanentError):
    """The catalogue has no such model."""


class UnknownFigureError(PermanentError):
    """The catalogue has the model, but not this figure."""


class Catalogue(CataloguePart):
    """All known models with their figures."""

    as_of: date
    """Day on which the sources were read, for groups without their own."""
    source: Annotated[str, Field(min_length=1)]
    """Source of the figures, for groups without their own."""
    billing: Billing = Billing()
    """Figures for all prices."""
    models: dict[str, Model] = Field(default={})
    """By id, as in `publishers/google/models/ID`."""

    @property
    def names(self) -> tuple[str, ...]:
        """The ids of all models, in order."""
        return tuple(sorted(self.models))

    def find(self, name: str) -> Model | None:
        """Return the model of this id, alias or `publishers/…/models/…`; None where the catalogue does not have it."""
        return self.models.get(self.id_of(name) or "")

    def id_of(self, name: str) -> str | None:
        """Return the id of the model of this name in the catalogue; None where it does not have it."""
        plain = name.rsplit("/", 1)[-1] if _PUBLISHED in name else name
        if plain in self.models:
            return plain
        return next((key for key, model in self.models.items() if plain in model.aliases), None)

    def with_name(self, name: str) -> tuple[str, Model] | None:
        """Return the model of this name with its id; None where the catalogue does not have it."""
        key = self.id_of(name)
        return None if key is None else (key, self.models[key])

    def known_or(self, name: str | None, other: str) -> str:
        """Return `name` if the catalogue has that model, else `other`."""
        return other if name is None or self.find(name) is None else name

    def named(self, name: str) -> Model:
        """Return the model of this name; raise UnknownModelError with the known names and how to add one."""
        if (found := self.find(name)) is not None:
            return found
        close = difflib.get_close_matches(name, self.models, n=1)
        raise UnknownModelError(
            f"No price is known for the model {name!r}: it is not in the catalogue of models (as of {self.as_of}).",
            (f"Did you mean `{close[0]}`? " if close else "") + f"Known models: {', '.join(self.names)}. "
            "A tuned endpoint is billed as the model that it was tuned from. " + how_to_add(name),
        )

    def tunable(self, method: Method | None = None) -> tuple[str, ...]:
        """Return the models that can be tuned, by this method or, with None, by any."""
        return tuple(
            name
            for name in self.names
            if (taken := self.models[name].tuning.methods) and (method or next(iter(taken))) in taken
        )


def how_to_add(model: str, **figures: str) -> str:
    """Return a hint with the lines of the `models` file that add a model, or figures of it.

    Args:
        model: id.
        figures: by group, the lines below its heading; none for a whole model.
    """
    if not figures:
        figures = {"prices": "usd_per_million_tokens = { input = …, output = …, training = … }"}
        lines = [f'[models."{model}"]', 'like = "MODEL"']
    else:
        lines = []
    for group, text in figures.items():
        lines += [f'[models."{model}".{group}]', text]
    head = ["as_of = … # the day on which you have read it, as 2026-11-30", 'source = "where you have read it"']
    return (
        "Add it to the TOML file that `models` in genops.yaml names (`models: models.toml`), for instance:\n  "
        + "\n  ".join([*head, *lines])
    )


_IN_WORDS: Mapping[Kind, str] = {"cache_hour": "tokens that a context cache keeps for an hour (`cache_hour`)"}


def no_price(model: str, kind: Kind, location: str, known: Iterable[str], as_of: date | str) -> UnknownFigureError:
    """Return the error about a kind of token without a price, with the lines that add it."""
    have = ", ".join(known)
    return UnknownFigureError(
        f"No price is known for {_IN_WORDS.get(kind, f'{kind} tokens')} of {model} in {location} (as of {as_of}).",
        (f"Prices are known for {have}. " if have else "")
        + "A price is never guessed and never taken for 0: read it on Google's page of prices. "
        + how_to_add(model, prices=f"usd_per_million_tokens = {{ {kind} = … }}"),
    )


@cache
def shipped() -> Catalogue:
    """Return the catalogue that ships with this package, read once per process."""
    return _checked(_shipped_table(), name=_SHIPPED)


@lru_cache(maxsize=4)
def read_models(text: str, *, name: str) -> Catalogue:
    """Return the shipped catalogue, overridden by the figures and models of the user's file.

    Args:
        text: of the file, in TOML, in the form of data/models.toml.
        name: of the file, for messages.

    Raises:
        ConfigError: keys are wrong; the message names all of them.
    """
    own = parse_toml(text, name=name)
    check_table(own, Catalogue, name=name)
    return _checked(_overridden(_shipped_table(), _stamped(own)), name=name)


@cache
def _shipped_table() -> dict[str, Any]:
    text = files("genops_events").joinpath("data", _SHIPPED).read_text(encoding="utf-8")
    return _stamped(parse_toml(text, name=_SHIPPED))


def _checked(table: Mapping[str, Any], *, name: str) -> Catalogue:
    models = table.get("models", {})
    whole = {**table, "models": {key: _with_likes(key, models, name, ()) for key in models}}
    return check_table(whole, Catalogue, name=name)


def _stamped(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return the table with source and day of the file in each group of figures without its own."""
    stamp = {key: table[key] for key in ("source", "as_of") if key in table}
    models = {
        name: {key: _with_stamp(stamp, value) if key in GROUPS else value for key, value in model.items()}
        for name, model in table.get("models", {}).items()
    }
    billing = {"billing": {**stamp, **table["billing"]}} if "billing" in table else {}
    return {**table, **billing, "models": models}


def _with_stamp(stamp: Mapping[str, Any], group: Mapping[str, Any]) -> dict[str, Any]:
    files = {"files": {**stamp, **group["files"]}} if "files" in group else {}
    return {**stamp, **group, **files}


def _overridden(table: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    models = dict(table["models"])
    for name, given in own["models"].items():
        before = models.get(name, {})
        models[name] = _mixed(before, given)
        _forget_status(models[name], given)
    billing = _mixed(table["billing"], own.get("billing", {}))
    return {**own, "billing": billing, "models": models}


def _forget_status(model: dict[str, Any], given: Mapping[str, Any]) -> None:
    """Remove the status of a shipped price that the user's file replaces, unless the file has a status of its own."""
    prices = given.get("prices", {})
    own, own_status = prices.get("usd_per_million_tokens", {}), prices.get("status", {})
    if own and "status" in model["prices"]:
        status = model["prices"]["status"]
        kept = {kind: value for kind, value in status.items() if kind not in own or kind in own_status}
        model["prices"] = {**model["prices"], "status": kept}


def _mixed(before: Mapping[str, Any], given: Mapping[str, Any], whole: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return `before`, overridden by the figures of `given`, table by table."""
    mixed = dict(before)
    for key, value in given.items():
        old = mixed.get(key)
        both = isinstance(value, Mapping) and isinstance(old, Mapping) and key not in whole
        mixed[key] = _mixed(old, value, whole) if both else value  # type: ignore[arg-type]
    return mixed


def _with_likes(key: str, models: Mapping[str, Any], name: str, seen: tuple[str, ...]) -> dict[str, Any]:
    model: dict[str, Any] = models[key]
    other = model.get("like")
    if other is None:
        return model
    if other not in models or other in (*seen, key):
        known = ", ".join(sorted(set(models) - {key}))
        problem = ConfigProblem(f"models.{key}.like", None, "cannot be used", repr(other), f"one of {known}")
        raise ConfigError(
            f"{name}: {problem}", "Name a model that the catalogue has, and that is not like this one.", (problem,)
        )
    found = _with_likes(other, models, name, (*seen, key))
    taken = {part: value for part, value in found.items() if part not in _NOT_TAKEN_OVER}
    return _mixed(taken, model, _WHOLE)


__all__ = [
    "METHODS",
    "Catalogue",
    "Method",
    "Model",
    "UnknownFigureError",
    "UnknownModelError",
    "how_to_add",
    "no_price",
    "read_models",
    "shipped",
]
