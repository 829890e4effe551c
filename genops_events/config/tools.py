"""How tools are said in a request: functions, how they may be called, and grounding."""

from __future__ import annotations

from typing import Any

from genops_events.config.answers import AnswerSettings, Function, Grounding


def tools_json(settings: AnswerSettings) -> dict[str, Any]:
    """Return the tools of a request, and how they are to be used."""
    body: dict[str, Any] = {}
    if settings.functions:
        body["tools"] = [{"functionDeclarations": [_function(one) for one in settings.functions]}]
    elif settings.grounding is not None:
        body["tools"] = [_grounding(settings.grounding)]
    if settings.function_calling is not None and settings.functions:
        calling: dict[str, Any] = {"mode": settings.function_calling.mode.upper()}
        if settings.function_calling.allowed:
            calling["allowedFunctionNames"] = list(settings.function_calling.allowed)
        body["toolConfig"] = {"functionCallingConfig": calling}
    return body


def _function(function: Function) -> dict[str, Any]:
    declared: dict[str, Any] = {"name": function.name, "description": function.description}
    if function.parameters is not None:
        declared["parametersJsonSchema"] = {"type": "object", **function.parameters}
    return declared


def _grounding(grounding: Grounding) -> dict[str, Any]:
    if grounding.data_store is None:
        return {"googleSearch": {}}
    kind = "engine" if "/engines/" in grounding.data_store else "datastore"
    return {"retrieval": {"vertexAiSearch": {kind: grounding.data_store}}}
