"""Do once, before a process forks, what each of its children would do at its first call."""

from __future__ import annotations

import importlib
import typing
from contextlib import suppress
from typing import Any

_MODELS = (
    "TuningJob",
    "ListTuningJobsResponse",
    "CreateTuningJobConfig",
    "GenerateContentConfig",
    "GenerateContentResponse",
    "HttpOptions",
    "_CreateTuningJobParametersPrivate",
    "_GenerateContentParameters",
    "_GetTuningJobParameters",
    "_ListTuningJobsParameters",
)
"""What google-genai's calls of the stages are made of. A name that a release lacks is passed over."""

_LATE = (
    "cloudevents.core.bindings.http",
    "google.auth.compute_engine",
    "google.oauth2.reauth",
    "google.oauth2.service_account",
    "google_crc32c",
    "grpc._interceptor",
    "jinja2.ext",
)
"""What Airflow and the clients import in the middle of a task; what a release lacks is passed over."""


def warm_start() -> None:
    """Import Google's clients and build what they build at their first use; makes no call, starts no thread.

    The imports take four seconds of a core, google-genai's models 0.3 s, the certificates 0.02 s: more than a stage does.

    Raises:
        ImportError: a client is not installed.
    """
    import google.cloud.aiplatform_v1
    import google.cloud.pubsub_v1
    import google.cloud.storage  # noqa: F401
    from google.genai import types

    from genops_events.catalogue.models import shipped
    from genops_events.gcp.clients import tls_context

    seen: set[type] = set()
    for name in _MODELS:
        _build(getattr(types, name, None), seen)
    tls_context()
    for name in _LATE:
        with suppress(ImportError):
            importlib.import_module(name)
    shipped()


def _build(kind: Any, seen: set[type]) -> None:
    """Let pydantic build the validators of a model and of all that it is made of: google-genai defers that."""
    from pydantic import BaseModel

    if not isinstance(kind, type):
        for part in typing.get_args(kind):
            _build(part, seen)
    elif issubclass(kind, BaseModel) and kind is not BaseModel and kind not in seen:
        seen.add(kind)
        kind.model_rebuild(raise_errors=False)
        for field in kind.model_fields.values():
            _build(field.annotation, seen)
