"""Hold recorded messages of Pub/Sub to its protobuf classes, to its discovery document, and notifications to what Cloud Storage says of them."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from google.iam.v1 import iam_policy_pb2, policy_pb2
from google.protobuf import empty_pb2, json_format
from google.protobuf.unknown_fields import UnknownFieldSet
from google.pubsub_v1 import types

from contracts import ours, own_schemas
from contracts.bodies import json_of
from contracts.documents import document
from contracts.http_calls import Looked
from contracts.values import Reading, Values

# Request and response of each method of https://github.com/googleapis/googleapis/blob/master/google/pubsub/v1/pubsub.proto
# and .../google/iam/v1/iam_policy.proto, read on 2026-11-30, where they are not <method>Request and <method>Response.
_RESOURCES = {"Topic": types.Topic, "Subscription": types.Subscription, "Snapshot": types.Snapshot}
_POLICIES = {
    "GetIamPolicy": (iam_policy_pb2.GetIamPolicyRequest, policy_pb2.Policy),
    "SetIamPolicy": (iam_policy_pb2.SetIamPolicyRequest, policy_pb2.Policy),
    "TestIamPermissions": (iam_policy_pb2.TestIamPermissionsRequest, iam_policy_pb2.TestIamPermissionsResponse),
}
_IN_URL = {"name", "topic", "subscription", "snapshot", "resource"}
"""What stands in the path over REST."""
_NOTHING = {
    *("DeleteTopic", "DeleteSubscription", "DeleteSnapshot", "Acknowledge", "ModifyAckDeadline", "ModifyPushConfig"),
}


def look_at(line: Mapping[str, Any]) -> Looked:
    """Return what is found of a recorded call, or of one message of a stream."""
    service, _, method = line["rpc"].lstrip("/").partition("/")
    name = f"{service}.{method}"
    try:
        request_class, answer_class = _classes(service, method)
    except LookupError:
        return Looked("without a rule", (f"Pub/Sub has no method {name}",))
    problems: list[str] = []
    deprecated: set[str] = set()
    for side, kind in (("request", request_class), ("answer", answer_class)):
        if f"{side}_base64" not in line:
            continue
        message = kind.FromString(base64.b64decode(line[f"{side}_base64"]))
        found = Reading()
        found.problems += _unknown_fields(message, "message")
        _hold(message, found, of_request=side == "request")
        if side == "request" and method == "Publish":
            for number, one in enumerate(message.messages):
                found.problems += problems_of_message(one, f"message.messages[{number}]")
        if side == "request" and line.get("status") == "INVALID_ARGUMENT":
            continue  # refused: what is wrong with it is what the stand-in says
        problems += [f"{side}: {one}" for one in found.problems]
        deprecated |= found.deprecated
    return Looked(name, tuple(problems), frozenset(deprecated))


@cache
def _classes(service: str, method: str) -> tuple[Any, Any]:
    """Return the protobuf classes of a method's request and response.

    Raises:
        LookupError: there is no such method.
    """
    if service == "google.iam.v1.IAMPolicy":
        return _POLICIES[method]
    verb = next((one for one in ("Create", "Update", "Get") if method.startswith(one)), "")
    resource = _RESOURCES.get(method.removeprefix(verb)) if verb else None
    request = resource if verb == "Create" and resource is not types.Snapshot else None
    request = request or getattr(types, f"{method}Request", None)
    answer = resource or getattr(types, f"{method}Response", None)
    if request is None or (answer is None and method not in _NOTHING):
        raise LookupError(method)
    return request.pb(), answer.pb() if answer is not None else empty_pb2.Empty


def _unknown_fields(message: Any, where: str) -> Iterator[str]:
    for field in UnknownFieldSet(message):
        yield f"{where} has field {field.field_number}, which its class does not have"
    for field, value in message.ListFields():
        inner = [value] if hasattr(value, "ListFields") else value
        if field.message_type is None or isinstance(value, str | bytes):
            continue
        if hasattr(inner, "values"):
            inner = list(inner.values())
        for one in inner:
            if hasattr(one, "ListFields"):
                yield from _unknown_fields(one, f"{where}.{field.name}")


def _hold(message: Any, found: Reading, *, of_request: bool) -> None:
    """Hold a message to the document of the same API over REST, which says what is output only; streams are not in it."""
    of = document("pubsub.v1")
    schema = of.schemas.get(message.DESCRIPTOR.name)
    if schema is not None:
        value = json_format.MessageToDict(message)
        for name in _IN_URL - schema["properties"].keys():
            value.pop(name, None)
        Values(of.schemas, found, of_request=of_request).check(value, schema, "message")


def problems_of_message(message: Any, where: str) -> Iterator[str]:
    """Yield what is wrong with a published message, if it is a notification of Cloud Storage."""
    attributes = dict(message.attributes)
    if "notificationConfig" not in attributes:
        return
    yield from ours.problems(attributes, own_schemas.NOTIFICATION, f"{where}.attributes")
    if attributes.get("payloadFormat") == "NONE":
        if message.data:
            yield f"{where} has data, and payloadFormat NONE"
        return
    try:
        value = json_of(message.data)
    except ValueError as error:
        yield f"{where}.data is no JSON: {error}"
        return
    of = document("storage.v1")
    found = Reading()
    Values(of.schemas, found, of_request=False).check(value, of.schemas["Object"], f"{where}.data")
    yield from found.problems
    yield from ours.problems_of_answer("Object", value, partial=False)
