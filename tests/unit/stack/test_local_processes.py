"""Processes of a local stack: born, known again, killed, and none left behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from waiting import HANG_SECONDS, until

from gcp_stand_ins.owner import birth
from genops_events.stack import postgres
from genops_events.stack.ports import choose
from genops_events.stack.processes import ProcessId, how_it_ended, kill_session, last_error, session_members, spawn
from genops_events.stack.stack_errors import ComponentError

ENVIRONMENT = {"PATH": os.environ["PATH"]}


def test_a_pid_that_is_used_again_is_another_process() -> None:
    born = birth(os.getpid())
    assert born is not None
    assert ProcessId(os.getpid(), born).alive()
    assert not ProcessId(os.getpid(), born - 1).alive()


def test_a_signal_never_reaches_a_process_that_only_has_the_pid() -> None:
    ProcessId(os.getpid(), -1.0).send(signal.SIGKILL)  # we are still here


def test_kill_session_leaves_no_grandchild(tmp_path: Path) -> None:
    script = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); time.sleep(60)"
    process = spawn([sys.executable, "-c", script], environment=ENVIRONMENT, log=tmp_path / "a.log", cwd=tmp_path)
    until(lambda: len(session_members(process.pid)) == 2)
    process.kill()
    process.wait()
    assert len(session_members(process.pid)) == 1
    kill_session(process.pid)
    assert session_members(process.pid) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children that their parent died")
def test_a_child_dies_with_its_parent(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from genops_events.stack.processes import spawn\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "child = spawn(['sleep', '60'], environment={'PATH': '/bin:/usr/bin'}, log=folder / 'c.log', cwd=folder)\n"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout:
        child = int(parent.stdout.readline())
    assert birth(child) is not None
    parent.kill()
    parent.wait()
    until(lambda: birth(child) is None)


def test_last_error_quotes_the_last_error_of_this_life_only(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("FATAL: an earlier life\n")
    since = log.stat().st_size
    with log.open("a") as file:
        file.write("starting\nOSError: [Errno 98] address in use\nbye\n")
    assert last_error(log, since=since) == "OSError: [Errno 98] address in use"
    assert last_error(tmp_path / "missing.log") == ""


def test_how_it_ended_names_the_signal() -> None:
    assert how_it_ended(-9) == "killed by SIGKILL"
    assert how_it_ended(3) == "ended with exit code 3"


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users may enter: not one of pytest's, which each run on this machine closes to them again."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.mark.parametrize("namespaces", [True, False])
def test_a_database_cluster_comes_up_as_this_user(open_folder: Path, *, namespaces: bool) -> None:
    """As root both ways of not being root are tried; as an ordinary user there is one."""
    if os.geteuid() != 0 and not namespaces:
        pytest.skip("only root has to become somebody else")
    # In a process of its own: who starts PostgreSQL has one thread, but gRPC of other tests leaves some here.
    alone = multiprocessing.get_context("spawn").Process(target=cluster_comes_up, args=(open_folder, namespaces))
    alone.start()
    alone.join(HANG_SECONDS)
    assert alone.exitcode == 0


def cluster_comes_up(home: Path, namespaces: bool) -> None:  # noqa: FBT001 - as a process takes it
    folder = home / "postgres"
    folder.mkdir()
    log = home / "postgres.log"
    way = postgres.run_as(folder, namespaces=namespaces)
    made = postgres.start_initdb(way, folder, password="secret", log=log)
    postgres.finish_initdb(folder, code=made.wait(HANG_SECONDS), log=log)
    port = choose(["postgres"], home=home, kept={})["postgres"]
    way = postgres.run_as(folder, namespaces=namespaces)
    server = way.run("postgres", *postgres.server_arguments(folder, port=port), log=log)
    try:

        def answers() -> bool:
            try:
                postgres.open_database(port=port, password="secret")
            except OSError:
                return False
            return True

        until(answers)
        with pytest.raises(OSError, match="password authentication failed"):
            postgres.open_database(port=port, password="wrong")
    finally:
        server.send_signal(postgres.FAST_SHUTDOWN)
        assert server.wait(HANG_SECONDS) == 0
    assert session_members(server.pid) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
def test_a_folder_that_nobody_may_enter_is_named_with_what_to_do(tmp_path: Path) -> None:
    folder = tmp_path / "closed" / "home" / "postgres"
    folder.mkdir(parents=True)
    (tmp_path / "closed").chmod(0o700)  # the home itself is opened a bit; what lies above it is not ours
    with pytest.raises(ComponentError, match="may not enter") as raised:
        postgres.run_as(folder, namespaces=False)
    assert "GENOPS_HOME" in raised.value.hint


def test_a_lock_file_of_a_dead_postmaster_whose_pid_lives_again_is_removed(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    lock = tmp_path / "data" / "postmaster.pid"
    lock.write_text(f"{os.getpid()}\n/somewhere\n")
    postgres.remove_stale_lock(tmp_path)
    assert not lock.exists()
