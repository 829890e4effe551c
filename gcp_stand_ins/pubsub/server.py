"""The gRPC server beside its admin app, from start to clean stop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from contextlib import suppress
from itertools import count
from pathlib import Path

import grpc

from gcp_stand_ins.faults import admin_app
from gcp_stand_ins.pubsub.access import Access
from gcp_stand_ins.pubsub.broker import Broker
from gcp_stand_ins.pubsub.faults import PubSubFaults, PubSubFaultSwitch
from gcp_stand_ins.pubsub.front import Front
from gcp_stand_ins.pubsub.journal import Journal
from gcp_stand_ins.pubsub.publisher import Publisher
from gcp_stand_ins.pubsub.rpc import Service, Streaming, Unary
from gcp_stand_ins.pubsub.streaming import StreamingPull
from gcp_stand_ins.pubsub.subscriber import Subscriber
from gcp_stand_ins.recording import Record
from gcp_stand_ins.serving import serve_until_stopped, server

log = logging.getLogger("gcp_stand_ins")

_OPTIONS = [
    ("grpc.so_reuseport", 0),  # a taken port is an error, not a second server behind the same number
    ("grpc.max_receive_message_length", 20_000_000),
    ("grpc.max_send_message_length", -1),
    # Google's clients ping idle connections; without these the server cuts them off for too many pings.
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.max_ping_strikes", 0),
]
_COMPACT_SECONDS = 1.0
_EXPIRE_EVERY = 10
_GRACE_SECONDS = 0.5


async def serve(*, host: str, port: int, admin_port: int, state: Path, record: Record | None) -> None:
    """Serve Pub/Sub on `port` and the admin app on `admin_port` until SIGTERM; all state is under `state`.

    Raises:
        OSError, RuntimeError: a port is taken.
    """
    journal = Journal(state / "pubsub.sqlite", on_failure=_stop_after)
    faults = PubSubFaultSwitch(state / "faults.json")
    broker = Broker(journal, faults)
    api = grpc.aio.server(options=_OPTIONS)
    services: dict[str, list[Unary | Streaming]] = {
        "google.pubsub.v1.Publisher": [*Publisher(broker).methods()],
        "google.pubsub.v1.Subscriber": Subscriber(broker, StreamingPull(broker, faults)).methods(),
        "google.iam.v1.IAMPolicy": [*Access(broker).methods()],
    }
    inner = host, api.add_insecure_port(f"{host}:0")
    front = Front(host=host, port=port, inner=inner)
    service = Service(services, faults, address=inner, origins=front.origins, record=record)
    api.add_generic_rpc_handlers((service,))
    await api.start()
    await front.start()
    log.info(
        "Pub/Sub stand-in on %s:%d, %d topics and %d subscriptions from %s",
        host, port, len(broker.topics), len(broker.subscriptions), state,
    )  # fmt: skip
    sweeping = asyncio.ensure_future(_sweep(broker))
    try:
        await serve_until_stopped(server(admin_app(faults, PubSubFaults), host=host, port=admin_port))
    finally:
        front.stop()
        sweeping.cancel()
        with suppress(asyncio.CancelledError):
            await sweeping
        await api.stop(_GRACE_SECONDS)
        journal.close()


async def _sweep(broker: Broker) -> None:
    for turn in count():
        await asyncio.sleep(_COMPACT_SECONDS)
        broker.journal.compact()
        if turn % _EXPIRE_EVERY == 0:
            broker.expire(time.time())


def _stop_after(error: BaseException) -> None:
    """End the process: what is in memory is no longer on disk, and whoever waits has been told of the error."""
    log.critical("cannot write the state, so nothing more can be promised (disk full?): %s", error)
    os.kill(os.getpid(), signal.SIGTERM)
