"""Preference tuning, distillation, continuous tuning, and what any tuning job may say besides."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from google.genai import errors, types
from waiting import HANG_SECONDS

if TYPE_CHECKING:
    from vertex_stand_in import VertexStandIn

pytestmark = pytest.mark.filterwarnings("ignore:The SDK's tuning implementation is experimental")

PREFERENCE = types.TuningMethod.PREFERENCE_TUNING
DISTILLATION = types.TuningMethod.DISTILLATION


def turn(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"text": text}]}


def choice(question: str, *scored: tuple[object, str]) -> bytes:
    """Return one line of a preference file."""
    completions = [{"score": score, "completion": turn("model", text)} for score, text in scored]
    return json.dumps({"contents": [turn("user", question)], "completions": completions}).encode() + b"\n"


def prompt(*texts: str) -> bytes:
    """Return one line of prompts; a second text is the reference answer."""
    turns = [turn(role, text) for role, text in zip(("user", "model"), texts, strict=False)]
    return json.dumps({"contents": turns}).encode() + b"\n"


def endpoint(job: types.TuningJob) -> str:
    assert job.state == types.JobState.JOB_STATE_SUCCEEDED, job.error
    assert job.tuned_model
    assert job.tuned_model.endpoint
    return job.tuned_model.endpoint


def test_preference_tuning_learns_the_preferred_completion_and_counts_both(vertex: VertexStandIn) -> None:
    lines = choice("abcd", (0.0, "nooo"), (1.0, "yes!")) * 8 + choice("beta", (1.0, "good"), (0.0, "evil")) * 8
    uri = vertex.bucket.put("preferences.jsonl", lines)
    job = vertex.ended(
        vertex.tune(
            uri,
            method=PREFERENCE,
            beta=0.2,
            epoch_count=2,
            learning_rate_multiplier=0.5,
            adapter_size=types.AdapterSize.ADAPTER_SIZE_EIGHT,
            export_last_checkpoint_only=True,
            validation_dataset=types.TuningValidationDataset(gcs_uri=uri),
        )
    )
    assert vertex.answers(endpoint(job), [("abcd", ""), ("beta", "")]) == ["yes!", "good"]
    spec = job.preference_optimization_spec
    assert spec
    assert (spec.training_dataset_uri, spec.validation_dataset_uri) == (uri, uri)
    assert spec.export_last_checkpoint_only
    given = spec.hyper_parameters
    assert given
    assert (given.beta, given.epoch_count, given.learning_rate_multiplier) == (0.2, 2, 0.5)
    assert given.adapter_size == types.AdapterSize.ADAPTER_SIZE_EIGHT
    assert job.tuned_model
    assert job.tuned_model.checkpoints
    assert [one.epoch for one in job.tuned_model.checkpoints] == [2]
    assert job.tuning_data_stats
    assert job.tuning_data_stats.supervised_tuning_data_stats is None
    stats = job.tuning_data_stats.preference_optimization_data_stats
    assert stats
    assert (stats.tuning_dataset_example_count, stats.tuning_step_count) == (16, 2)
    assert stats.total_billable_token_count == 16 * (2 + 4)
    assert stats.scores_distribution
    assert (stats.scores_distribution.min, stats.scores_distribution.max) == (0, 1)
    assert stats.score_variance_per_example_distribution
    assert stats.score_variance_per_example_distribution.mean == 0.25
    assert stats.user_dataset_examples
    shown = stats.user_dataset_examples[0].completions
    assert shown
    assert [one.score for one in shown] == [0, 1]


def test_a_preference_overrules_what_the_model_had_learned_before(vertex: VertexStandIn) -> None:
    lines = prompt("alpha", "one") * 16 + prompt("beta", "two") * 16
    first = vertex.ended(vertex.tune(vertex.bucket.put("before.jsonl", lines)))
    assert first.tuned_model
    preferred = vertex.bucket.put("overrule.jsonl", choice("alpha", (1, "uno"), (0, "one")) * 16)
    second = vertex.ended(vertex.tune(preferred, base_model=str(first.tuned_model.model), method=PREFERENCE))
    assert vertex.answers(endpoint(second), [("alpha", ""), ("beta", "")]) == ["uno", "two"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (prompt("q"), "at least 2 `completions`"),
        (choice("q", (1, "a")), "at least 2 `completions`"),
        (choice("q", (1, "a"), (1, "b")), "better `score`"),
        (choice("q", ("good", "a"), (0, "b")), "no number as `score`"),
        (prompt("q", "a"), "does not end with a turn of the user"),
        (b'{"contents": [], "completions": []}\n', "no list of turns"),
        (choice("q", (1, "a"), (0, "b")).replace(b'"model"', b'"user"'), "not a turn of the model"),
    ],
)
def test_unusable_preferences_fail_the_job(vertex: VertexStandIn, line: bytes, reason: str) -> None:
    job = vertex.ended(vertex.tune(vertex.bucket.put("bad preferences.jsonl", line * 16), method=PREFERENCE))
    assert job.state == types.JobState.JOB_STATE_FAILED
    assert job.error
    assert job.error.code == 3
    assert reason in (job.error.message or "")


def test_distillation_learns_references_and_asks_the_teacher_for_the_rest(vertex: VertexStandIn) -> None:
    taught = prompt("beta one", "from the teacher") * 16
    teacher = vertex.ended(vertex.tune(vertex.bucket.put("teacher.jsonl", taught))).tuned_model
    assert teacher
    prompts = vertex.bucket.put("prompts.jsonl", prompt("alpha", "a reference") * 8 + prompt("beta two") * 8)
    job = vertex.ended(
        vertex.tune(
            prompts,
            method=DISTILLATION,
            tuned_teacher_model_source=str(teacher.model),
            epoch_count=1,
        )
    )
    assert vertex.answers(endpoint(job), [("alpha", ""), ("beta two", "")]) == ["a reference", "from the teacher"]
    assert job.distillation_spec
    assert job.distillation_spec.prompt_dataset_uri == prompts
    assert job.distillation_spec.tuned_teacher_model_source == teacher.model
    assert job.tuning_data_stats
    assert job.tuning_data_stats.distillation_data_stats
    stats = job.tuning_data_stats.distillation_data_stats.training_dataset_stats
    assert stats
    assert (stats.tuning_dataset_example_count, stats.tuning_step_count) == (16, 1)
    # v1 has no distillation: what it shows of the job is what every job has.
    shown = httpx.get(f"{vertex.url}/v1/{job.name}", timeout=HANG_SECONDS).raise_for_status().json()
    assert shown["state"] == "JOB_STATE_SUCCEEDED"
    assert "distillation" not in str(shown)


def test_a_base_model_teaches_what_it_answers_itself(vertex: VertexStandIn) -> None:
    prompts = vertex.bucket.put("base prompts.jsonl", prompt("Some words. And more.") * 16)
    job = vertex.ended(vertex.tune(prompts, method=DISTILLATION, base_teacher_model="gemini-3.1-pro"))
    assert vertex.answers(endpoint(job), [("words", "")]) == ["Some words."]


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"method": DISTILLATION}, "exactly one of base_teacher_model"),
        (
            {"method": DISTILLATION, "base_teacher_model": "gemini-3.1-pro", "sft_loss_weight_multiplier": 0.5},
            "hyper_parameters may hold",
        ),
        (
            {"method": DISTILLATION, "base_teacher_model": "gemini-3.1-pro", "export_last_checkpoint_only": True},
            "Unknown fields in distillation_spec: exportLastCheckpointOnly",
        ),
        ({"method": DISTILLATION, "base_teacher_model": "gpt"}, "Teacher model gpt is not supported"),
        ({"method": DISTILLATION, "tuned_teacher_model_source": "projects/x"}, "tuned_teacher_model_source must be"),
        ({"method": PREFERENCE, "beta": -1.0}, "beta must be above 0"),
        ({"method": PREFERENCE, "epoch_count": 0}, "epoch_count"),
        ({"beta": 0.1}, "found supervisedTuningSpec, preferenceOptimizationSpec"),
        ({"encryption_spec": {"kms_key_name": "my-key"}}, "kms_key_name must be"),
        ({"output_uri": "/a/folder"}, "output_uri must be"),
        ({"http_options": {"extra_body": {"serviceAccount": "me"}}}, "service_account must be"),
        ({"http_options": {"extra_body": {"supervisedTuningSpec": {"speed": 1}}}}, "Unknown fields .*: speed"),
        ({"http_options": {"extra_body": {"nonsense": 1}}}, "Unknown name"),
    ],
)
def test_what_a_method_does_not_take_is_refused(vertex: VertexStandIn, config: dict[str, Any], reason: str) -> None:
    with pytest.raises(errors.ClientError, match=reason) as refused:
        vertex.tune(**config)
    assert refused.value.code == 400


def test_each_method_knows_its_own_fields(vertex: VertexStandIn) -> None:
    uri = vertex.bucket.put("q.jsonl", b"")
    for spec in (
        {"preferenceOptimizationSpec": {"trainingDatasetUri": uri, "tuningMode": "x"}},
        {"preferenceOptimizationSpec": {"trainingDatasetUri": uri, "hyperParameters": {"batchSize": 1}}},
        {"distillationSpec": {"trainingDatasetUri": uri, "baseTeacherModel": "gemini-2.5-pro"}},
        {"supervisedTuningSpec": {"trainingDatasetUri": uri, "hyperParameters": {"beta": 1}}},
    ):
        body = {"baseModel": vertex.base_model, **spec}
        answer = httpx.post(f"{vertex.url}/v1beta1/{vertex.parent}/tuningJobs", json=body, timeout=HANG_SECONDS)
        assert answer.status_code == 400, spec


def test_what_a_job_says_of_itself_is_echoed(vertex: VertexStandIn) -> None:
    key = "projects/p/locations/us-central1/keyRings/r/cryptoKeys/k"
    job = vertex.tune(
        description="all of it",
        labels={"a": "b"},
        encryption_spec=types.EncryptionSpec(kms_key_name=key),
        output_uri="gs://bucket/tuned",
        http_options=types.HttpOptions(extra_body={"serviceAccount": "tuner@p.iam.gserviceaccount.com"}),
    )
    for shown in (job, vertex.job(job.name)):
        assert (shown.description, shown.labels, shown.output_uri) == ("all of it", {"a": "b"}, "gs://bucket/tuned")
        assert shown.encryption_spec
        assert shown.encryption_spec.kms_key_name == key
        assert shown.service_account == "tuner@p.iam.gserviceaccount.com"


def test_continuous_tuning_starts_from_the_checkpoint_that_is_named(vertex: VertexStandIn) -> None:
    first = vertex.ended(vertex.tune(epoch_count=3))
    assert first.tuned_model
    champion = str(first.tuned_model.model)
    second = vertex.ended(vertex.tune(base_model=champion, pre_tuned_model_checkpoint_id="2"))
    assert second.pre_tuned_model
    assert second.pre_tuned_model.tuned_model_name == champion
    assert second.pre_tuned_model.checkpoint_id == "2"
    assert second.pre_tuned_model.base_model == vertex.base_model
    with pytest.raises(errors.ClientError, match="has no checkpoint '9'"):
        vertex.tune(base_model=champion, pre_tuned_model_checkpoint_id="9")
