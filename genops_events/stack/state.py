"""The state file of a stack: what runs, where, and since when; written by its supervisor alone."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from genops_events.stack.processes import ProcessId
from genops_events.stack.stack_errors import StackError

StateName = Literal["starting", "running", "degraded", "stopping", "stopped", "failed"]
ComponentStateName = Literal["waiting", "starting", "running", "restarting", "failed", "stopped"]


EXIT_LOCKED = 3
"""Exit code of a supervisor that found another one in its home."""
PRIVATE_UMASK = 0o077
"""What a stack keeps is its user's alone: prompts, answers, rows, secrets."""


@dataclass(frozen=True, slots=True)
class StackPlan:
    """What a stack is to be: all that its supervisor needs to know."""

    home: Path
    """Absolute folder that holds everything of this stack."""
    dags_folder: Path
    config_file: Path
    project: str
    location: str
    bucket: str
    arrivals_topic: str
    completions_topic: str
    schedulers: int = 1
    triggerers: int = 1
    owner: ProcessId | None = None
    """A process that the stack ends with, however that one ends."""


@dataclass(frozen=True, slots=True)
class ComponentState:
    """One component as its supervisor last saw it."""

    name: str
    state: ComponentStateName
    log: str
    process: ProcessId | None = None
    url: str | None = None
    admin_url: str | None = None
    restarts: int = 0
    seconds: float | None = None
    """From its start until it was ready; None before."""
    reason: str | None = None
    """Why it is not well, or what is wrong with what it serves."""


@dataclass(frozen=True, slots=True)
class StackState:
    """The whole stack as its supervisor last saw it."""

    state: StateName
    plan: StackPlan | None = None
    run: str = ""
    """Names this life of the stack."""
    supervisor: ProcessId | None = None
    ports: dict[str, int] = field(default_factory=dict)
    components: tuple[ComponentState, ...] = ()
    seconds: float | None = None
    """From the start of the supervisor until everything was ready; None before."""
    reason: str | None = None

    @property
    def airflow_url(self) -> str | None:
        """Where Airflow's pages and REST are, while the stack is up."""
        if self.state in ("stopped", "failed") or "api-server" not in self.ports:
            return None
        return f"http://127.0.0.1:{self.ports['api-server']}"

    def component(self, name: str) -> ComponentState | None:
        """Return the component of this name."""
        return next((one for one in self.components if one.name == name), None)


def state_file(home: Path) -> Path:
    """Return where the state of the stack in `home` is written."""
    return home / "state.json"


def _decode(kind: type, value: Any) -> Any:
    return kind(value)


def load(home: Path) -> StackState:
    """Return what the state file says, true or not any more; a stopped stack where there is no file.

    Raises:
        StackError: the file cannot be read.
    """
    path = state_file(home)
    try:
        return msgspec.json.decode(path.read_bytes(), type=StackState, dec_hook=_decode)
    except FileNotFoundError:
        return StackState(state="stopped")
    except (msgspec.DecodeError, OSError) as error:
        raise StackError(
            f"The state file {path} cannot be read: {error}",
            "Another version of genops may have written it. Stop its processes with that version, or remove the file.",
        ) from error


def save(home: Path, state: StackState) -> None:
    """Replace the state file in one step; a reader sees the old state or the new."""
    write_private(state_file(home), msgspec.json.format(msgspec.json.encode(state, enc_hook=str)))


def write_private(path: Path, content: bytes) -> None:
    """Replace a file in one step, readable for its owner only."""
    draft = path.with_name(path.name + ".draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    draft.replace(path)
