"""Run a command with the clock ahead: `.venv/bin/python -m tests.ahead +1y genops demo`.

Nothing here may end by the calendar. libfaketime moves what each process of the command takes for now, the database's and
Airflow's too; durations (the monotonic clock) stay as they are. It needs no root; Linux on x86-64 only, as its wheel is.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import libfaketime

LIBRARY = Path(libfaketime.__file__).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"
_LEAST_SECONDS = 3600


def environment(ahead: str, outer: Mapping[str, str]) -> dict[str, str]:
    """Return the environment in which processes take it to be later, such as `+1y`."""
    programs = Path(sys.executable).parent
    return {
        **outer,
        "PATH": f"{programs}{os.pathsep}{outer.get('PATH', os.defpath)}",
        "LD_PRELOAD": os.fspath(LIBRARY),
        "FAKETIME": ahead,
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",  # what this version of libfaketime calls it
    }


def main() -> None:
    """Become the command, or say why its clock cannot be moved."""
    if len(sys.argv) < 3:
        sys.stderr.write("python -m tests.ahead +1y COMMAND [WORD…]\n")
        sys.exit(2)
    ahead, *command = sys.argv[1:]
    own = environment(ahead, os.environ)
    ask = [sys.executable, "-c", "import time; print(time.time())"]
    done = subprocess.run(ask, env=own, capture_output=True, text=True, check=False)
    # Within a command that is ahead already, what is now is as far ahead as what is asked.
    is_moved = "FAKETIME" in os.environ or (
        done.returncode == 0 and abs(float(done.stdout) - time.time()) > _LEAST_SECONDS
    )
    if not is_moved:
        sys.exit(f"The clock cannot be moved by {ahead} here: {done.stderr.strip() or LIBRARY}")
    os.execvpe(command[0], command, own)


if __name__ == "__main__":
    main()
