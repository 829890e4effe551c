"""Read `genops.yaml`, and check it: whatever follows never meets a half-usable configuration.

`load_config` and the file of models that a configuration may name are all that is read from the disk.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from genops_events.catalogue.facts import Kind
from genops_events.catalogue.models import read_models, shipped
from genops_events.catalogue.windows import call_limits_of
from genops_events.config.evaluation import Evaluation, priced_as
from genops_events.config.sections import Config
from genops_events.errors import ConfigError, ConfigProblem, PermanentError
from genops_events.reading.field_texts import WithFieldTexts
from genops_events.reading.problems import describe_problems
from genops_events.reading.yaml_lines import YamlDocument, YamlProblem, parse_yaml, read_settings


def load_config(path: Path | None = None) -> Config:
    """Read and check genops.yaml; raise ConfigError that names each key that is wrong, and what is allowed.

    Without a path, GENOPS_CONFIG or else ./genops.yaml is read.
    """
    # Imported when needed: pydantic-settings costs every Dag file 60 ms.
    from genops_events.config.environment import Settings

    source = f"{path}" if path is not None else "GENOPS_CONFIG" if "GENOPS_CONFIG" in os.environ else "the default"
    path = path if path is not None else Settings().config
    where = f"{path.absolute()}" + (f" (from {source})" if source != str(path) else "")
    try:
        text = read_settings(path)
    except FileNotFoundError as error:
        raise ConfigError(
            f"There is no configuration file: looked for {where}.",
            "Begin with the example: `cp examples/genops.yaml examples/models.toml .` and change it, or set GENOPS_CONFIG to the path of "
            "your file. `genops config schema` prints every key.",
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{where} is not UTF-8 text: byte {error.start} cannot be read.", "Save the file as UTF-8."
        ) from error
    except OSError as error:
        raise ConfigError(
            f"{where} cannot be read: {error.strerror}.", "It must be a file that this user may read."
        ) from error
    return parse_config(text, name=str(path))


def parse_config(text: str, *, name: str = "genops.yaml") -> Config:
    """Check the text of a genops.yaml; raise ConfigError as `load_config` does.

    Args:
        text: of the file.
        name: its path: for messages, and to find the file of models that it may name.
    """
    document = _document(text, name)
    own = document.value.get("models") if isinstance(document.value, dict) else None
    models = None
    if isinstance(own, str) and own.endswith(".toml") and "://" not in own:  # all else is refused when it is checked
        models = Path(name).absolute().parent / own
    return _checked(text, name, models, _models_text(models) if models is not None else "")


@lru_cache(maxsize=2)
def _document(text: str, name: str) -> YamlDocument:
    try:
        return parse_yaml(text)
    except YamlProblem as problem:
        at = f", line {problem.line}, column {problem.column}" if problem.line is not None else ""
        item = ConfigProblem(".".join(map(str, problem.key)), problem.line, problem.problem, "", "")
        raise ConfigError(
            f"{name}{at}: {problem.problem}.",
            "Fix the YAML there: spaces (no tabs) for indentation, `key: value` with a space after the colon, "
            "and each key once.",
            (item,),
        ) from problem


@lru_cache(maxsize=2)
def _checked(text: str, name: str, models: Path | None, own_models: str) -> Config:
    """Return what the text says; with 200 datasets, checking it takes 0.1 s of a core, and each task reads it."""
    document = _document(text, name)
    if document.value is None:
        raise ConfigError(f"{name} is empty.", "Begin with the example: examples/genops.yaml.")
    catalogue = shipped() if models is None else read_models(own_models, name=str(models))
    try:
        config = Config.model_validate(document.value, context={"catalogue": catalogue})
    except ValidationError as error:
        problems = describe_problems(error, Config, document)
    else:
        _refuse_unpriced(config)
        return config
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    raise ConfigError(
        f"{name} has {count}:\n" + "\n".join(map(str, problems)),
        f"Fix {name} and check it with `genops config check`; `genops config schema` prints every key.",
        problems,
    )


def _models_text(path: Path) -> str:
    """Return the text of the file that `models` in genops.yaml names; raise ConfigError where it cannot be read."""
    try:
        return read_settings(path)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        problem = ConfigProblem(
            "models", None, f"cannot be read: {why}", repr(path.name), "a TOML file, from the folder of genops.yaml on"
        )
        raise ConfigError(
            f"{path}, which `models` in genops.yaml names, cannot be read: {why}.",
            "Fix the path, or leave the key out: the figures that ship with genops are used then.",
            (problem,),
        ) from error


def _refuse_unpriced(config: Config) -> None:
    """Raise ConfigError where a model of `config` has no price, or nobody knows how much a call of it takes."""
    problems = []
    for name, dataset in config.datasets.items():
        try:
            rates = config.rates_for(dataset)
            kinds: tuple[Kind, ...] = ("training", "input", "output")
            for kind in kinds if dataset.inference.cache is None else (*kinds, "cache_hour"):
                rates.price(kind)
            call_limits_of(config.catalogue, dataset.billed_model)
        except PermanentError as error:
            key = f"datasets.{name}.source_model"
            problems.append(ConfigProblem(key, None, error.message, repr(dataset.billed_model), error.hint))
        problems += _unpriced_judge(config, name, dataset.evaluation)
    if problems:
        raise ConfigError(
            "A model of genops.yaml has no price:\n" + "\n".join(map(str, problems)),
            "Without a price, nothing can be estimated or reserved, so nothing is spent.",
            tuple(problems),
        )


def _unpriced_judge(config: Config, name: str, evaluation: Evaluation) -> Iterator[ConfigProblem]:
    if not any(metric.judged for metric in evaluation.measured()):
        return
    judge = priced_as(evaluation)
    try:
        rates = config.rates(judge)
        for kind in ("input", "output"):
            rates.price(kind)
    except PermanentError as error:
        key = f"datasets.{name}.evaluation.judge.model"
        yield ConfigProblem(key, None, error.message, repr(judge), error.hint)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of genops.yaml, for editors and for people."""
    schema = Config.model_json_schema(schema_generator=WithFieldTexts)
    resource = {"type": "string", "pattern": "^projects/[^/]+/locations/[^/]+/models/[^/]+$"}
    # An editor knows the models that ship with genops; those of a file of models it must take as they are.
    known = {"anyOf": [{"enum": list(shipped().tunable())}, resource]}
    schema["if"] = {"not": {"required": ["models"]}}
    schema["then"] = {"properties": {"datasets": {"additionalProperties": {"properties": {"source_model": known}}}}}
    named = {"type": "object", "minProperties": 1, "maxProperties": 1}
    about = {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/Contestant"}]}
    schema["$defs"]["Contestant"]["required"].remove("name")  # it stands before the colon
    contestants = schema["$defs"]["Comparison"]["properties"]["contestants"]
    contestants["items"] = {"anyOf": [{"type": "string"}, named | {"additionalProperties": about}]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "genops.yaml"}
