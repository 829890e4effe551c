"""Everything that a model takes, as google-genai asks for it: tools, forms, safety, caches, files, quota."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from google.genai import errors, types

from gcp_stand_ins.vertex.tokens import count_tokens

if TYPE_CHECKING:
    from vertex_stand_in import VertexStandIn

pytestmark = pytest.mark.filterwarnings("ignore:The SDK's tuning implementation is experimental")

OFF = types.AutomaticFunctionCallingConfig(disable=True)
SCHEMA = {
    "type": "object",
    "properties": {
        "intent": {"type": "string", "enum": ["lost", "found"]},
        "words": {"type": "integer"},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["intent"],
}


def ask(vertex: VertexStandIn, contents: Any, model: str | None = None, **config: Any) -> types.GenerateContentResponse:
    return vertex.client_for(model or vertex.base_model).models.generate_content(
        model=model or vertex.base_model,
        contents=contents,
        config=types.GenerateContentConfig(automatic_function_calling=OFF, **config),
    )


def refused(vertex: VertexStandIn, contents: Any, **config: Any) -> str:
    with pytest.raises(errors.ClientError) as caught:
        ask(vertex, contents, **config)
    assert caught.value.code == 400
    return str(caught.value.message)


def function(name: str = "block_card") -> types.Tool:
    declared = types.FunctionDeclaration(
        name=name,
        description="d",
        parameters_json_schema={"type": "object", "properties": {"why": {"type": "string"}}},
    )
    return types.Tool(function_declarations=[declared])


def test_an_answer_keeps_to_its_schema(vertex: VertexStandIn) -> None:
    for schema in ({"response_json_schema": SCHEMA}, {"response_schema": SCHEMA}):
        answer = ask(vertex, "it is found again", response_mime_type="application/json", **schema)
        assert json.loads(answer.text or "") == {"intent": "found", "words": 4, "tags": ["it is found again"]}
    enum = ask(
        vertex, "it is lost", response_mime_type="text/x.enum", response_json_schema=SCHEMA["properties"]["intent"]
    )  # type: ignore[index]
    assert enum.text == "lost"
    assert json.loads(ask(vertex, "plain", response_mime_type="application/json").text or "") == {"answer": "plain"}


def test_a_schema_that_is_none_or_has_no_form_is_refused(vertex: VertexStandIn) -> None:
    assert "response schema needs" in refused(vertex, "a", response_json_schema=SCHEMA)
    assert "not known: 'strin'" in refused(
        vertex, "a", response_mime_type="application/json", response_json_schema={"type": "strin"}
    )


def test_a_function_is_called_when_it_is_asked_for_or_must_be(vertex: VertexStandIn) -> None:
    called = ask(vertex, "please block it", tools=[function()])
    assert called.function_calls
    assert (called.function_calls[0].name, called.function_calls[0].args) == ("block_card", {"why": "please block it"})
    assert not ask(vertex, "what is new", tools=[function()]).function_calls
    must = types.ToolConfig(
        function_calling_config=types.FunctionCallingConfig(
            mode=types.FunctionCallingConfigMode.ANY, allowed_function_names=["other"]
        )
    )
    found = ask(vertex, "what is new", tools=[function(), function("other")], tool_config=must).function_calls
    assert found
    assert found[0].name == "other"
    never = types.ToolConfig(
        function_calling_config=types.FunctionCallingConfig(mode=types.FunctionCallingConfigMode.NONE)
    )
    assert ask(vertex, "block", tools=[function()], tool_config=never).text == "block"


def test_functions_and_search_do_not_go_together(vertex: VertexStandIn) -> None:
    search = types.Tool(google_search=types.GoogleSearch())
    assert "only when they are all search tools" in refused(vertex, "a", tools=[function(), search])


def test_a_grounded_answer_names_its_sources(vertex: VertexStandIn) -> None:
    answer = ask(vertex, "news", tools=[types.Tool(google_search=types.GoogleSearch())])
    assert answer.candidates
    grounding = answer.candidates[0].grounding_metadata
    assert grounding
    assert grounding.web_search_queries == ["news"]
    assert grounding.grounding_chunks
    assert grounding.grounding_chunks[0].web
    store = "projects/p/locations/global/collections/default_collection/dataStores/mine"
    own = types.Tool(retrieval=types.Retrieval(vertex_ai_search=types.VertexAISearch(datastore=store)))
    answer = ask(vertex, "news", tools=[own])
    assert answer.candidates
    assert answer.candidates[0].grounding_metadata
    assert answer.candidates[0].grounding_metadata.grounding_chunks
    context = answer.candidates[0].grounding_metadata.grounding_chunks[0].retrieved_context
    assert context
    assert context.title == store


def thinking(**told: Any) -> types.ThinkingConfig:
    return types.ThinkingConfig(**told)


def thought_tokens(answer: types.GenerateContentResponse) -> int | None:
    assert answer.usage_metadata
    return answer.usage_metadata.thoughts_token_count


def test_thinking_is_on_by_default_counted_and_shown_if_asked_for(vertex: VertexStandIn) -> None:
    plain = ask(vertex, "why is the sky blue", model="gemini-2.5-flash")
    tokens = thought_tokens(plain)
    assert tokens
    assert plain.usage_metadata
    assert plain.usage_metadata.total_token_count
    assert plain.usage_metadata.total_token_count > tokens
    assert thought_tokens(ask(vertex, "why is the sky blue", model="gemini-2.5-flash")) == tokens, "not by chance"
    off = ask(vertex, "why is the sky blue", model="gemini-2.5-flash", thinking_config=thinking(thinking_budget=0))
    assert (thought_tokens(off), off.text) == (None, plain.text)
    shown = thinking(thinking_budget=3, include_thoughts=True)
    answer = ask(vertex, "why is the sky blue", model="gemini-2.5-flash", thinking_config=shown)
    assert thought_tokens(answer) == 3
    assert answer.text == "why is the sky blue"
    assert answer.candidates
    assert answer.candidates[0].content
    assert answer.candidates[0].content.parts
    assert [bool(part.thought) for part in answer.candidates[0].content.parts] == [True, False]


def test_thoughts_use_up_the_limit_of_output_tokens_and_then_there_is_no_answer(vertex: VertexStandIn) -> None:
    answer = ask(vertex, "one two three four", model="gemini-2.5-flash", max_output_tokens=16)
    assert answer.candidates
    assert answer.candidates[0].finish_reason == types.FinishReason.MAX_TOKENS
    assert answer.candidates[0].content
    assert answer.candidates[0].content.parts is None
    assert (thought_tokens(answer), answer.text) == (16, None)
    assert answer.usage_metadata
    assert answer.usage_metadata.candidates_token_count is None
    some = ask(
        vertex,
        "one two three four",
        model="gemini-2.5-flash",
        max_output_tokens=6,
        thinking_config=thinking(thinking_budget=4),
    )
    assert thought_tokens(some) == 4
    assert some.usage_metadata
    assert some.usage_metadata.candidates_token_count == 2
    assert "one two three four".startswith(some.text or "nothing")


@pytest.mark.parametrize(
    ("model", "thinks"),
    [
        ("gemini-2.5-pro", True),
        ("gemini-2.5-flash-lite", False),
        ("gemini-2.0-flash", False),
        ("gemini-3.5-flash", True),
        ("gemini-3.1-flash-lite", True),
    ],
)
def test_a_model_thinks_by_default_as_googles_do(vertex: VertexStandIn, model: str, thinks: bool) -> None:  # noqa: FBT001
    assert bool(thought_tokens(ask(vertex, "why is the sky blue", model=model))) is thinks


def test_a_higher_level_thinks_more(vertex: VertexStandIn) -> None:
    found = [
        thought_tokens(ask(vertex, "why", model="gemini-3.5-flash", thinking_config=thinking(thinking_level=level)))
        for level in ("MINIMAL", "LOW", "MEDIUM", "HIGH")
    ]
    assert found == sorted(set(found), key=lambda one: one or 0)
    assert found[0]


@pytest.mark.parametrize(
    ("model", "told", "words"),
    [
        ("gemini-2.5-flash", {"thinking_level": "LOW"}, "thinking_level is not supported by this model"),
        ("gemini-2.5-flash", {"thinking_budget": 24_577}, "The thinking budget (24577) is invalid"),
        ("gemini-2.5-flash-lite", {"thinking_budget": 100}, "The thinking budget (100) is invalid"),
        ("gemini-2.5-pro", {"thinking_budget": 0}, "does not support setting thinking_budget to 0"),
        ("gemini-2.5-pro", {"thinking_budget": 127}, "The thinking budget (127) is invalid"),
        ("gemini-3.5-flash", {"thinking_budget": 0}, "thinking_budget is not supported by this model"),
        ("gemini-2.0-flash", {"thinking_budget": 1}, "thinking is not supported by this model"),
    ],
)
def test_thinking_that_is_not_the_models_is_refused(
    vertex: VertexStandIn, model: str, told: dict[str, Any], words: str
) -> None:
    assert words in refused(vertex, "why", model=model, thinking_config=thinking(**told))


def test_an_answer_ends_before_a_stop_sequence(vertex: VertexStandIn) -> None:
    assert ask(vertex, "one two three two", stop_sequences=["four", "two"]).text == "one "
    assert "at most 5" in refused(vertex, "a", stop_sequences=list("abcdef"))


def test_a_part_of_a_kind_that_it_does_not_know_is_refused(vertex: VertexStandIn) -> None:
    code = types.Part(executable_code=types.ExecutableCode(code="1", language=types.Language.PYTHON))
    with pytest.raises(errors.APIError, match="executableCode"):
        ask(vertex, [types.Part.from_text(text="run it"), code])
    level = types.PartMediaResolutionLevel.MEDIA_RESOLUTION_LOW
    seen = types.Part(text="look", media_resolution=types.PartMediaResolution(level=level))
    assert ask(vertex, [seen]).text == "look"
    # A field of the client that Vertex AI does not have.
    counted = types.Part(text="look", media_resolution=types.PartMediaResolution(num_tokens=5))
    with pytest.raises(errors.APIError, match="mediaResolution"):
        ask(vertex, [counted])


def test_files_are_counted_by_what_they_are(vertex: VertexStandIn) -> None:
    contents: list[Any] = [
        types.Part.from_uri(file_uri="gs://bucket/a.png", mime_type="image/png"),
        types.Part.from_uri(file_uri="gs://bucket/a.pdf", mime_type="application/pdf"),
        types.Part.from_bytes(data=b"x", mime_type="audio/mp3"),
        types.Part.from_uri(file_uri="gs://bucket/a.mp4", mime_type="video/mp4"),
        types.Part(
            file_data=types.FileData(file_uri="gs://bucket/b.mp4", mime_type="video/mp4"),
            video_metadata=types.VideoMetadata(start_offset="5s", end_offset="15s"),
        ),
        types.Part.from_function_call(name="find", args={"card": "東京"}),
        types.Part.from_text(text="what is that"),
    ]
    answer = ask(vertex, contents)
    # It says that it has not looked, so that nobody takes its answer for what is in the files.
    assert answer.text == (
        "The stand-in cannot look into files (1 audio, 1 document, 1 image, 2 video). It was asked: what is that"
    )
    assert answer.usage_metadata
    assert answer.usage_metadata.prompt_tokens_details
    counts = {one.modality: one.token_count for one in answer.usage_metadata.prompt_tokens_details}
    # A sound, and a video without offsets, are taken for a minute; a call is the text that is sent.
    called = count_tokens('{"name":"find","args":{"card":"東京"}}')
    expected = {"TEXT": 4 + called, "IMAGE": 258, "DOCUMENT": 258, "AUDIO": 60 * 32, "VIDEO": 70 * 290}
    assert counts == expected
    counted = vertex.client.models.count_tokens(model=vertex.base_model, contents=contents)
    assert counted.total_tokens == answer.usage_metadata.prompt_token_count == sum(expected.values())


def test_files_are_counted_by_the_resolution_in_which_they_are_read(vertex: VertexStandIn) -> None:
    contents: list[Any] = [types.Part.from_uri(file_uri="gs://bucket/a.png", mime_type="image/png"), "what"]
    for resolution, tokens in (("LOW", 66), ("MEDIUM", 258), ("HIGH", 2_304)):
        answer = ask(vertex, contents, media_resolution=f"MEDIA_RESOLUTION_{resolution}")
        assert answer.usage_metadata
        assert answer.usage_metadata.prompt_token_count == tokens + 2


def test_a_file_that_no_model_takes_is_refused(vertex: VertexStandIn) -> None:
    part = types.Part.from_uri(file_uri="gs://bucket/a.docx", mime_type="application/msword")
    assert "mimeType parameter with value application/msword" in refused(vertex, [part, "what is that"])
    part = types.Part.from_uri(file_uri="ftp://bucket/a.png", mime_type="image/png")
    assert "valid fileUri" in refused(vertex, [part, "what is that"])


def test_harm_is_blocked_in_the_prompt_or_stopped_in_the_answer(vertex: VertexStandIn) -> None:
    vertex.faults(blocked_text="bomb", harmful_text="knife")
    answer = ask(vertex, "a bomb")
    assert not answer.candidates
    assert answer.prompt_feedback
    assert answer.prompt_feedback.block_reason == types.BlockedReason.SAFETY
    answer = ask(vertex, "a knife")
    assert answer.candidates
    assert answer.candidates[0].finish_reason == types.FinishReason.SAFETY
    assert answer.candidates[0].safety_ratings
    assert answer.candidates[0].safety_ratings[0].blocked
    passes = types.SafetySetting(
        category=types.HarmCategory.HARM_CATEGORY_DANGEROUS_CONTENT, threshold=types.HarmBlockThreshold.BLOCK_NONE
    )
    assert ask(vertex, "a knife", safety_settings=[passes]).text == "a knife"


def test_a_prompt_over_the_context_window_is_refused(vertex: VertexStandIn) -> None:
    vertex.faults(context_window_tokens=10)
    assert ask(vertex, "x" * 30).text
    assert "(11) exceeds the maximum number of tokens allowed (10)" in refused(vertex, "x" * 31)


BOOK = "x" * 6_300


def make_cache(
    vertex: VertexStandIn, model: str | None = None, *, text: str = BOOK, **config: Any
) -> types.CachedContent:
    return vertex.client.caches.create(
        model=model or vertex.base_model,
        config=types.CreateCachedContentConfig(
            display_name="a book", contents=[types.Content(role="user", parts=[types.Part(text=text)])], **config
        ),
    )


def test_a_cache_comes_before_the_prompt_and_is_counted_as_such(vertex: VertexStandIn, tuned: types.TunedModel) -> None:
    for model in (vertex.base_model, tuned.endpoint):
        made = make_cache(vertex, model, ttl="300s", system_instruction="Be kind.", tools=[function()])
        assert made.usage_metadata
        assert made.usage_metadata.total_token_count == 2_100 + 4
        assert made.expire_time
        assert made.create_time
        assert 299 < (made.expire_time - made.create_time).total_seconds() < 301
        answer = ask(vertex, "phone stolen", model, cached_content=made.name)
        assert answer.usage_metadata
        assert answer.usage_metadata.cached_content_token_count == 2_100 + 4
        assert answer.usage_metadata.prompt_token_count == 2_100 + 4 + 4
        assert ask(vertex, "block it", model, cached_content=made.name).function_calls
        vertex.client.caches.delete(name=str(made.name))


def test_a_cache_can_be_listed_extended_deleted_and_is_gone_after_its_time(vertex: VertexStandIn) -> None:
    made = [str(make_cache(vertex, ttl="600s").name) for _ in range(3)]
    listed = [one.name for one in vertex.client.caches.list(config={"page_size": 2})]
    assert listed[:3] == made[::-1]
    assert len(set(listed)) == len(listed)
    config = types.UpdateCachedContentConfig(ttl="900s")
    longer = vertex.client.caches.update(name=made[0], config=config)
    before = vertex.client.caches.get(name=made[1])
    assert longer.expire_time
    assert before.expire_time
    assert (longer.expire_time - before.expire_time).total_seconds() > 290
    vertex.client.caches.delete(name=made[0])
    with pytest.raises(errors.ClientError, match="Not found: cached content"):
        ask(vertex, "a", cached_content=made[0])
    short = str(make_cache(vertex, ttl="0.2s").name)
    time.sleep(0.25)
    with pytest.raises(errors.ClientError, match="Not found: cached content"):
        vertex.client.caches.get(name=short)
    assert short not in [one.name for one in vertex.client.caches.list()]


@pytest.mark.parametrize(("model", "least"), [("gemini-2.5-flash", 2_048), ("gemini-3.5-flash", 4_096)])
def test_a_cache_below_the_least_size_of_its_model_is_refused(vertex: VertexStandIn, model: str, least: int) -> None:
    client = vertex.new_genai("us-central1" if model.startswith("gemini-2") else "us")
    contents = [types.Content(role="user", parts=[types.Part(text="x" * (3 * least))])]
    enough = client.caches.create(model=model, config=types.CreateCachedContentConfig(contents=contents))
    assert enough.usage_metadata
    assert enough.usage_metadata.total_token_count == least
    contents = [types.Content(role="user", parts=[types.Part(text="x" * (3 * least - 3))])]
    with pytest.raises(errors.ClientError) as caught:
        client.caches.create(model=model, config=types.CreateCachedContentConfig(contents=contents))
    assert (caught.value.code, caught.value.status) == (400, "INVALID_ARGUMENT")
    told = f"The cached content is of {least - 1} tokens. The minimum token count to start caching is {least}."
    assert caught.value.message == told
    client.close()


def test_a_cache_is_for_its_model_and_holds_the_instruction(vertex: VertexStandIn, tuned: types.TunedModel) -> None:
    made = make_cache(vertex)
    with pytest.raises(errors.ClientError, match="has to be the same"):
        ask(vertex, "a", tuned.endpoint, cached_content=made.name)
    assert "should not be set in the request" in refused(vertex, "a", cached_content=made.name, system_instruction="b")
    assert "should not be set in the request" in refused(vertex, "a", cached_content=made.name, tools=[function()])


def test_what_is_over_the_quota_is_refused_and_told_when_to_come_again(vertex: VertexStandIn) -> None:
    before = vertex.admin.get("/quota").json()["refused"]
    asked = vertex.admin.get("/quota").json()["most_requests"]
    vertex.faults(quota_requests_per_minute=max(asked, 1))
    with pytest.raises(errors.ClientError) as caught:
        [ask(vertex, "a") for _ in range(asked + 2)]
    assert (caught.value.code, caught.value.status) == (429, "RESOURCE_EXHAUSTED")
    details = caught.value.details["error"]["details"]
    assert details[0]["@type"].endswith("google.rpc.RetryInfo")
    assert 0 < float(details[0]["retryDelay"].rstrip("s")) <= 60
    assert vertex.admin.get("/quota").json()["refused"] == before + 1
    vertex.faults(quota_requests_per_minute=0)
    with pytest.raises(errors.ClientError, match="RESOURCE_EXHAUSTED"):
        ask(vertex, "a")
    vertex.faults(quota_tokens_per_minute=1)
    with pytest.raises(errors.ClientError, match="RESOURCE_EXHAUSTED"):
        ask(vertex, "a")


def test_a_setting_that_is_not_there_is_named(vertex: VertexStandIn) -> None:
    with pytest.raises(
        errors.APIError, match=r"does not implement generateContent with generationConfig.responseLogprobs"
    ):
        ask(vertex, "a", response_logprobs=True)
