"""The command `genops`, as somebody in a shell uses it."""

from __future__ import annotations

import json
from typing import Any

from typer.testing import CliRunner

from genops_events.cli import app


def genops(*words: str) -> tuple[int, str]:
    """Return exit code and text of a command, folded to one line."""
    done = CliRunner().invoke(app, list(words))
    return done.exit_code, " ".join(done.stderr.split())


def genops_json(*words: str) -> tuple[int, Any]:
    """Return exit code and JSON of a command."""
    done = CliRunner().invoke(app, [*words, "--json"])
    return done.exit_code, json.loads(done.stdout)
