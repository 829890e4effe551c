"""Secrets of a local stack: made once, kept in its home, readable for its owner only."""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from genops_events.local.state import write_private


@dataclass(frozen=True, slots=True)
class Secrets:
    """What the components of one stack prove themselves to each other with."""

    postgres_password: str
    jwt_secret: str
    fernet_key: str
    api_secret_key: str


def secrets_of(home: Path) -> Secrets:
    """Return the secrets of this home, made on the first call and the same ever after."""
    path = home / "secrets" / "secrets.json"
    if path.exists():
        return Secrets(**json.loads(path.read_text()))
    made = Secrets(
        postgres_password=secrets.token_urlsafe(32),
        jwt_secret=secrets.token_urlsafe(64),
        fernet_key=base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        api_secret_key=secrets.token_urlsafe(32),
    )
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(path, json.dumps(asdict(made)).encode())
    return made


def credentials_file(home: Path) -> Path:
    """Return where the Application Default Credentials of this home are."""
    return home / "secrets" / "application_default_credentials.json"


def write_credentials(home: Path) -> Path:
    """Make Application Default Credentials work against the stand-ins; return their file.

    They are a user's, with a token that is good for ever: Google's libraries then ask nobody for a token, nor where
    a service account may be used, which they would ask Google itself. They open nothing at Google.
    """
    path = credentials_file(home)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    content = {
        "type": "authorized_user",
        "client_id": "genops-local",
        "client_secret": "genops-local",
        "refresh_token": "genops-local",
        "token": "local",
        "expiry": "9999-01-01T00:00:00Z",
    }
    write_private(path, json.dumps(content, indent=2).encode())
    return path
