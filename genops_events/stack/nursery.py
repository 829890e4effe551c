"""Import Airflow once and fork every Airflow process from there: half of the processor time of a start.

Importing Airflow takes four to ten seconds of a core, and a stack has five processes that need it. The nursery is a
process of its own, `python -m genops_events.stack.nursery`. It forks each Airflow process twice, so that the child
becomes the supervisor's (which is the reaper of its orphans): it is watched, stopped and killed as any other component.
Linux only. Where there is no nursery, the supervisor starts `python -m airflow` instead, which is the same, but slower.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from genops_events.stack.processes import die_with_parent

_CORE = (
    "airflow",
    "airflow.cli.cli_parser",
    "airflow.cli.commands.db_command",
    "airflow.models",
    "airflow.utils.db",
    "alembic.command",
)
# Not the scheduler's own modules: a plugin that looks for them must find them in a scheduler only.
_COMPONENTS = (
    "airflow.jobs.dag_processor_job_runner",
    "airflow.jobs.triggerer_job_runner",
    "airflow.executors.local_executor",
    "airflow.cli.commands.api_server_command",
    "airflow.cli.commands.dag_processor_command",
    "airflow.cli.commands.triggerer_command",
    "airflow.api_fastapi.app",
    "airflow.api_fastapi.execution_api.routes",
)
_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> bool:
    """Make this process the parent of its descendants' orphans; return whether this machine can."""
    if not sys.platform.startswith("linux"):
        return False
    return bool(ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


def main() -> int:
    """Serve requests on standard input until it is closed: one JSON line each, answered with a line that is a pid."""
    supervisor = os.getppid()
    requests = sys.stdin.fileno()
    answers = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # What an import prints is no answer.
    waiting = [*_CORE, *_COMPONENTS]
    rest = b""
    while True:
        if waiting and not select.select([requests], [], [], 0)[0]:
            _import(waiting.pop(0))
            if not waiting:
                _keep_pages_shared()
            continue
        got = os.read(requests, 65_536)
        if not got:
            return 0
        *lines, rest = (rest + got).split(b"\n")
        for line in lines:
            request = json.loads(line)
            # A migration needs the core only. For the components the rest is imported first: once, not in each.
            enough = _COMPONENTS[0] if request["words"][0] == "db" else None
            while waiting and waiting[0] != enough:
                _import(waiting.pop(0))
            os.write(answers, b"%d\n" % _bear(request, supervisor=supervisor, shut=(requests, answers)))


def _import(name: str) -> None:
    try:
        importlib.import_module(name)
    except ImportError as error:
        # Not fatal: the process that needs it says so better.
        sys.stderr.write(f"{name} cannot be imported ahead: {error}\n")


def _keep_pages_shared() -> None:
    # A collection in a child would touch, and so copy, every page that it shares with its siblings.
    gc.collect()
    gc.freeze()


def _bear(request: dict[str, Any], *, supervisor: int, shut: tuple[int, ...]) -> int:
    """Fork a process that runs an Airflow command as a child of the supervisor; return its pid."""
    read_end, write_end = os.pipe()
    middle = os.fork()
    if middle:
        os.close(write_end)
        os.waitpid(middle, 0)
        with os.fdopen(read_end) as pipe:
            return int(pipe.read())
    child = os.fork()
    if child:
        os.write(write_end, b"%d" % child)
        os._exit(0)
    os.close(read_end)
    os.close(write_end)
    for descriptor in shut:
        os.close(descriptor)
    return _run(request, supervisor=supervisor)


def _run(request: dict[str, Any], *, supervisor: int) -> NoReturn:
    """Be the Airflow command that was asked for."""
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    deadline = time.monotonic() + 5
    while os.getppid() != supervisor:
        if time.monotonic() > deadline:  # The supervisor is gone.
            os._exit(1)
        time.sleep(0.001)
    die_with_parent(signal.SIGTERM, parent=supervisor)()
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open(Path(request["log"]), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    for descriptor in (nothing, log):
        if descriptor > 2:  # noqa: PLR2004 - standard error
            os.close(descriptor)
    # The nursery's standard input was one of the descriptors that were shut.
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - as the interpreter does it
    words: list[str] = request["words"]
    sys.argv = ["airflow", *words]
    _set_title(f"airflow {' '.join(words)}")
    from airflow.__main__ import main as airflow

    airflow()
    raise SystemExit(0)


def _set_title(title: str) -> None:
    try:
        from setproctitle import setproctitle
    except ImportError:
        return
    setproctitle(title)


if __name__ == "__main__":
    sys.exit(main())
