"""Publishing the outbox to Pub/Sub: each accepted change is announced at least once, however often either side dies."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from dataclasses import dataclass
from typing import Any

import grpc
import msgspec
from google.pubsub_v1.types import GetTopicRequest, PublishRequest, PublishResponse, Topic
from starlette.requests import Request
from starlette.responses import JSONResponse

from gcp_stand_ins.faults import FaultSwitch
from gcp_stand_ins.storage.database import Database
from gcp_stand_ins.storage.faults import StorageFaults
from gcp_stand_ins.storage.wire import ApiError

_RawPublishRequest: Any = PublishRequest.pb()
"""The plain protobuf class; the wrapper around it takes several times as long to build a message."""

log = logging.getLogger("gcp_stand_ins.storage")

_MESSAGES_A_REQUEST = 200
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0
_CALL_TIMEOUT_SECONDS = 10.0
_LOOK_AGAIN_SECONDS = 0.25
"""How soon a changed delay is noticed."""


@dataclass(frozen=True, slots=True)
class _Message:
    id: int
    attributes: dict[str, str]
    data: bytes


class Delivery:
    """Publishes what is in the outbox, oldest first, each topic apart from the others.

    Args:
        database: where the outbox is.
        faults: may drop, repeat or delay messages.
        pubsub: host and port of Pub/Sub.
    """

    def __init__(self, database: Database, faults: FaultSwitch[StorageFaults], pubsub: str) -> None:
        self._database = database
        self._faults = faults
        self._channel = grpc.aio.insecure_channel(
            pubsub,
            options=[
                ("grpc.initial_reconnect_backoff_ms", 100),
                ("grpc.min_reconnect_backoff_ms", 100),
                ("grpc.max_reconnect_backoff_ms", 1000),
                ("grpc.enable_http_proxy", 0),
            ],
        )
        self._publish = self._channel.unary_unary(
            "/google.pubsub.v1.Publisher/Publish",
            request_serializer=_RawPublishRequest.SerializeToString,
            response_deserializer=PublishResponse.deserialize,
        )
        self._get_topic = self._channel.unary_unary(
            "/google.pubsub.v1.Publisher/GetTopic",
            request_serializer=GetTopicRequest.serialize,
            response_deserializer=Topic.deserialize,
        )
        self._news = asyncio.Event()
        self._news.set()
        self._workers: dict[str, asyncio.Task[None]] = {}

    def wake(self) -> None:
        """Look at the outbox now."""
        self._news.set()

    async def show(self, _: Request) -> JSONResponse:
        """Answer how many messages wait, and for how long the oldest has; a test or a person on call reads it."""
        count, oldest = self._database.execute("SELECT count(*), min(created_at) FROM outbox").fetchone()
        age = 0.0 if oldest is None else max(0.0, time.time() - oldest)
        return JSONResponse({"waiting": count, "oldest_seconds": round(age, 3)})

    async def check_topic(self, topic: str) -> None:
        """Let a topic that Pub/Sub knows pass.

        Raises:
            ApiError: 400 when Pub/Sub does not know it, 503 when Pub/Sub cannot be asked.
        """
        try:
            # A channel that could not connect a moment ago fails at once otherwise, however well Pub/Sub is by now.
            await self._get_topic(GetTopicRequest(topic=topic), timeout=_CALL_TIMEOUT_SECONDS, wait_for_ready=True)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise ApiError(
                    400, f"Cloud Pub/Sub topic {topic} not found; create it before the notification."
                ) from None
            raise ApiError(
                503, f"Whether topic {topic} exists could not be asked at Pub/Sub ({error.code().name}); try again."
            ) from None

    async def run(self) -> None:
        """Publish until cancelled."""
        try:
            async with asyncio.TaskGroup() as workers:
                while True:
                    await self._news.wait()
                    self._news.clear()
                    for (topic,) in self._database.execute("SELECT DISTINCT topic FROM outbox").fetchall():
                        if topic not in self._workers:
                            self._workers[topic] = workers.create_task(self._drain(topic))
        finally:
            await self._channel.close()

    async def _drain(self, topic: str) -> None:
        """Publish all messages of one topic, with growing pauses while that fails."""
        pause = _FIRST_PAUSE_SECONDS
        failing = False
        while True:
            delay = self._faults.current.delay_notifications_seconds
            messages = self._due(topic, delay)
            if not messages:
                if not delay or not self._waiting(topic):
                    # No await since the look, so a message that comes next finds no worker and starts one.
                    del self._workers[topic]
                    return
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)
                continue
            try:
                await self._send(topic, messages)
            except grpc.aio.AioRpcError as error:
                if not failing:
                    log.warning(
                        "notifications to %s wait in the outbox, Pub/Sub answers %s: %s; trying until it takes them",
                        topic,
                        error.code().name,
                        error.details(),
                    )
                failing = True
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - not a secret
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
                continue
            if failing:
                log.info("notifications to %s are published again", topic)
            failing = False
            pause = _FIRST_PAUSE_SECONDS

    def _due(self, topic: str, delay_seconds: float) -> list[_Message]:
        rows = self._database.execute(
            "SELECT id, attributes, data FROM outbox WHERE topic = ? AND created_at <= ? ORDER BY id LIMIT ?",
            # A clock that was set back must not hold messages up, so without a delay no time is compared.
            (topic, time.time() - delay_seconds if delay_seconds else float("inf"), _MESSAGES_A_REQUEST),
        ).fetchall()
        return [_Message(number, msgspec.json.decode(attributes), data) for number, attributes, data in rows]

    def _waiting(self, topic: str) -> bool:
        return self._database.execute("SELECT 1 FROM outbox WHERE topic = ? LIMIT 1", (topic,)).fetchone() is not None

    async def _send(self, topic: str, messages: list[_Message]) -> None:
        """Publish `messages`, then take them out of the outbox: a death in between repeats them, never loses them."""
        faults = self._faults.current
        batch: list[_Message] = []
        for message in messages:
            if random.random() < faults.drop_notifications:  # noqa: S311 - not a secret
                continue
            batch.append(message)
            if random.random() < faults.duplicate_notifications:  # noqa: S311 - not a secret
                batch.append(message)
        if batch:
            request = _RawPublishRequest(
                topic=topic, messages=[{"data": one.data, "attributes": one.attributes} for one in batch]
            )
            await self._publish(request, timeout=_CALL_TIMEOUT_SECONDS)
        with self._database.transaction():
            for message in messages:
                self._database.execute("DELETE FROM outbox WHERE id = ?", (message.id,))
