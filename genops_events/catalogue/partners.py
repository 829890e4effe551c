"""Names of models as people write them, and the reason why a partner's model is refused.

Vertex AI takes `generateContent` for Google's models alone. A partner's model has another API: `rawPredict` with the
partner's JSON for Anthropic and Mistral, `endpoints/openapi/chat/completions` for the others. Their answers, usage, caches,
batch rows and errors differ, too, so partners' models are not supported (docs/adr/0017).
https://docs.cloud.google.com/gemini-enterprise-agent-platform/models/partner-models (read 2026-11-30)
"""

from __future__ import annotations

import re

_PUBLISHED = re.compile(r"(?:projects/[^/]+/locations/[^/]+/)?publishers/(?P<publisher>[^/]+)/models/(?P<model>[^/]+)")
_GOOGLE = "google"
_FAMILIES = {
    "claude": "anthropic",
    "mistral": "mistralai",
    "codestral": "mistralai",
    "llama": "meta",
    "jamba": "ai21",
    "deepseek": "deepseek-ai",
    "qwen": "qwen",
    "gpt-oss": "openai",
    "grok": "xai",
}


def publisher_of(name: str) -> str | None:
    """Return the publisher of a model by its name; None where the name does not show it."""
    match = _PUBLISHED.fullmatch(name)
    if match is not None:
        return match["publisher"]
    return next((publisher for family, publisher in _FAMILIES.items() if name.startswith(family)), None)


def plain_name(name: str) -> str:
    """Return ID for `publishers/google/models/ID`; other names unchanged."""
    match = _PUBLISHED.fullmatch(name)
    return match["model"] if match is not None and match["publisher"] == _GOOGLE and name.startswith("pub") else name


def refusal(name: str) -> str | None:
    """Return why a partner's model is not asked; None where the name is not a partner's."""
    publisher = publisher_of(name)
    if publisher in (None, _GOOGLE):
        return None
    return (
        f"a model of Google's: {name} is {publisher}'s, and Vertex AI takes another form of request for partners' models "
        "than generateContent, the only one that genops asks by"
    )
