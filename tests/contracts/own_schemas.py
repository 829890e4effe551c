"""Schemas of our own, for what Google's discovery documents leave open. Each says where it was read, and when."""

from __future__ import annotations

from typing import Any

_COUNT = {"type": "string", "pattern": r"^[1-9]\d*$"}
_MOMENT = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$"}

# https://cloud.google.com/apis/design/errors#http_mapping and
# https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto, read on 2026-11-30.
STATUS_OF_HTTP = {
    400: {"INVALID_ARGUMENT", "FAILED_PRECONDITION", "OUT_OF_RANGE"},
    401: {"UNAUTHENTICATED"},
    403: {"PERMISSION_DENIED"},
    404: {"NOT_FOUND"},
    409: {"ABORTED", "ALREADY_EXISTS"},
    429: {"RESOURCE_EXHAUSTED"},
    499: {"CANCELLED"},
    500: {"UNKNOWN", "INTERNAL", "DATA_LOSS"},
    501: {"UNIMPLEMENTED"},
    503: {"UNAVAILABLE"},
    504: {"DEADLINE_EXCEEDED"},
}


def _error(*required: str, **properties: Any) -> dict[str, Any]:
    """Return the schema of an error: a code, a message, and these fields beside them, some of which it must have."""
    error = {
        "type": "object",
        "required": ["code", "message", *required],
        "additionalProperties": False,
        "properties": {"code": {"type": "integer"}, "message": {"type": "string"}, **properties},
    }
    return {"type": "object", "required": ["error"], "additionalProperties": False, "properties": {"error": error}}


# An error of Vertex AI: https://cloud.google.com/apis/design/errors#error_model, read on 2026-11-30.
ERROR_OF_VERTEX = _error(
    "status",
    status={"type": "string"},
    details={"type": "array", "items": {"type": "object", "required": ["@type"]}, "minItems": 1},
)

# An error of Cloud Storage and of BigQuery: https://cloud.google.com/storage/docs/json_api/v1/status-codes and
# https://cloud.google.com/bigquery/docs/error-messages, read on 2026-11-30. BigQuery adds `status`.
ERROR_OF_OLDER_SERVICES = _error(
    "errors",
    status={"type": "string"},
    errors={
        "type": "array",
        "minItems": 1,
        "items": {
            "type": "object",
            "required": ["message", "domain", "reason"],
            "additionalProperties": False,
            "properties": {
                name: {"type": "string"}
                for name in ("message", "domain", "reason", "location", "locationType", "debugInfo")
            },
        },
    },
)

# What Google's token service answers: https://developers.google.com/identity/protocols/oauth2/service-account#httprest,
# read on 2026-11-30.
TOKEN: dict[str, Any] = {
    "type": "object",
    "required": ["access_token", "expires_in", "token_type"],
    "additionalProperties": False,
    "properties": {
        "access_token": {"type": "string"},
        "expires_in": {"type": "integer", "minimum": 1},
        "token_type": {"const": "Bearer"},
        "scope": {"type": "string"},
    },
}

# The attributes of a notification: https://cloud.google.com/storage/docs/pubsub-notifications#attributes, read on 2026-11-30.
# A configuration may add attributes of its own.
NOTIFICATION: dict[str, Any] = {
    "type": "object",
    "required": [
        "notificationConfig",
        "eventType",
        "payloadFormat",
        "bucketId",
        "objectId",
        "objectGeneration",
    ],
    "properties": {
        "notificationConfig": {"type": "string", "pattern": "^projects/_/buckets/[^/]+/notificationConfigs/[0-9]+$"},
        "eventType": {"enum": ["OBJECT_FINALIZE", "OBJECT_METADATA_UPDATE", "OBJECT_DELETE", "OBJECT_ARCHIVE"]},
        "payloadFormat": {"enum": ["JSON_API_V1", "NONE"]},
        "bucketId": {"type": "string", "minLength": 3},
        "objectId": {"type": "string", "minLength": 1},
        "objectGeneration": _COUNT,
        "eventTime": _MOMENT,
        # The first of a generation that is gone, the second of the one that took its place.
        "overwrittenByGeneration": _COUNT,
        "overwroteGeneration": _COUNT,
    },
    "allOf": [
        {
            "if": {"required": ["overwroteGeneration"]},
            "then": {"properties": {"eventType": {"const": "OBJECT_FINALIZE"}}},
        },
        {
            "if": {"required": ["overwrittenByGeneration"]},
            "then": {"properties": {"eventType": {"enum": ["OBJECT_DELETE", "OBJECT_ARCHIVE"]}}},
        },
    ],
}

# A row of predictions.jsonl: https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/batch-prediction-from-cloud-storage
# (its sample of an output), and rows that users show in reports (`status` is text or null), read on 2026-11-30. `request` comes back as it
# was sent; what else the row had, such as a key, comes back beside it.
PREDICTION: dict[str, Any] = {
    "type": "object",
    "required": ["status", "processed_time", "request"],
    "properties": {
        "status": {"type": ["string", "null"]},
        "processed_time": _MOMENT,
        "request": {"type": ["object", "string", "null"]},
        "response": {"type": ["object", "null"]},
    },
}

# A row of a batch's input: the same page. A row has its request, and may have a key that comes back.
BATCH_REQUEST: dict[str, Any] = {
    "type": "object",
    "required": ["request"],
    "properties": {"request": {"type": "object", "required": ["contents"]}},
}
