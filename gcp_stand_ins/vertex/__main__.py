"""Start the Vertex AI stand-in: `python -m gcp_stand_ins.vertex --port P --admin-port A --state DIR --storage URL`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
from concurrent.futures import ThreadPoolExecutor

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from gcp_stand_ins.faults import FaultSwitch, admin_app
from gcp_stand_ins.recording import record_of, recorded
from gcp_stand_ins.serving import arguments, log_to_standard_error, serve_until_stopped, server
from gcp_stand_ins.vertex.answering import Answering
from gcp_stand_ins.vertex.app import VertexApi
from gcp_stand_ins.vertex.batches import Batches
from gcp_stand_ins.vertex.documents import Database
from gcp_stand_ins.vertex.faults import VertexFaults
from gcp_stand_ins.vertex.learner import LearnedModels
from gcp_stand_ins.vertex.learning import Learning
from gcp_stand_ins.vertex.projects import Projects
from gcp_stand_ins.vertex.registry import Registry
from gcp_stand_ins.vertex.training_data import TrainingData
from gcp_stand_ins.vertex.tuning import Tuning

log = logging.getLogger("gcp_stand_ins.vertex")

_THREADS = 3


async def serve(chosen: argparse.Namespace) -> None:
    """Serve until SIGTERM."""
    switch = FaultSwitch(chosen.state / "faults.json", VertexFaults)
    database = Database(chosen.state / "vertex.db")
    executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="vertex")
    learned = LearnedModels(chosen.state / "learned", executor)
    registry = Registry(database)
    async with TrainingData(chosen.storage) as data:
        tuning = Tuning(
            database=database,
            registry=registry,
            learned=learned,
            data=data,
            switch=switch,
            listed_after_seconds=chosen.listed_after_seconds,
            learning=Learning(learned=learned, data=data, executor=executor, scratch=chosen.state / "downloads"),
        )
        answering = Answering(
            registry=registry, learned=learned, settle=tuning.settle, switch=switch, database=database
        )
        batches = Batches(
            database=database,
            answering=answering,
            data=data,
            switch=switch,
            listed_after_seconds=chosen.listed_after_seconds,
            scratch=chosen.state / "downloads",
        )
        api = VertexApi(
            tuning=tuning,
            registry=registry,
            batches=batches,
            answering=answering,
            switch=switch,
            executor=executor,
            projects=Projects(database),
        )

        async def jobs(_: Request) -> JSONResponse:
            return JSONResponse(tuning.overview())

        async def calls(_: Request) -> JSONResponse:
            return JSONResponse(dict(api.calls))

        async def quota(_: Request) -> JSONResponse:
            found = answering.quota
            names = ("refused", "most_requests", "most_tokens")
            return JSONResponse({name: getattr(found, name) for name in names})

        async def resume(request: Request) -> JSONResponse:
            name = request.query_params.get("name")
            return JSONResponse({"resumed": tuning.resume_paused(name) + batches.resume_paused(name)})

        async def batch_jobs(_: Request) -> JSONResponse:
            return JSONResponse(batches.overview())

        admin = admin_app(switch, VertexFaults)
        admin.router.routes += [
            Route("/jobs", jobs),
            Route("/jobs/resume", resume, methods=["POST"]),
            Route("/batches", batch_jobs),
            Route("/calls", calls),
            Route("/quota", quota),
        ]
        tuning.resume()
        batches.resume()
        log.info("Vertex AI stand-in on http://%s:%d, training data from %s", chosen.host, chosen.port, chosen.storage)
        try:
            await serve_until_stopped(
                server(recorded(api, record_of(chosen, "vertex")), host=chosen.host, port=chosen.port),
                server(admin, host=chosen.host, port=chosen.admin_port),
            )
        finally:
            await tuning.stop()
            await batches.stop()
            executor.shutdown(wait=False, cancel_futures=True)


def main() -> None:
    """Read the command line and serve."""
    parser = arguments("vertex")
    parser.add_argument("--storage", required=True, help="address of the storage API, http://HOST:PORT")
    parser.add_argument(
        "--listed-after-seconds",
        type=float,
        default=2.0,
        metavar="SECONDS",
        help="so long after its creation, a job is in no listing; 0 shows it at once (default: 2; Vertex AI's lists are right in the end)",
    )
    log_to_standard_error()
    asyncio.run(serve(parser.parse_args()))
    # A thread may still be reading or learning. What was acknowledged is on disk, so the exit does not wait for it.
    logging.shutdown()
    os._exit(0)


if __name__ == "__main__":
    main()
