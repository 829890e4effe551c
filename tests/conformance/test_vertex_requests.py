"""Our requests, field by field, beside what google-genai sends for the same settings (docs/adr/0012)."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from google import genai
from google.genai import types
from google.oauth2.credentials import Credentials

from genops_events.config.answers import AnswerSettings
from genops_events.gemini.prompts import PromptRow, read_rows
from genops_events.gemini.replies import read_reply
from genops_events.gemini.requests import Requests
from genops_events.reading.addresses import Readable

ANSWER = {
    "candidates": [{"content": {"role": "model", "parts": [{"text": "yes"}]}, "finishReason": "STOP"}],
    "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 1, "thoughtsTokenCount": 2, "totalTokenCount": 6},
}
STORE = "projects/p/locations/global/collections/default_collection/dataStores/d"
SCHEMA = {"type": "object", "properties": {"why": {"type": "string"}}}


class Listener:
    """A server that keeps the body of the last call, and answers it."""

    def __init__(self) -> None:
        listener = self
        self.body: dict[str, Any] = {}

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                listener.body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                content = json.dumps(ANSWER).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.close()


def sent(listener: Listener, contents: Any, config: types.GenerateContentConfig) -> dict[str, Any]:
    """Return what google-genai sends."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GOOGLE_VERTEX_BASE_URL", listener.url)
        client = genai.Client(
            vertexai=True, project="p", location="us-central1", credentials=Credentials(token="local")
        )
    config.automatic_function_calling = types.AutomaticFunctionCallingConfig(disable=True)
    answer = client.models.generate_content(model="gemini-2.5-flash", contents=contents, config=config)
    client.close()
    ours = read_reply(json.dumps(ANSWER).encode())
    assert answer.usage_metadata
    assert (answer.text, answer.usage_metadata.thoughts_token_count) == (ours.text, ours.thinking_tokens)
    body: dict[str, Any] = camel(listener.body)
    return {name: value for name, value in body.items() if value != {}}  # it sends an empty generationConfig


def camel(value: Any, *, users: bool = False) -> Any:
    """Return JSON with the names of fields as the REST API has them: google-genai sends snake case in places."""
    if isinstance(value, list):
        return [camel(one, users=users) for one in value]
    if not isinstance(value, dict):
        return value
    renamed = {}
    for key, one in value.items():
        head, *rest = key.split("_")
        name = key if users else head + "".join(part.capitalize() for part in rest)
        renamed[name] = camel(one, users=users or name.endswith("JsonSchema") or name == "args")
    return renamed


def ours(row: dict[str, Any], settings: dict[str, Any], **more: Any) -> dict[str, Any]:
    (read,) = read_rows([json.dumps(row).encode()], readable=Readable("bucket"))
    assert isinstance(read, PromptRow), read
    return Requests(AnswerSettings.model_validate(settings), **more).body(read)


SAME: dict[str, tuple[dict[str, Any], types.GenerateContentConfig]] = {
    "numbers": (
        {
            "temperature": 0.5,
            "top_p": 0.9,
            "top_k": 40,
            "candidate_count": 2,
            "max_output_tokens": 64,
            "seed": 7,
            "presence_penalty": 0.5,
            "frequency_penalty": -0.5,
            "stop_sequences": ["END"],
            "media_resolution": "low",
        },
        types.GenerateContentConfig(
            temperature=0.5,
            top_p=0.9,
            top_k=40,
            candidate_count=2,
            max_output_tokens=64,
            seed=7,
            presence_penalty=0.5,
            frequency_penalty=-0.5,
            stop_sequences=["END"],
            media_resolution=types.MediaResolution.MEDIA_RESOLUTION_LOW,
        ),
    ),
    "a schema": (
        {"response_json_schema": SCHEMA},
        types.GenerateContentConfig(response_mime_type="application/json", response_json_schema=SCHEMA),
    ),
    "thinking": (
        {"thinking": {"budget_tokens": -1, "include_thoughts": True}},
        types.GenerateContentConfig(thinking_config=types.ThinkingConfig(thinking_budget=-1, include_thoughts=True)),
    ),
    "a level of thinking": (
        {"thinking": {"level": "low"}},
        types.GenerateContentConfig(thinking_config=types.ThinkingConfig(thinking_level=types.ThinkingLevel.LOW)),
    ),
    "safety": (
        {
            "safety": {
                "harassment": "block_none",
                "hate_speech": "off",
                "sexually_explicit": "block_only_high",
                "dangerous_content": "block_low_and_above",
            }
        },
        types.GenerateContentConfig(
            safety_settings=[
                types.SafetySetting(
                    category=types.HarmCategory(f"HARM_CATEGORY_{category}"),
                    threshold=types.HarmBlockThreshold(threshold),
                )
                for category, threshold in (
                    ("HARASSMENT", "BLOCK_NONE"),
                    ("HATE_SPEECH", "OFF"),
                    ("SEXUALLY_EXPLICIT", "BLOCK_ONLY_HIGH"),
                    ("DANGEROUS_CONTENT", "BLOCK_LOW_AND_ABOVE"),
                )
            ]
        ),
    ),
    "functions": (
        {
            "functions": [{"name": "f", "description": "d", "parameters": SCHEMA}, {"name": "g", "description": "e"}],
            "function_calling": {"mode": "any", "allowed": ["f"]},
        },
        types.GenerateContentConfig(
            tools=[
                types.Tool(
                    function_declarations=[
                        types.FunctionDeclaration(name="f", description="d", parameters_json_schema=SCHEMA),
                        types.FunctionDeclaration(name="g", description="e"),
                    ]
                )
            ],
            tool_config=types.ToolConfig(
                function_calling_config=types.FunctionCallingConfig(
                    mode=types.FunctionCallingConfigMode.ANY, allowed_function_names=["f"]
                )
            ),
        ),
    ),
    "search": (
        {"grounding": "google_search"},
        types.GenerateContentConfig(tools=[types.Tool(google_search=types.GoogleSearch())]),
    ),
    "a data store": (
        {"grounding": {"data_store": STORE}},
        types.GenerateContentConfig(
            tools=[types.Tool(retrieval=types.Retrieval(vertex_ai_search=types.VertexAISearch(datastore=STORE)))]
        ),
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_settings_are_sent_as_google_genai_sends_them(listener: Listener, name: str) -> None:
    settings, config = SAME[name]
    assert ours({"prompt": "hi"}, settings) == sent(listener, "hi", config)


def test_every_setting_is_compared() -> None:
    compared = {key for settings, _ in SAME.values() for key in settings}
    assert set(AnswerSettings.model_fields) - compared == {"response_mime_type"}


def test_instruction_cache_files_and_turns_are_sent_as_google_genai_sends_them(listener: Listener) -> None:
    theirs = sent(listener, "hi", types.GenerateContentConfig(system_instruction="Be kind."))
    # It calls the instruction's role the user's, which the service ignores.
    theirs["systemInstruction"].pop("role", None)
    assert ours({"prompt": "hi"}, {}, system_instruction="Be kind.") == theirs
    cache = "projects/p/locations/us-central1/cachedContents/1"
    assert ours({"prompt": "hi"}, {}, cache=cache) == sent(
        listener, "hi", types.GenerateContentConfig(cached_content=cache)
    )
    row = {"prompt": "what is it", "files": ["gs://bucket/a.pdf", "gs://bucket/c.mp4"]}
    parts = [
        types.Part.from_uri(file_uri="gs://bucket/a.pdf", mime_type="application/pdf"),
        types.Part.from_uri(file_uri="gs://bucket/c.mp4", mime_type="video/mp4"),
        types.Part.from_text(text="what is it"),
    ]
    assert ours(row, {}) == sent(listener, types.Content(role="user", parts=parts), types.GenerateContentConfig())
