"""Score answers through Vertex AI's evaluation service, under a throttle."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS, evaluation_client, idempotent_retry
from genops_events.gcp.errors import google_call

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1 import EvaluateInstancesResponse

    from genops_events.config import Config

INSTANCES_PER_CALL = 50
"""Computed metrics score many instances in one call; the judge model of `pointwise` takes one."""

CONCURRENT_CALLS = 4

_POINTWISE_PROMPT = (
    "Rate from 1 (wrong) to 5 (as good as the reference) how well the response answers the prompt.\n"
    "Prompt: {prompt}\nReference: {reference}\nResponse: {response}"
)


@dataclass(frozen=True, slots=True)
class Scored:
    """One answer beside what it is compared with."""

    prompt: str
    reference: str
    response: str


def mean_scores(config: Config, *, metrics: Sequence[str], answers: Sequence[Scored]) -> dict[str, float]:
    """Return the mean score of `answers` for each of `metrics`.

    Args:
        config: project, location and `requests_per_minute`, the throttle.
        metrics: of `exact_match`, `bleu`, `rouge` (each 0 to 1) and `pointwise` (1 to 5, by a judge model).
        answers: at least one.

    Raises:
        CloudUnavailable: a call failed after its retries.
        CloudRefused: a call can never succeed.
    """
    return asyncio.run(_mean_scores(config, metrics, answers))


async def _mean_scores(config: Config, metrics: Sequence[str], answers: Sequence[Scored]) -> dict[str, float]:
    from asyncio_throttle import Throttler

    client = evaluation_client(config)
    throttler = Throttler(rate_limit=config.requests_per_minute, period=60.0)
    slots = asyncio.Semaphore(CONCURRENT_CALLS)
    location = f"projects/{config.project}/locations/{config.location}"

    def call(request: dict[str, Any]) -> EvaluateInstancesResponse:
        with google_call("evaluate the answers"):
            return client.evaluate_instances(
                request={"location": location, **request}, timeout=CALL_TIMEOUT_SECONDS, retry=idempotent_retry()
            )

    async def scores(metric: str, batch: Sequence[Scored]) -> list[float]:
        async with slots, throttler:
            # The client of this service has no asynchronous REST transport: the call waits in a thread.
            response = await asyncio.to_thread(call, _request(metric, batch))
        return _scores(metric, response)

    means = {}
    for metric in metrics:
        size = 1 if metric == "pointwise" else INSTANCES_PER_CALL
        batches = [answers[start : start + size] for start in range(0, len(answers), size)]
        scored = [
            score for part in await asyncio.gather(*(scores(metric, batch) for batch in batches)) for score in part
        ]
        means[metric] = sum(scored) / len(scored)
    return means


def _request(metric: str, batch: Sequence[Scored]) -> dict[str, Any]:
    instances = [{"prediction": one.response, "reference": one.reference} for one in batch]
    match metric:
        case "exact_match":
            return {"exact_match_input": {"metric_spec": {}, "instances": instances}}
        case "bleu":
            return {"bleu_input": {"metric_spec": {}, "instances": instances}}
        case "rouge":
            return {"rouge_input": {"metric_spec": {"rouge_type": "rougeL"}, "instances": instances}}
        case "pointwise":
            only = {"prompt": batch[0].prompt, "reference": batch[0].reference, "response": batch[0].response}
            return {
                "pointwise_metric_input": {
                    "metric_spec": {"metric_prompt_template": _POINTWISE_PROMPT},
                    "instance": {"json_instance": json.dumps(only)},
                }
            }
        case _:
            raise ValueError(f"no such metric: {metric}")


def _scores(metric: str, response: EvaluateInstancesResponse) -> list[float]:
    match metric:
        case "exact_match":
            values = response.exact_match_results.exact_match_metric_values
        case "bleu":
            values = response.bleu_results.bleu_metric_values
        case "rouge":
            values = response.rouge_results.rouge_metric_values
        case _:
            values = [response.pointwise_metric_result]
    return [float(value.score) for value in values]
