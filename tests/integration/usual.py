"""The example configuration with a model whose figures need no file beside genops.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "genops.yaml"
MODEL = "gemini-2.5-flash"


def usual_settings() -> dict[str, Any]:
    """Return examples/genops.yaml as data; the figures of the tests are those of `MODEL`."""
    settings: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    del settings["models"]
    settings["datasets"]["banking77"]["source_model"] = MODEL
    return settings


def usual_config(folder: Path) -> Path:
    """Write `usual_settings` to a folder, with the inputs beside it, and return the file."""
    file = folder / "usual.yaml"
    if not (folder / "bucket").exists():
        (folder / "bucket").symlink_to(EXAMPLE.parent / "bucket")
    file.write_text(yaml.safe_dump(usual_settings(), sort_keys=False), encoding="utf-8")
    return file
