"""Names of models as people write them, and why a partner's model is refused.

Vertex AI takes `generateContent` for Google's models alone. A partner's has a form of its own: Anthropic's and Mistral's
`rawPredict` with the partner's JSON, the others' `endpoints/openapi/chat/completions`. Their answers, usage, caches, batch
rows and errors differ, too, so a name alone cannot make them asked (docs/adr/0017).
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
    """Return whose model a name means, as far as the name tells; None where it does not."""
    match = _PUBLISHED.fullmatch(name)
    if match is not None:
        return match["publisher"]
    return next((publisher for family, publisher in _FAMILIES.items() if name.startswith(family)), None)


def plain_name(name: str) -> str:
    """Return the id of one of Google's models that is written as `publishers/google/models/ID`; other names as they are."""
    match = _PUBLISHED.fullmatch(name)
    return match["model"] if match is not None and match["publisher"] == _GOOGLE and name.startswith("pub") else name


def refusal(name: str) -> str | None:
    """Say why a partner's model is not asked; None where the name is not a partner's."""
    publisher = publisher_of(name)
    if publisher in (None, _GOOGLE):
        return None
    return (
        f"a model of Google's: {name} is {publisher}'s, and Vertex AI takes another form of request for partners' models "
        "than generateContent, the only one that genops asks by"
    )
