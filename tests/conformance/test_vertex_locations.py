"""Each model in its place: tuned in a region, served and asked where Vertex AI serves and asks it, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from google import genai
from google.genai import errors, types

if TYPE_CHECKING:
    from vertex_stand_in import VertexStandIn

pytestmark = pytest.mark.filterwarnings("ignore:The SDK's tuning implementation is experimental")

PROJECT = "local-project"
THREE, TWO = "gemini-3.5-flash", "gemini-2.5-flash"


def at(vertex: VertexStandIn, location: str) -> genai.Client:
    return vertex.new_genai(location)


def refusal(vertex: VertexStandIn, location: str, model: str) -> int | None:
    """Return the HTTP status that asking a model in a location ends with; None where it answers."""
    with at(vertex, location) as client:
        try:
            assert client.models.generate_content(model=model, contents="hello").text is not None
        except errors.ClientError as error:
            return int(error.code)
    return None


@pytest.mark.parametrize(
    ("model", "answers", "refuses"),
    [
        (THREE, ("global", "us", "eu"), ("us-central1", "europe-west4")),
        (TWO, ("global", "us-central1", "europe-west4"), ("us", "eu")),
    ],
)
def test_a_base_model_answers_where_it_is_asked_and_is_not_found_elsewhere(
    vertex: VertexStandIn, model: str, answers: tuple[str, ...], refuses: tuple[str, ...]
) -> None:
    assert [refusal(vertex, location, model) for location in answers] == [None] * len(answers)
    assert [refusal(vertex, location, model) for location in refuses] == [404] * len(refuses)


def tuned_in(vertex: VertexStandIn, location: str, model: str, **config: object) -> types.TuningJob:
    from vertex_stand_in import examples, jsonl

    data = types.TuningDataset(gcs_uri=vertex.bucket.put("good data.jsonl", jsonl(examples())))
    with at(vertex, location) as client:
        return client.tunings.tune(
            base_model=model, training_dataset=data, config=types.CreateTuningJobConfig(**config)
        )


@pytest.mark.parametrize(
    ("model", "region", "served"),
    [
        (THREE, "us-central1", ("us", "eu")),
        (THREE, "europe-west4", ("eu", "us")),
        (TWO, "europe-west4", ("europe-west4",)),
    ],
)
def test_a_tuned_model_answers_where_its_kind_is_served_and_is_not_found_elsewhere(
    vertex: VertexStandIn, model: str, region: str, served: tuple[str, ...]
) -> None:
    found = vertex.ended(tuned_in(vertex, region, model)).tuned_model
    assert found is not None
    assert (found.model or "").startswith(f"projects/{PROJECT}/locations/{region}/models/")
    endpoint = found.endpoint or ""
    home = f"projects/{PROJECT}/locations/{served[0]}"
    assert endpoint.startswith(f"{home}/endpoints/")
    for location in ("us", "eu", "us-central1", "europe-west4"):
        there = endpoint.replace(home, f"projects/{PROJECT}/locations/{location}")
        assert refusal(vertex, location, there) == (None if location in served else 404), location


@pytest.mark.parametrize(
    ("model", "location", "config", "said"),
    [
        (THREE, "us-east1", {}, "is not supported for tuning in us-east1; it is tuned in us-central1, europe-west4"),
        (THREE, "us", {}, "is not supported for tuning in us;"),
        ("gemini-3.8-flash", "us-central1", {}, "is not supported for tuning. Supported: gemini-3.5-flash"),
        ("gemini-2.5-pro", "us-central1", {"adapter_size": "ADAPTER_SIZE_SIXTEEN"}, "Adapter size 16"),
        (
            THREE,
            "us-central1",
            {"encryption_spec": {"kms_key_name": "projects/p/locations/us-central1/keyRings/r/cryptoKeys/k"}},
            "CMEK is not supported for tuning gemini-3.5-flash",
        ),
    ],
)
def test_what_cannot_be_tuned_there_or_so_is_refused(
    vertex: VertexStandIn, model: str, location: str, config: dict[str, object], said: str
) -> None:
    with pytest.raises(errors.ClientError, match=said) as caught:
        tuned_in(vertex, location, model, **config)
    assert caught.value.code == 400


def test_a_batch_job_runs_where_its_model_answers(vertex: VertexStandIn) -> None:
    source = vertex.bucket.put(
        "rows.jsonl", b'{"request": {"contents": [{"role": "user", "parts": [{"text": "a"}]}]}}\n'
    )
    config = types.CreateBatchJobConfig(dest="gs://bucket/out")
    with at(vertex, "us") as client:
        assert client.batches.create(model=THREE, src=source, config=config).name
    with (
        at(vertex, "us-central1") as client,
        pytest.raises(errors.ClientError, match="batch prediction in us-central1"),
    ):
        client.batches.create(model=f"publishers/google/models/{THREE}", src=source, config=config)


def test_what_is_tuned_from_a_model_of_today_has_no_context_cache(vertex: VertexStandIn) -> None:
    found = vertex.ended(tuned_in(vertex, "us-central1", THREE)).tuned_model
    assert found is not None
    config = types.CreateCachedContentConfig(contents="A long book. " * 800)
    with at(vertex, "us") as client:
        assert client.caches.create(model=THREE, config=config).name
        with pytest.raises(
            errors.ClientError, match=r"not supported for models that were tuned from gemini-3\.5-flash"
        ):
            client.caches.create(model=found.endpoint or "", config=config)


def test_a_project_has_a_number_that_stands_for_its_id(vertex: VertexStandIn) -> None:
    from gcp_stand_ins.projects import project_number

    job = vertex.ended(tuned_in(vertex, "us-central1", TWO))
    assert job.tuned_model

    def numbered(name: str | None) -> str:
        assert name
        return name.replace(f"projects/{PROJECT}/", f"projects/{project_number(PROJECT)}/")

    client = at(vertex, "us-central1")
    assert client.tunings.get(name=numbered(job.name)).name == job.name
    assert client.models.generate_content(model=numbered(job.tuned_model.endpoint), contents="phone stolen").text
    again = client.tunings.tune(
        base_model=numbered(job.tuned_model.model),
        training_dataset=types.TuningDataset(gcs_uri=vertex.bucket.put("more.jsonl", _examples())),
    )
    assert again.pre_tuned_model
    assert again.pre_tuned_model.tuned_model_name == job.tuned_model.model
    client.close()


def _examples() -> bytes:
    from vertex_stand_in import examples, jsonl

    return jsonl(examples())
