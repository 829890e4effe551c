"""Models, endpoints and what they answer, as the official clients see them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from google.api_core import exceptions
from google.genai import errors, types

if TYPE_CHECKING:
    from vertex_stand_in import VertexStandIn

pytestmark = pytest.mark.filterwarnings("ignore:The SDK's tuning implementation is experimental")


def share(answers: list[str | None], right: list[str]) -> float:
    return sum(answer == wanted for answer, wanted in zip(answers, right, strict=True)) / len(right)


def test_tuning_beats_the_base_model_and_shuffled_labels_really_score_worse(
    vertex: VertexStandIn, tuned: types.TunedModel
) -> None:
    from vertex_stand_in import examples, fresh_questions, jsonl

    questions = fresh_questions()
    right = [answer for _, answer in questions]
    bad = vertex.ended(vertex.tune(vertex.bucket.put("shuffled.jsonl", jsonl(examples(shuffled=True))))).tuned_model
    assert bad
    assert bad.endpoint
    assert tuned.endpoint
    scores = {
        what: share(vertex.answers(model, questions), right)
        for what, model in (("base", vertex.base_model), ("tuned", tuned.endpoint), ("shuffled", bad.endpoint))
    }
    assert scores["base"] == 0.0
    assert scores["tuned"] > 0.9
    assert scores["shuffled"] < 0.6


def test_the_base_model_answers_with_an_extract_of_the_prompt(vertex: VertexStandIn) -> None:
    ask = vertex.client.models.generate_content
    assert ask(model=vertex.base_model, contents="First one. Then two.").text == "First one."
    long = " ".join(str(number) for number in range(50))
    assert ask(model=vertex.base_model, contents=long).text == " ".join(str(number) for number in range(20))


def test_an_answer_tells_its_tokens_its_end_and_its_model(vertex: VertexStandIn, tuned: types.TunedModel) -> None:
    assert tuned.endpoint
    answer = vertex.client.models.generate_content(
        model=tuned.endpoint,
        contents=[types.Content(role="user", parts=[types.Part(text="phone stolen?")])],
        config=types.GenerateContentConfig(
            system_instruction="Name it.",
            temperature=0.0,
            labels={"a": "b"},
            thinking_config=types.ThinkingConfig(thinking_budget=0),
        ),
    )
    assert answer.text == "lost_phone"
    assert answer.candidates
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    usage = answer.usage_metadata
    assert usage
    assert usage.prompt_token_count == 4 + 5, "Name it. and phone stolen?"
    assert usage.candidates_token_count == 4, "nine letters and a line"
    assert usage.total_token_count == 13
    assert answer.model_version == vertex.base_model
    assert answer.response_id


def test_the_vote_is_on_the_last_text_of_the_user_alone(vertex: VertexStandIn, tuned: types.TunedModel) -> None:
    assert tuned.endpoint
    contents: list[types.ContentUnion] = [
        types.Content(role="user", parts=[types.Part(text="phone stolen")]),
        types.Content(role="model", parts=[types.Part(text="lost_phone")]),
        types.Content(role="user", parts=[types.Part(text="currency rate")]),
    ]
    config = types.GenerateContentConfig(system_instruction="top up rejected")
    answer = vertex.client.models.generate_content(model=tuned.endpoint, contents=contents, config=config)
    assert answer.text == "exchange_rate"


def test_an_answer_is_cut_at_the_limit_of_tokens(vertex: VertexStandIn) -> None:
    off = types.ThinkingConfig(thinking_budget=0)
    config = types.GenerateContentConfig(max_output_tokens=2, thinking_config=off)
    answer = vertex.client.models.generate_content(model=vertex.base_model, contents="abcdefghijklmnop", config=config)
    assert answer.text == "abcdef"
    assert answer.candidates
    assert answer.candidates[0].finish_reason == types.FinishReason.MAX_TOKENS


async def test_the_asynchronous_client_asks_and_streams(vertex: VertexStandIn, tuned: types.TunedModel) -> None:
    assert tuned.endpoint
    client = vertex.new_genai()
    async with client.aio as aio:
        assert (await aio.models.generate_content(model=tuned.endpoint, contents="phone stolen")).text == "lost_phone"
        prompt = "one two three four five six seven eight nine ten"
        parts = [
            part async for part in await aio.models.generate_content_stream(model=vertex.base_model, contents=prompt)
        ]
    client.close()
    assert len(parts) > 1
    assert "".join(part.text or "" for part in parts) == prompt
    assert parts[-1].usage_metadata
    assert parts[-1].usage_metadata.prompt_token_count == 16


@pytest.mark.parametrize(
    ("model", "contents", "code"),
    [
        ("gemini-2.5-flash", types.Content(role="robot", parts=[types.Part(text="hi")]), 400),
        ("gemini-0.1-nano", "hi", 404),
        ("projects/local-project/locations/us-central1/endpoints/1", "hi", 404),
        (
            "gemini-2.5-flash",
            types.Content(role="user", parts=[types.Part.from_bytes(data=b"x", mime_type="application/zip")]),
            400,
        ),
        (
            "gemini-2.5-flash",
            types.Content(
                role="user", parts=[types.Part.from_executable_code(code="1", language=types.Language.PYTHON)]
            ),
            501,
        ),
    ],
)
def test_a_request_that_cannot_be_answered_is_an_error(
    vertex: VertexStandIn, model: str, contents: types.ContentListUnion, code: int
) -> None:
    with pytest.raises(errors.APIError) as refused:
        vertex.client.models.generate_content(model=model, contents=contents)
    assert refused.value.code == code


def test_a_temperature_out_of_range_is_refused(vertex: VertexStandIn) -> None:
    with pytest.raises(errors.ClientError, match="temperature"):
        vertex.client.models.generate_content(
            model=vertex.base_model, contents="hi", config=types.GenerateContentConfig(temperature=3.0)
        )


def test_the_registry_holds_the_tuned_model(vertex: VertexStandIn, tuned: types.TunedModel) -> None:
    assert tuned.model
    assert tuned.endpoint
    assert tuned.checkpoints
    model = vertex.models.get_model(name=tuned.model)
    assert (model.name, model.version_id) == tuple(tuned.model.split("@"))
    assert list(model.version_aliases) == ["default"]
    assert (model.display_name, model.labels["team"], model.labels["tune-type"]) == ("intents", "bank", "sft")
    assert len(model.checkpoints) == len(tuned.checkpoints)
    assert tuned.endpoint in [one.endpoint for one in model.deployed_models]
    endpoint = vertex.endpoints.get_endpoint(name=tuned.endpoint)
    assert endpoint.deployed_models[0].model == model.name
    listed = vertex.models.list_models(request={"parent": vertex.parent, "filter": "labels.team=bank"})
    assert [one.name for one in listed] == [model.name]
    assert tuned.endpoint in [one.name for one in vertex.endpoints.list_endpoints(parent=vertex.parent)]
    assert model.name in [one.name for one in vertex.client.models.list(config={"query_base": False})]
    assert vertex.client.models.get(model=tuned.model).version == "1"
    assert f"publishers/google/models/{vertex.base_model}" in [one.name for one in vertex.client.models.list()]


def test_an_alias_leads_to_one_version_and_moves(vertex: VertexStandIn) -> None:
    first = vertex.ended(vertex.tune()).tuned_model
    assert first
    assert first.model
    name = first.model.removesuffix("@1")
    vertex.ended(vertex.tune(base_model=first.model))
    merge = vertex.models.merge_version_aliases
    assert list(merge(name=f"{name}@1", version_aliases=["champion"]).version_aliases) == ["default", "champion"]
    assert vertex.models.get_model(name=f"{name}@champion").version_id == "1"
    merge(name=f"{name}@2", version_aliases=["champion", "default"])
    assert vertex.models.get_model(name=f"{name}@champion").version_id == "2"
    assert vertex.models.get_model(name=name).version_id == "2"
    assert list(vertex.models.get_model(name=f"{name}@1").version_aliases) == []
    assert list(merge(name=name, version_aliases=["-champion"]).version_aliases) == ["default"]
    with pytest.raises(exceptions.NotFound):
        vertex.models.get_model(name=f"{name}@champion")
    with pytest.raises(exceptions.BadRequest):
        merge(name=name, version_aliases=["-default"])
    with pytest.raises(exceptions.BadRequest):
        merge(name=name, version_aliases=["Not Valid"])
    assert sorted(one.version_id for one in vertex.models.list_model_versions(name=name)) == ["1", "2"]


def test_a_model_is_updated_and_deleted(vertex: VertexStandIn) -> None:
    tuned = vertex.ended(vertex.tune()).tuned_model
    assert tuned
    assert tuned.model
    assert tuned.endpoint
    name = tuned.model.removesuffix("@1")
    changed = vertex.models.update_model(
        model={"name": name, "description": "better", "labels": {"kept": "no"}}, update_mask={"paths": ["description"]}
    )
    assert changed.description == "better"
    assert "kept" not in changed.labels
    by_genai = vertex.client.models.update(
        model=name, config=types.UpdateModelConfig(display_name="named", default_checkpoint_id="1")
    )
    assert (by_genai.display_name, by_genai.default_checkpoint_id) == ("named", "1")
    with pytest.raises(exceptions.BadRequest, match="one of its versions"):
        vertex.models.update_model(
            model={"name": f"{name}@1", "display_name": "other"}, update_mask={"paths": ["display_name"]}
        )
    labelled = vertex.models.update_model(
        model={"name": f"{name}@1", "labels": {"genops-champion": "current"}}, update_mask={"paths": ["labels"]}
    )
    assert labelled.labels["genops-champion"] == "current"
