"""Tuning jobs as google-genai and google-cloud-aiplatform see them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from google.genai import errors, types

if TYPE_CHECKING:
    from vertex_stand_in import VertexStandIn

pytestmark = pytest.mark.filterwarnings("ignore:The SDK's tuning implementation is experimental")

ORDER = [
    ("JOB_STATE_PENDING", "TUNING_JOB_STATE_WAITING_FOR_QUOTA"),
    ("JOB_STATE_RUNNING", "TUNING_JOB_STATE_PROCESSING_DATASET"),
    ("JOB_STATE_RUNNING", "TUNING_JOB_STATE_WAITING_FOR_CAPACITY"),
    ("JOB_STATE_RUNNING", "TUNING_JOB_STATE_TUNING"),
    ("JOB_STATE_RUNNING", "TUNING_JOB_STATE_POST_PROCESSING"),
    ("JOB_STATE_SUCCEEDED", None),
]


def line(*turns: tuple[str, str]) -> bytes:
    contents = ", ".join(f'{{"role": "{role}", "parts": [{{"text": "{text}"}}]}}' for role, text in turns)
    return f'{{"contents": [{contents}]}}\n'.encode()


def test_a_job_passes_through_the_states_of_vertex_in_their_order(vertex: VertexStandIn) -> None:
    vertex.faults(job_seconds=3.0)
    job = vertex.tune(epoch_count=3)
    assert (job.state, job.tuning_job_state) == ORDER[0]
    seen: list[tuple[Any, Any]] = []
    epochs: list[int] = []
    while not seen or seen[-1] != ORDER[-1]:
        job = vertex.job(job.name)
        if (job.state, job.tuning_job_state) not in seen:
            seen.append((job.state, job.tuning_job_state))
        if job.tuning_job_metadata and job.tuning_job_metadata.completed_epoch_count is not None:
            epochs.append(job.tuning_job_metadata.completed_epoch_count)
    assert seen == [one for one in ORDER if one in seen]  # a busy machine may look too late for a short one
    assert epochs == sorted(epochs)
    assert epochs[-1] == 3
    assert job.create_time
    assert job.start_time
    assert job.end_time
    assert job.create_time < job.start_time < job.end_time == job.update_time
    assert (job.end_time - job.create_time).total_seconds() >= 3.0


def test_a_succeeded_job_tells_what_it_made_and_what_it_counted(vertex: VertexStandIn) -> None:
    uri = vertex.bucket.put("counted.jsonl", line(("user", "abcd efgh"), ("model", "yes")) * 16)
    job = vertex.ended(
        vertex.tune(
            uri,
            tuned_model_display_name="counted",
            description="to be counted",
            labels={"genops-candidate": "a-1"},
            epoch_count=2,
            adapter_size=types.AdapterSize.ADAPTER_SIZE_FOUR,
            learning_rate_multiplier=1.5,
            validation_dataset=types.TuningValidationDataset(gcs_uri=uri),
        )
    )
    assert job.state == types.JobState.JOB_STATE_SUCCEEDED, job.error
    assert (job.base_model, job.tuned_model_display_name) == (vertex.base_model, "counted")
    assert (job.description, job.labels) == ("to be counted", {"genops-candidate": "a-1"})
    spec = job.supervised_tuning_spec
    assert spec
    assert spec.hyper_parameters
    assert (spec.training_dataset_uri, spec.validation_dataset_uri) == (uri, uri)
    assert (spec.hyper_parameters.epoch_count, spec.hyper_parameters.learning_rate_multiplier) == (2, 1.5)
    assert spec.hyper_parameters.adapter_size == types.AdapterSize.ADAPTER_SIZE_FOUR
    assert job.tuning_data_stats
    stats = job.tuning_data_stats.supervised_tuning_data_stats
    assert stats
    assert stats.tuning_dataset_example_count == 16
    assert stats.total_tuning_character_count == 16 * len("abcd efghyes")
    assert stats.total_billable_token_count == 16 * (3 + 1), "9 characters are 3 tokens, 3 characters are 1"
    assert stats.tuning_step_count == 2
    assert stats.user_input_token_distribution
    assert stats.user_input_token_distribution.sum == 48
    model = job.tuned_model
    assert model
    assert model.model
    assert model.endpoint
    assert model.checkpoints
    assert model.model.startswith(f"{vertex.parent}/models/")
    assert model.model.endswith("@1")
    assert model.endpoint == model.checkpoints[-1].endpoint
    assert [(one.checkpoint_id, one.epoch, one.step) for one in model.checkpoints] == [("1", 1, 1), ("2", 2, 2)]


async def test_the_asynchronous_client_tunes_gets_lists_and_cancels(vertex: VertexStandIn) -> None:
    vertex.faults(job_seconds=30.0)
    client = vertex.new_genai()
    async with client.aio as aio:
        job = await aio.tunings.tune(
            base_model=vertex.base_model,
            training_dataset=types.TuningDataset(gcs_uri=vertex.bucket.put("a.jsonl", b"")),
            config=types.CreateTuningJobConfig(labels={"asynchronous": "yes"}),
        )
        assert job.name
        assert (await aio.tunings.get(name=job.name)).name == job.name
        listed = [one.name async for one in await aio.tunings.list(config={"filter": 'labels.asynchronous="yes"'})]
        assert listed == [job.name]
        await aio.tunings.cancel(name=job.name)
        assert (await aio.tunings.get(name=job.name)).state == types.JobState.JOB_STATE_CANCELLING
    client.close()


def test_lists_come_newest_first_and_page_by_page(vertex: VertexStandIn) -> None:
    made = [vertex.tune(labels={"paged": "yes"}).name for _ in range(5)]
    config = types.ListTuningJobsConfig(page_size=2, filter='labels.paged="yes"')
    pager = vertex.client.tunings.list(config=config)
    assert len(pager) == 2
    made.append(vertex.tune(labels={"paged": "yes"}).name)
    assert [one.name for one in pager] == made[4::-1], "a job created meanwhile shifts no page"
    assert next(iter(vertex.client.tunings.list(config=config))).name == made[5]


def test_filters_select_by_label_and_state(vertex: VertexStandIn) -> None:
    first = vertex.ended(vertex.tune(labels={"filtered": "a", "side": "left"})).name
    vertex.faults(job_seconds=30.0)
    second = vertex.tune(labels={"filtered": "b"}).name

    def found(text: str) -> list[str | None]:
        return [one.name for one in vertex.client.tunings.list(config={"filter": text})]

    assert found('labels.filtered="a"') == [first]
    assert found("labels.filtered:b") == [second]
    assert found("labels.filtered:*") == [second, first]
    assert found('labels.filtered:* AND NOT labels.filtered="a"') == [second]
    assert found('labels.filtered="a" AND labels.side="left"') == [first]
    assert found('labels.filtered="a" AND labels.side="right"') == []
    assert found('labels.filtered:* AND state="JOB_STATE_SUCCEEDED"') == [first]
    with pytest.raises(errors.ClientError, match="Invalid filter"):
        found('labels.filtered="a" OR labels.filtered="b"')
    with pytest.raises(errors.ClientError, match="unheard_of"):
        found('unheard_of="a"')


def test_a_cancelled_job_is_cancelling_first_and_makes_no_model(vertex: VertexStandIn) -> None:
    vertex.faults(job_seconds=30.0)
    job = vertex.tune()
    assert job.name
    vertex.client.tunings.cancel(name=job.name)
    assert vertex.job(job.name).state == types.JobState.JOB_STATE_CANCELLING
    vertex.client.tunings.cancel(name=job.name)
    job = vertex.ended(job)
    assert job.state == types.JobState.JOB_STATE_CANCELLED
    assert job.error
    assert job.error.code == 1
    assert job.tuned_model is None
    assert job.name
    with pytest.raises(errors.ClientError, match="FAILED_PRECONDITION"):
        vertex.client.tunings.cancel(name=job.name)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (line(("user", "q"), ("model", "a")) * 15, "15 valid examples; supervised tuning needs at least 16"),
        (b"", "0 valid examples"),
        (line(("user", "q"), ("model", "a")) * 16 + b"{nonsense\n", "Line 17 of the training dataset is not JSON"),
        (line(("user", "q"), ("assistant", "a")) * 16, "'assistant' where 'model' is due"),
        (line(("user", "q")) * 16, "does not end with a turn of the model"),
        (b"\xff\xfe\n", "Line 1 of the training dataset is not JSON in UTF-8"),
        (b'{"prompt": "q"}\n', "no list of turns"),
    ],
)
def test_unusable_data_fails_the_job_while_it_is_processed(vertex: VertexStandIn, content: bytes, reason: str) -> None:
    job = vertex.ended(vertex.tune(vertex.bucket.put("unusable.jsonl", content)))
    assert job.state == types.JobState.JOB_STATE_FAILED
    assert job.error
    assert job.error.code == 3
    assert reason in (job.error.message or "")
    assert job.tuned_model is None
    assert job.tuning_job_metadata is None


@pytest.mark.parametrize(
    ("uri", "base_model", "config", "reason"),
    [
        ("gs://bucket/nowhere.jsonl", None, {}, "cannot be read"),
        ("/a/file.jsonl", None, {}, "gs://BUCKET/OBJECT"),
        ("gs://bucket", None, {}, "gs://BUCKET/OBJECT"),
        (None, "gemini-0.1-nano", {}, "not supported for tuning"),
        (None, None, {"labels": {"Upper": "case"}}, "Invalid label"),
        (None, None, {"labels": {"key": "x" * 64}}, "Invalid label"),
        (None, None, {"epoch_count": 0}, "epoch_count"),
    ],
)
def test_an_invalid_job_is_refused(
    vertex: VertexStandIn, uri: str | None, base_model: str | None, config: dict[str, Any], reason: str
) -> None:
    with pytest.raises(errors.ClientError, match=reason) as refused:
        vertex.tune(uri, base_model=base_model or vertex.base_model, **config)
    assert (refused.value.code, refused.value.status) == (400, "INVALID_ARGUMENT")


def test_a_job_without_training_data_is_refused(vertex: VertexStandIn) -> None:
    with pytest.raises(errors.ClientError, match="supervised_tuning_spec is required"):
        vertex.client.tunings.tune(base_model=vertex.base_model, training_dataset=types.TuningDataset())


def test_an_unknown_job_is_not_found(vertex: VertexStandIn) -> None:
    with pytest.raises(errors.ClientError) as refused:
        vertex.job(f"{vertex.parent}/tuningJobs/1")
    assert (refused.value.code, refused.value.status) == (404, "NOT_FOUND")


def test_data_that_storage_cannot_give_for_a_while_delays_the_job(vertex: VertexStandIn) -> None:
    uri = vertex.bucket.put("delayed.jsonl", line(("user", "q"), ("model", "a")) * 16)
    vertex.bucket.status = 503
    job = vertex.tune(uri)
    reads = 0
    while reads < 40:
        job = vertex.job(job.name)
        assert job.state in ("JOB_STATE_PENDING", "JOB_STATE_RUNNING")
        reads += 1
    vertex.bucket.status = 200
    assert vertex.ended(job).state == types.JobState.JOB_STATE_SUCCEEDED


def test_continuous_tuning_adds_a_version_that_knows_both_datasets(vertex: VertexStandIn) -> None:
    first = vertex.ended(vertex.tune(vertex.bucket.put("1.jsonl", line(("user", "alpha"), ("model", "one")) * 16)))
    assert first.tuned_model
    assert first.tuned_model.model
    more = vertex.bucket.put("2.jsonl", line(("user", "beta"), ("model", "two")) * 16)
    second = vertex.ended(vertex.tune(more, base_model=first.tuned_model.model))
    assert second.tuned_model
    assert second.tuned_model.model
    assert second.tuned_model.endpoint
    assert second.tuned_model.model == first.tuned_model.model.replace("@1", "@2")
    assert vertex.answers(second.tuned_model.endpoint, [("alpha", ""), ("beta", "")]) == ["one", "two"]


def test_the_client_of_aiplatform_sees_the_same_jobs(vertex: VertexStandIn) -> None:
    uri = vertex.bucket.put("gapic.jsonl", line(("user", "q"), ("model", "a")) * 16)
    made = vertex.tuning.create_tuning_job(
        parent=vertex.parent,
        tuning_job={
            "base_model": vertex.base_model,
            "supervised_tuning_spec": {
                "training_dataset_uri": uri,
                "hyper_parameters": {"adapter_size": "ADAPTER_SIZE_TWO"},
            },
            "labels": {"client": "gapic"},
        },
    )
    assert made.state.name == "JOB_STATE_PENDING"
    vertex.ended(vertex.job(made.name))
    job = vertex.tuning.get_tuning_job(name=made.name)
    assert job.state.name == "JOB_STATE_SUCCEEDED"
    assert job.supervised_tuning_spec.hyper_parameters.adapter_size.name == "ADAPTER_SIZE_TWO"
    assert job.tuning_data_stats.supervised_tuning_data_stats.total_billable_token_count == 32
    listed = vertex.tuning.list_tuning_jobs(request={"parent": vertex.parent, "filter": "labels.client:gapic"})
    assert [one.name for one in listed] == [made.name]
