"""What a call can be refused with, as gRPC status codes."""

from __future__ import annotations

from collections.abc import Iterable

import grpc
from google.protobuf.any_pb2 import Any as PackedAny
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

DETAILS = "grpc-status-details-bin"
"""The trailing metadata that holds an error with its details."""


class ApiError(Exception):
    """The call is answered with this gRPC status.

    Args:
        status: the gRPC status code.
        message: what happened and what to do.
        trailing: trailing metadata, such as packed error details.
    """

    def __init__(self, status: grpc.StatusCode, message: str, trailing: tuple[tuple[str, bytes], ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.trailing = trailing


def not_found(what: str, name: str) -> ApiError:
    """Return NOT_FOUND for a topic, subscription or snapshot."""
    return ApiError(grpc.StatusCode.NOT_FOUND, f"Resource not found (resource={name}): there is no such {what}.")


def already_exists(what: str, name: str) -> ApiError:
    """Return ALREADY_EXISTS for a topic, subscription or snapshot."""
    return ApiError(
        grpc.StatusCode.ALREADY_EXISTS, f"Resource already exists (resource={name}): {what} names are unique."
    )


def invalid(message: str) -> ApiError:
    """Return INVALID_ARGUMENT."""
    return ApiError(grpc.StatusCode.INVALID_ARGUMENT, message)


def failed_precondition(message: str) -> ApiError:
    """Return FAILED_PRECONDITION."""
    return ApiError(grpc.StatusCode.FAILED_PRECONDITION, message)


def unimplemented(what: str) -> ApiError:
    """Return UNIMPLEMENTED for a feature that Google has and this stand-in has not."""
    return ApiError(grpc.StatusCode.UNIMPLEMENTED, f"The local Pub/Sub stand-in does not provide {what}.")


def stale_ack_ids(ack_ids: Iterable[str]) -> ApiError:
    """Return what exactly-once delivery answers for ack ids whose lease has ended; clients read the packed details."""
    info = ErrorInfo(
        reason="EXACTLY_ONCE_ACKID_FAILURE",
        domain="pubsub.googleapis.com",
        metadata=dict.fromkeys(ack_ids, "PERMANENT_FAILURE_INVALID_ACK_ID"),
    )
    message = "Some acknowledgement ids in the request were invalid: their lease has ended."
    packed = PackedAny()
    packed.Pack(info)
    status = Status(code=grpc.StatusCode.INVALID_ARGUMENT.value[0], message=message, details=[packed])
    return ApiError(
        grpc.StatusCode.INVALID_ARGUMENT,
        message,
        ((DETAILS, status.SerializeToString()),),
    )
