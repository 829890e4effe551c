"""Serve a stand-in's API and its admin route from one process on two loopback ports."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
from pathlib import Path

import uvicorn

from gcp_stand_ins import recording
from gcp_stand_ins.guard import ASGIApp, Guard
from gcp_stand_ins.owner import end_with


def arguments(name: str) -> argparse.ArgumentParser:
    """Return the command line that every stand-in shares."""
    parser = argparse.ArgumentParser(prog=f"python -m gcp_stand_ins.{name}")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True, help="port of the API")
    parser.add_argument("--admin-port", type=int, required=True, help="port of /health and /faults")
    parser.add_argument("--state", type=Path, required=True, help="folder that holds everything this stand-in keeps")
    parser.add_argument("--owner", type=end_with, help="pid of a process that this one ends with")
    recording.add_argument(parser)
    return parser


def log_to_standard_error() -> None:
    """Log one plain line per event; the supervisor keeps standard error in the component's log file."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for chatty in ("httpx", "uvicorn.error", "urllib3"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def server(app: ASGIApp, *, host: str, port: int) -> uvicorn.Server:
    """Return a quiet uvicorn server for `app`, for its own user alone; nothing is bound until it is served."""
    config = uvicorn.Config(
        Guard(app),
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=1,
        timeout_keep_alive=75,
        backlog=1024,
    )
    return uvicorn.Server(config)


async def stop_signal() -> None:
    """Return when the process is asked to end (SIGTERM or SIGINT)."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    await stopped.wait()


async def serve_until_stopped(*servers: uvicorn.Server) -> None:
    """Serve all of `servers` until SIGTERM, then let open requests end for a second.

    Raises:
        RuntimeError: a server ended by itself, for instance because its port is taken.
    """
    tasks = [asyncio.ensure_future(one._serve()) for one in servers]  # noqa: SLF001 - `serve` would grab the signals
    stopping = asyncio.ensure_future(stop_signal())
    await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
    ended_early = not stopping.done()
    stopping.cancel()
    for one in servers:
        one.should_exit = True
    await asyncio.gather(*tasks, return_exceptions=True)
    if ended_early:
        raise RuntimeError("a server ended by itself; the lines above say why (is its port taken?)")
