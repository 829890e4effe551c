"""Find the Python interpreters of this machine that the project may run on."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from packaging.specifiers import SpecifierSet

_MINORS = range(8, 40)
# Where people keep several: each is a folder of interpreters by version.
_KEPT = ("~/.pyenv/versions", "~/.local/share/uv/python", "/opt/python", "/usr/local", "/opt/hostedtoolcache/Python")
_ASK = "import ctypes, lzma, sqlite3, ssl, sys, venv; print('{}.{}'.format(*sys.version_info))"


def find_interpreters(allowed: SpecifierSet, given: list[Path]) -> dict[str, Path | None]:
    """Return an interpreter for each minor version that is allowed; None where the machine has none that works.

    Args:
        allowed: `requires-python` of the project.
        given: interpreters that go before those of the machine.
    """
    wanted = [f"3.{minor}" for minor in _MINORS if f"3.{minor}" in allowed]
    by_hand = {version: path for path in given if (version := version_of(path)) is not None}
    return {version: by_hand.get(version) or _on_this_machine(version) for version in wanted}


def version_of(path: Path) -> str | None:
    """Return the minor version of an interpreter that works and has what the tests need of its library, else None."""
    try:
        done = subprocess.run([path, "-I", "-c", _ASK], capture_output=True, text=True, timeout=30, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _on_this_machine(version: str) -> Path | None:
    name = f"python{version}"
    on_path = [Path(folder) / name for folder in os.environ.get("PATH", os.defpath).split(os.pathsep)]
    kept = [
        found for folder in _KEPT for found in sorted(Path(folder).expanduser().glob(f"*/bin/{name}"), reverse=True)
    ]
    # A shim of pyenv stands on the PATH whether or not its version is chosen: only one that answers counts.
    return next((path for path in [*on_path, *kept] if path.exists() and version_of(path) == version), None)
