"""Put the files that a configuration names into the local stack's bucket."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genops_events.config import Config

SEED_FOLDER = "bucket"


def seed(config: Config, config_file: Path) -> list[str]:
    """Copy the folder `bucket/` beside `config_file`, if there is one, into the bucket; return what was new.

    What is in the bucket already stays as it is: it may have been changed since.
    """
    from genops_events.intake.uploads import upload_if_absent

    folder = config_file.parent / SEED_FOLDER
    files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    return [
        name for path in files if upload_if_absent(config, path, name=(name := path.relative_to(folder).as_posix()))
    ]
