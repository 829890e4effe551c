"""Each stand-in as a process of its own, with one of Google's own clients."""

from __future__ import annotations

from bigquery_stand_in import (
    beside,
    bigquery_process,
    bq,
    dataset,
    faulty,
    own_bigquery,
    running,
)
from pubsub_stand_in import (
    make_pair,
    pair,
    publisher,
    service,
    stand_in,
    stand_in_service,
    subscriber,
)
from storage_stand_in import (
    bucket,
    client,
    no_faults,
    own_process,
    own_recorder,
    shared,
    storage_process,
    topic_recorder,
)
from vertex_stand_in import (
    own_vertex,
    shared_vertex,
    tuned,
    vertex,
)

__all__ = [
    "beside",
    "bigquery_process",
    "bq",
    "bucket",
    "client",
    "dataset",
    "faulty",
    "make_pair",
    "no_faults",
    "own_bigquery",
    "own_process",
    "own_recorder",
    "own_vertex",
    "pair",
    "publisher",
    "running",
    "service",
    "shared",
    "shared_vertex",
    "stand_in",
    "stand_in_service",
    "storage_process",
    "subscriber",
    "topic_recorder",
    "tuned",
    "vertex",
]
