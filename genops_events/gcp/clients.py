"""Build Google's clients from the configuration, with Application Default Credentials.

Where the standard variables name another endpoint (STORAGE_EMULATOR_HOST, PUBSUB_EMULATOR_HOST,
GOOGLE_VERTEX_BASE_URL), the clients go there; nothing else of this project knows about endpoints.
"""

from __future__ import annotations

import os
import ssl
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from genops_events.catalogue.locations import host_of
from genops_events.gcp.errors import google_call

if TYPE_CHECKING:
    from google import genai
    from google.api_core.retry import Retry
    from google.auth.credentials import Credentials
    from google.auth.transport.requests import AuthorizedSession
    from google.cloud import bigquery, storage
    from google.cloud.aiplatform_v1 import (
        EndpointServiceClient,
        ModelServiceClient,
    )
    from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient
    from google.pubsub_v1 import PublisherAsyncClient, SubscriberAsyncClient

    from genops_events.config import Config

_CREDENTIALS = "find credentials"

CALL_TIMEOUT_SECONDS = 60.0
"""Bound of one remote call. A call that takes longer is given up and decided anew."""


def storage_client(config: Config) -> storage.Client:
    """Return a Cloud Storage client that makes the calls it is asked for, and no others.

    By itself (google-cloud-storage 3.11 and later) it also looks the bucket up in threads, once for each client and once
    for each object that is not there, to annotate trace spans. Each Airflow task has a client of its own, so that would
    be one call in seven, over the same connections, and take a right that no task needs (`storage.buckets.get`).
    Who traces sets the variable to `false`. Source: https://github.com/googleapis/google-cloud-python/issues/17650.
    """
    os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
    from google.cloud import storage

    with google_call(_CREDENTIALS):
        return storage.Client(project=config.project)


def publisher_client() -> PublisherClient:
    """Return a Pub/Sub publisher that keeps the order of messages of one key."""
    from google.cloud import pubsub_v1

    options = pubsub_v1.types.PublisherOptions(enable_message_ordering=True)
    with google_call(_CREDENTIALS):
        return pubsub_v1.PublisherClient(publisher_options=options)


def subscriber_client() -> SubscriberClient:
    """Return a Pub/Sub subscriber; close it after use."""
    from google.cloud import pubsub_v1

    with google_call(_CREDENTIALS):
        return pubsub_v1.SubscriberClient()


def pubsub_credentials() -> Credentials | None:
    """Return the credentials of the asynchronous clients; None where an emulator takes none. May block on a network."""
    if os.environ.get("PUBSUB_EMULATOR_HOST"):
        return None
    import google.auth

    with google_call(_CREDENTIALS):
        credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/pubsub"])
    return credentials


def async_subscriber_client(credentials: Credentials | None) -> SubscriberAsyncClient:
    """Return the asynchronous Pub/Sub subscriber. Build it inside the event loop that uses it; nothing blocks.

    Args:
        credentials: from `pubsub_credentials`, which may block and so belongs in a thread.
    """
    from google.pubsub_v1 import SubscriberAsyncClient
    from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcAsyncIOTransport

    return _async_client(SubscriberAsyncClient, SubscriberGrpcAsyncIOTransport, credentials)


def async_publisher_client(credentials: Credentials | None) -> PublisherAsyncClient:
    """Return the asynchronous Pub/Sub publisher, without batching; as `async_subscriber_client` otherwise."""
    from google.pubsub_v1 import PublisherAsyncClient
    from google.pubsub_v1.services.publisher.transports import PublisherGrpcAsyncIOTransport

    return _async_client(PublisherAsyncClient, PublisherGrpcAsyncIOTransport, credentials)


def _async_client(client: Any, transport: Any, credentials: Credentials | None) -> Any:
    import grpc

    # gRPC's own bound is two minutes: too long to wait once Pub/Sub is back.
    options = [("grpc.max_reconnect_backoff_ms", 10_000)]
    emulator = os.environ.get("PUBSUB_EMULATOR_HOST")
    if emulator:
        # The asynchronous clients are generated code that does not read the standard variable; the others do.
        return client(transport=transport(channel=grpc.aio.insecure_channel(emulator, options=options)))

    def channel(*args: Any, **given: Any) -> Any:
        return transport.create_channel(*args, **{**given, "options": [*given.get("options", ()), *options]})

    return client(credentials=credentials, transport=partial(transport, channel=channel))


def genai_client(
    project: str, location: str, *, attempts: int = 4, timeout_seconds: float = CALL_TIMEOUT_SECONDS
) -> genai.Client:
    """Return a google-genai client for Vertex AI.

    Args:
        project: project id.
        location: a region, a multi-region (`us`, `eu`) or `global`: google-genai goes to its host.
        attempts: how often a call is tried on 408, 429 and 5xx; 1 for a call that must not be repeated.
        timeout_seconds: bound of each try.
    """
    from google import genai
    from google.genai import types

    retries = types.HttpRetryOptions(attempts=attempts, initial_delay=0.5, max_delay=20.0)
    options = types.HttpOptions(timeout=int(timeout_seconds * 1000), retry_options=retries)
    if (trusted := tls_context()) is not None:
        options.client_args = {"verify": trusted}
        options.async_client_args = {"verify": trusted, "ssl": trusted}  # httpx and aiohttp name it so
    with google_call(_CREDENTIALS):
        return genai.Client(vertexai=True, project=project, location=location, http_options=options)


def vertex_session(location: str) -> tuple[AuthorizedSession, str]:
    """Return an HTTP session that adds the credentials, and the address of Vertex AI's REST API in `location`.

    For what is asked so often that reading the answer with google-genai would cost more than all else.
    """
    from google.auth.transport.requests import AuthorizedSession

    credentials, endpoint = vertex_credentials(location)
    return AuthorizedSession(credentials), endpoint


def vertex_credentials(location: str) -> tuple[Credentials, str]:
    """Return the credentials, and the address of Vertex AI's REST API in `location`. May block on a network."""
    import google.auth

    with google_call(_CREDENTIALS):
        credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
    return credentials, vertex_endpoint(location)


@cache
def tls_context() -> ssl.SSLContext | None:
    """Return what all clients of one process verify Google's certificates by; None where client certificates are set up.

    google-genai reads the whole bundle of certificates up to three times for each client: 40 ms of a core.
    """
    import certifi
    from google.auth.transport import mtls

    if mtls.should_use_client_cert():
        return None  # the client builds its own, with the certificate
    bundle = os.environ.get("SSL_CERT_FILE", certifi.where())
    return ssl.create_default_context(cafile=bundle, capath=os.environ.get("SSL_CERT_DIR"))


def model_client(config: Config, location: str | None = None) -> ModelServiceClient:
    """Return the client of Vertex AI's model registry in a location, `config.location` if not given."""
    from google.cloud.aiplatform_v1 import ModelServiceClient

    with google_call(_CREDENTIALS):
        return ModelServiceClient(**_rest(location or config.location))


def endpoint_client(config: Config, location: str | None = None) -> EndpointServiceClient:
    """Return the client of Vertex AI's endpoints."""
    from google.cloud.aiplatform_v1 import EndpointServiceClient

    with google_call(_CREDENTIALS):
        return EndpointServiceClient(**_rest(location or config.location))


def bigquery_client(config: Config) -> bigquery.Client:
    """Return a BigQuery client; close it after use."""
    from google.cloud import bigquery

    with google_call(_CREDENTIALS):
        return bigquery.Client(project=config.project)


def idempotent_retry() -> Retry:
    """Return the retry of a call that may be repeated: on 429, 500, 503 and lost connections, with back-off."""
    import requests
    from google.api_core import exceptions, retry

    passing = retry.if_exception_type(
        exceptions.ServiceUnavailable,
        exceptions.TooManyRequests,
        exceptions.InternalServerError,
        requests.ConnectionError,
    )
    return retry.Retry(predicate=passing, initial=0.5, maximum=20.0, timeout=4 * CALL_TIMEOUT_SECONDS)


def _rest(location: str) -> dict[str, Any]:
    return {"transport": "rest", "client_options": {"api_endpoint": vertex_endpoint(location)}}


def vertex_endpoint(location: str) -> str:
    """Return the address of Vertex AI's REST API in a region, a multi-region or `global`."""
    return os.environ.get("GOOGLE_VERTEX_BASE_URL", f"https://{host_of(location)}").rstrip("/")
