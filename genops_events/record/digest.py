"""A short hash of a few texts."""

from __future__ import annotations

import hashlib
import json


def digest(*values: str | None) -> str:
    """Return a short hash of some texts; None differs from the empty text."""
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:24]
