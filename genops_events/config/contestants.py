"""Who takes part in a comparison: one syntax for genops.yaml, the form in Airflow and the command line.

- champion                       (the dataset's)
- gemini-3.5-flash               (a published model)
- banking77-0123456789abcdef     (a candidate that was tuned)
- warm: {model: champion, generation_config: {temperature: 1.0}}
- grounded: {model: gemini-3.5-flash, generation_config: {grounding: google_search}}
- theirs: {model: projects/…/locations/…/endpoints/7, base_model: gemini-3.5-flash}
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ValidationError, ValidationInfo, model_validator
from pydantic_core import InitErrorDetails

from genops_events.catalogue.models import Catalogue
from genops_events.catalogue.partners import plain_name, refusal
from genops_events.config.answers import AnswerSettings
from genops_events.config.model_settings import wrong_for
from genops_events.config.values import ConfigPart, catalogue_of
from genops_events.errors import PermanentError
from genops_events.reading.problems import below, describe_problems, raise_wrongs, wrong, wrong_value
from genops_events.reading.yaml_lines import YamlDocument, YamlProblem, parse_yaml

CHAMPION = "champion"
ModelKind = Literal["champion", "candidate", "published", "endpoint"]

_FOUND_CHARACTERS = 200
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_CANDIDATE = re.compile(r"[a-z][a-z0-9-]{0,45}-[0-9a-f]{16}")
_PUBLISHED = re.compile(r"[a-z0-9][a-z0-9.-]*")
_ENDPOINT = re.compile(r"projects/[^/]+/locations/[^/]+/endpoints/[^/]+")
_FORMS = "`champion`, a candidate, a published model, or projects/…/locations/…/endpoints/… of a tuned one"


class BadContestants(PermanentError):
    """The contestants that a form or a command names cannot be used."""


def kind_of(model: str) -> ModelKind:
    """Return what a contestant's model is; whether there is such a one is not looked at.

    Raises:
        ValueError: nothing of these.
    """
    if model == CHAMPION:
        return "champion"
    if _CANDIDATE.fullmatch(model) is not None:
        return "candidate"
    if _PUBLISHED.fullmatch(model) is not None:
        return "published"
    if _ENDPOINT.fullmatch(model) is not None:
        return "endpoint"
    raise ValueError(model)


def _model(value: str) -> str:
    value = plain_name(value)
    if (refused := refusal(value)) is not None:
        raise wrong_value(f"Input should be {refused}")
    try:
        kind_of(value)
    except ValueError:
        raise wrong_value(f"Input should be {_FORMS}") from None
    return value


def _name(value: str) -> str:
    if _NAME.fullmatch(value) is None:
        raise wrong_value("Input should be a name of letters, digits, `.`, `_` and `-`, at most 63 characters")
    return value


def _whole(value: Any) -> Any:
    """Return the long form of `champion`, of `warm: champion` and of `warm: {model: champion}`."""
    if isinstance(value, str):
        if _ENDPOINT.fullmatch(value) is not None:
            raise wrong_value(f"Input should have a name of its own, as in `theirs: {{model: {value}, base_model: …}}`")
        return {"name": value, "model": value}
    if isinstance(value, dict) and len(value) == 1 and "model" not in value:
        ((name, about),) = value.items()
        if isinstance(about, str):
            return {"name": name, "model": about}
        if isinstance(about, dict) and "name" not in about:
            return {"name": name, **about}
        raise wrong_value(f"Input should be a model, or keys such as `{name}: {{model: champion}}`")
    return value


class Contestant(ConfigPart):
    """One who takes part. What is not given is as for all others: the dataset's system instruction, temperature 0."""

    name: Annotated[str, AfterValidator(_name)]
    """How it is called in the report; that of the model where it has no other."""
    model: Annotated[str, AfterValidator(_model)]
    """`champion`, a candidate, a published model, or the endpoint of a tuned one."""
    base_model: str | None = None
    """Only for an endpoint: the published model beneath it, for its prices."""
    system_instruction: str | None = None
    """In place of the dataset's; empty for none."""
    generation_config: AnswerSettings = AnswerSettings()
    """How it answers: the keys of `inference` that say so, such as temperature, thinking, grounding."""

    @model_validator(mode="after")
    def _check_together(self) -> Contestant:
        raise_wrongs(list(self._wrongs()))
        return self

    def _wrongs(self) -> Iterator[InitErrorDetails]:
        if self.kind == "endpoint" and self.base_model is None:
            yield wrong(
                ("base_model",), None, "Input should be the published model beneath the endpoint, for its prices"
            )
        if self.kind != "endpoint" and self.base_model is not None:
            yield wrong(("base_model",), self.base_model, "Input should be left out: it is only for an endpoint")
        if (count := self.generation_config.candidate_count) not in (None, 1):
            text = "Input should be left out: one answer of each contestant is compared"
            yield wrong(("generation_config", "candidate_count"), count, text)

    @property
    def kind(self) -> ModelKind:
        """What `model` is."""
        return kind_of(self.model)

    @property
    def settings(self) -> dict[str, Any]:
        """What is said of how it answers, as JSON values; nothing where it answers as the others do."""
        return self.generation_config.model_dump(mode="json", exclude_unset=True)

    @property
    def answers_as_usual(self) -> bool:
        """Whether it is asked in the way in which an evaluation asks."""
        return not self.generation_config.model_fields_set and self.system_instruction is None


def _own_names(values: tuple[Contestant, ...]) -> tuple[Contestant, ...]:
    names = [one.name for one in values]
    twice = [
        wrong((number, "name"), name, "Input should have a name that no other contestant has")
        for number, name in enumerate(names)
        if name in names[:number]
    ]
    raise_wrongs(twice)
    return values


ContestantItem = Annotated[Contestant, BeforeValidator(_whole)]
Contestants = Annotated[tuple[ContestantItem, ...], AfterValidator(_own_names)]


class _ContestantList(ConfigPart):
    contestants: Contestants

    @model_validator(mode="after")
    def _check_models(self, info: ValidationInfo) -> _ContestantList:
        found = wrong_models(self.contestants, catalogue_of(info), (info.context or {})["tuned_from"])
        raise_wrongs([below(("contestants",), one) for one in found])
        return self


def read_contestants(given: Sequence[Any], catalogue: Catalogue, tuned_from: str) -> tuple[Contestant, ...]:
    """Return the contestants that a form or a command names, checked as those of genops.yaml are.

    Args:
        given: texts in YAML, or what YAML makes of them.
        catalogue: the models that are known.
        tuned_from: the published model that the dataset's champion and candidates are tuned from.

    Raises:
        BadContestants: which of them is wrong, what was found, what is allowed.
    """
    values = [_from_yaml(one) for one in given]
    context = {"catalogue": catalogue, "tuned_from": tuned_from}
    try:
        return _ContestantList.model_validate({"contestants": values}, context=context).contestants
    except ValidationError as error:
        nowhere = YamlDocument(value=values, lines={})
        problems = [replace(one, line=None) for one in describe_problems(error, _ContestantList, nowhere)]
    count = "is 1 problem" if len(problems) == 1 else f"are {len(problems)} problems"
    raise BadContestants(
        f"There {count} with the contestants (counted from 0):\n" + "\n".join(map(str, problems)),
        "A contestant is a model, `champion`, or `NAME: {model: …, generation_config: {temperature: 1.0}}`.",
    )


def _from_yaml(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    try:
        return parse_yaml(text).value
    except YamlProblem as error:
        raise BadContestants(
            f"A contestant is no YAML: {text[:_FOUND_CHARACTERS]!r} ({error.problem}).",
            "Write `NAME: {model: MODEL, generation_config: {temperature: 1.0}}`, with a space after each colon.",
        ) from None


def wrong_models(contestants: Sequence[Contestant], catalogue: Catalogue, tuned_from: str) -> list[InitErrorDetails]:
    """Return what is wrong about models that nobody knows, and about settings that a model refuses, by the contestant's number.

    Args:
        contestants: whose models, base models and settings are looked at.
        catalogue: the models that are known.
        tuned_from: the published model that the dataset's champion and candidates are tuned from.
    """
    wrongs, known = [], catalogue.names
    for number, one in enumerate(contestants):
        published = one.model if one.kind == "published" else one.base_model or tuned_from
        model = catalogue.find(published)
        if one.kind == "published" and model is None:
            text = f"Input should be champion, a candidate, one of {', '.join(known)}, or an endpoint"
            wrongs.append(wrong((number, "model"), one.model, text, (CHAMPION, *known)))
        elif model is None:
            text = f"Input should be one of {', '.join(known)}"
            wrongs.append(wrong((number, "base_model"), one.base_model, text, known))
        else:
            found = wrong_for(one.generation_config, model, published)
            wrongs += [below((number, "generation_config"), each) for each in found]
    return wrongs
