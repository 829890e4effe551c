"""Rules of our own, where Google's discovery documents are silent or leave too much open."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import jsonschema
from google.protobuf import any_pb2, json_format
from google.rpc import error_details_pb2  # noqa: F401 - its types are known from here on

from contracts import own_schemas
from contracts.bodies import body_of, json_of
from contracts.documents import document
from contracts.values import Reading, Values

# System parameters that the documents leave out: https://cloud.google.com/apis/docs/system-parameters ($alt, $fields, …);
# `alt=sse` of streamGenerateContent: https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference;
# the address of a resumable upload: https://cloud.google.com/storage/docs/performing-resumable-uploads. All read on 2026-11-30.
_PARAMETERS: Mapping[tuple[str, str], str] = {
    ("vertex", "$alt"): "json(;enum-encoding=int)?",
    ("vertex", "alt"): "sse",
    ("storage", "upload_id"): ".+",
    ("bigquery", "upload_id"): ".+",
    # Google's own clients send these, though the documents have the one for jobs.list alone and spell the other with a small g:
    # google/cloud/bigquery/client.py of google-cloud-bigquery 3.47.0, google/cloud/storage/blob.py of google-cloud-storage, read on 2026-11-30.
    ("bigquery", "projection"): "full",
    ("storage", "ifMetaGenerationNotMatch"): "[0-9]+",
}

LOOSE = frozenset(
    {
        # Users report answers with `"parts": null`: https://github.com/googleapis/python-genai/issues/2062, read on 2026-11-30.
        "GoogleCloudAiplatformV1Content.parts",
        "GoogleCloudAiplatformV1beta1Content.parts",
        # Google's own client sends a float as a number, and a null: google/cloud/bigquery/_helpers.py of 3.47.0, read on 2026-11-30.
        "QueryParameterValue.value",
    }
)
"""Fields that Google's services, or its clients, are seen to treat otherwise than the documents say."""


def camel(name: str) -> str:
    """Return a name in snake_case as protocol buffers spell it in JSON."""
    return re.sub(r"_([a-z0-9])", lambda match: match[1].upper(), name)


def is_known_parameter(service: str, name: str, text: str) -> bool:
    """Tell whether a rule of ours lets this parameter of the query be."""
    pattern = _PARAMETERS.get((service, name))
    return pattern is not None and re.fullmatch(pattern, text) is not None


def parameter_value(text: str, schema: Mapping[str, Any]) -> Any:
    """Return the value that a parameter's text stands for; the text itself where it stands for none."""
    if schema.get("type") == "boolean" and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if schema.get("type") == "integer" and re.fullmatch(r"-?\d+", text):
        return int(text)
    return text


def problems(value: Any, schema: Mapping[str, Any], where: str) -> Iterator[str]:
    """Yield what breaks a schema of our own."""
    for one in _validator(json.dumps(schema)).iter_errors(value):
        yield f"{where}{one.json_path.removeprefix('$')}: {one.message[:300]}"


@cache
def _validator(schema: str) -> Any:
    return jsonschema.Draft202012Validator(json.loads(schema))


def problems_of_error(service: str, status: int, value: Any) -> Iterator[str]:
    """Yield what is wrong with the body of an error."""
    whole = own_schemas.ERROR_OF_VERTEX if service == "vertex" else own_schemas.ERROR_OF_OLDER_SERVICES
    found = list(problems(value, whole, "error"))
    yield from found
    if found:
        return
    error = value["error"]
    if error["code"] != status:
        yield f"error.code is {error['code']} in an answer {status}"
    if service == "vertex" and error["status"] not in own_schemas.STATUS_OF_HTTP.get(status, {error["status"]}):
        yield f"error.status {error['status']} does not belong to {status}"
    for detail in error.get("details", ()):
        try:
            json_format.ParseDict(detail, any_pb2.Any())
        except (json_format.ParseError, TypeError) as unfit:
            yield f"error.details: {detail} is none of google.rpc's details: {unfit}"


def problems_of_request(method: str, value: Any) -> Iterator[str]:
    """Yield what is wrong with a request's body beyond what the documents say."""
    if method == "aiplatform.projects.locations.evaluateInstances":
        yield from _problems_of_instances(value)


def _problems_of_instances(value: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with evaluation instances: the documents take any text for `jsonInstance` and for a template.

    What they are: https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/evaluation ("key-value pairs in JSON format", which fill the
    variables of `metricPromptTemplate`), read on 2026-11-30.
    """
    for kind in ("pointwiseMetricInput", "pairwiseMetricInput"):
        given = value.get(kind) or value.get(re.sub("([A-Z])", lambda one: f"_{one[1].lower()}", kind))
        if not given:
            continue
        given = {camel(name): one for name, one in given.items()}
        instance = {camel(name): one for name, one in given.get("instance", {}).items()}
        if "jsonInstance" not in instance:
            continue
        try:
            pairs = json_of(instance["jsonInstance"].encode())
        except ValueError as error:
            yield f"body.{kind}.instance.jsonInstance is no JSON: {error}"
            continue
        if not isinstance(pairs, dict) or not all(isinstance(one, str) for one in pairs.values()):
            yield f"body.{kind}.instance.jsonInstance has other values than text: {str(pairs)[:200]}"
            continue
        spec = {camel(name): one for name, one in given.get("metricSpec", {}).items()}
        wanted = set(re.findall(r"(?<!\{)\{(\w+)\}(?!\})", spec.get("metricPromptTemplate", "")))
        for name in sorted(wanted - set(pairs)):
            yield f"body.{kind}: the template has {{{name}}}, and the instance no {name}"


# What every answer has, though no document says so; from the samples of
# https://cloud.google.com/storage/docs/json_api/v1/objects#resource, …/buckets#resource, …/notifications#resource,
# https://cloud.google.com/bigquery/docs/reference/rest/v2/tables#Table and …/v2/Job, and
# https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/tuning#response, read on 2026-11-30.
_ALWAYS: Mapping[str, tuple[str, ...]] = {
    "Object": (
        *("kind", "id", "selfLink", "name", "bucket", "generation", "metageneration", "storageClass", "size"),
        *("crc32c", "etag", "timeCreated", "updated", "mediaLink"),
    ),
    "Bucket": (
        "kind",
        "id",
        "selfLink",
        "name",
        "location",
        "storageClass",
        "metageneration",
        "etag",
        "timeCreated",
        "updated",
    ),
    "Notification": ("kind", "id", "selfLink", "topic", "payload_format"),
    "Objects": ("kind",),
    "Buckets": ("kind",),
    "Notifications": ("kind",),
    "RewriteResponse": ("kind", "done", "totalBytesRewritten", "objectSize"),
    "Dataset": ("kind", "id", "selfLink", "datasetReference", "etag", "creationTime", "lastModifiedTime", "location"),
    "Table": ("kind", "id", "selfLink", "tableReference", "etag", "creationTime", "lastModifiedTime", "type"),
    "Job": ("kind", "id", "selfLink", "jobReference", "status", "statistics", "configuration", "etag"),
    "GetQueryResultsResponse": ("kind", "jobReference", "jobComplete", "etag"),
    "QueryResponse": ("kind", "jobComplete"),
    "TableDataInsertAllResponse": ("kind",),
    "GoogleCloudAiplatformV1TuningJob": ("name", "state", "createTime", "updateTime"),
    "GoogleCloudAiplatformV1BatchPredictionJob": ("name", "displayName", "state", "createTime", "updateTime"),
    "GoogleCloudAiplatformV1Model": ("name", "displayName", "createTime", "updateTime", "versionId", "etag"),
    "GoogleCloudAiplatformV1Endpoint": ("name", "displayName", "createTime", "updateTime", "etag"),
    "GoogleCloudAiplatformV1CachedContent": ("name", "model", "createTime", "updateTime", "expireTime"),
    "GoogleLongrunningOperation": ("name",),
}


def problems_of_answer(schema: str, value: Any, *, partial: bool) -> Iterator[str]:
    """Yield what an answer lacks that every one of its kind has, and what it has at the wrong time.

    Args:
        schema: the name of its schema.
        value: the answer.
        partial: whether only some of its fields were asked for.
    """
    kind = schema.replace("V1beta1", "V1")
    dry_run = kind == "Job" and value.get("configuration", {}).get("dryRun")  # it is nowhere afterwards
    names = () if partial or dry_run else _ALWAYS.get(kind, ())
    for name in names:
        if name not in value:
            yield f"body.{name} is missing, which every {schema} has"
    if page := _PAGES_OF_JOBS.get(kind):
        for number, job in enumerate(value.get(page, ())):
            yield from _problems_of_job(job, f"body.{page}[{number}]")
    elif kind in _JOBS:
        yield from _problems_of_job(value, "body")


_JOBS = ("GoogleCloudAiplatformV1TuningJob", "GoogleCloudAiplatformV1BatchPredictionJob")
_PAGES_OF_JOBS = {
    "GoogleCloudAiplatformV1ListTuningJobsResponse": "tuningJobs",
    "GoogleCloudAiplatformV1ListBatchPredictionJobsResponse": "batchPredictionJobs",
}


def _problems_of_job(job: Mapping[str, Any], where: str) -> Iterator[str]:
    """Yield what a job of Vertex AI tells at a time at which, or of a kind of which, the documents' descriptions say that it does not.

    `TuningJob.error`, `BatchPredictionJob.error` and `TuningJobMetadata.completedStepCount` of aiplatform.v1beta1, revision 20261106.
    """
    if "error" in job and job.get("state") not in ("JOB_STATE_FAILED", "JOB_STATE_CANCELLED"):
        yield f"{where}.error is told of a job that is {job.get('state')}: only failed and cancelled ones have one"
    if "completedStepCount" in job.get("tuningJobMetadata", {}) and "reinforcementTuningSpec" not in job:
        yield f"{where}.tuningJobMetadata.completedStepCount is told of a job without reinforcementTuningSpec"


PREDICTIONS = "/predictions.jsonl"


def problems_of_object(name: str, content: bytes, *, cut: bool) -> Iterator[str]:
    """Yield what is wrong with the content of an object that Vertex AI writes or reads: the rows of a batch."""
    if name.endswith(PREDICTIONS):
        schema, check = own_schemas.PREDICTION, _problems_of_prediction
    elif name.endswith("/batch/input.jsonl"):
        schema, check = own_schemas.BATCH_REQUEST, _problems_of_batch_request
    else:
        return
    lines = content.splitlines()
    for number, line in enumerate(lines[:-1] if cut else lines, 1):
        where = f"{name}, line {number}"
        try:
            row = json_of(line)
        except ValueError as error:
            yield f"{where} is no JSON: {error}"
            continue
        broken = list(problems(row, schema, where))
        yield from broken or check(row, where)


def _problems_of_prediction(row: Mapping[str, Any], where: str) -> Iterator[str]:
    if row.get("response"):
        yield from _held(row["response"], "GenerateContentResponse", f"{where}.response", of_request=False)
    elif not row["status"]:
        yield f"{where} has neither a response nor a status that says why"


def _problems_of_batch_request(row: Mapping[str, Any], where: str) -> Iterator[str]:
    yield from _held(row["request"], "GenerateContentRequest", f"{where}.request", of_request=True)


def _held(value: Any, name: str, where: str, *, of_request: bool) -> Iterator[str]:
    schemas = document("aiplatform.v1").schemas
    found = Reading()
    Values(schemas, found, of_request=of_request).check(value, schemas[f"GoogleCloudAiplatformV1{name}"], where)
    yield from found.problems


@dataclass(frozen=True, slots=True)
class Rule:
    """A call that no document has.

    Args:
        name: as the report shows it.
        check: yields what is wrong with a recorded line.
    """

    name: str
    check: Callable[[Mapping[str, Any]], Iterator[str]]


def _token(line: Mapping[str, Any]) -> Iterator[str]:
    if line["status"] == 200:
        yield from problems(json_of(body_of(line, "answer")), own_schemas.TOKEN, "answer")


def _refused_batch(line: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with the answer to a batch that was not taken apart; of any other, each call is looked at."""
    yield from problems_of_error("storage", line["status"], json_of(body_of(line, "answer")))


CALLS: Mapping[tuple[str, str], Rule] = {
    ("storage", "POST /batch/storage/v1"): Rule("storage.batch", _refused_batch),
    ("vertex", "POST /token"): Rule("Google's token service", _token),
}
"""By the stand-in that was called, the HTTP method and the path."""
