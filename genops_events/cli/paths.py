"""Find the folders that come with genops-events, in a checkout and in an installed wheel."""

from __future__ import annotations

from pathlib import Path

from genops_events.errors import PermanentError

_PACKAGE = Path(__file__).resolve().parents[1]


class FolderMissing(PermanentError):
    """A folder that comes with genops-events is not where it should be."""


def dags_folder() -> Path:
    """Return the folder of the Dags."""
    return _folder("dags")


def examples_folder() -> Path:
    """Return the folder of the examples."""
    return _folder("examples")


def _folder(name: str) -> Path:
    """Look inside the package (a wheel), then beside it (a checkout)."""
    looked = [_PACKAGE / name, _PACKAGE.parent / name]
    for folder in looked:
        if folder.is_dir():
            return folder
    raise FolderMissing(f"There is no folder {name} at {' or '.join(map(str, looked))}.", "Install genops-events anew.")
