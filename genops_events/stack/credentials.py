"""Secrets of a local stack: made once, kept in its home, readable for its owner only."""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from genops_events.stack.state import write_private

AIRFLOW_USER = "admin"


@dataclass(frozen=True, slots=True)
class Secrets:
    """What the components of one stack prove themselves to each other with."""

    postgres_password: str
    jwt_secret: str
    fernet_key: str
    api_secret_key: str
    airflow_password: str
    """Of `AIRFLOW_USER`, who may do everything in this Airflow."""


def secrets_of(home: Path) -> Secrets:
    """Return the secrets of this home, made on the first call and the same ever after."""
    path = home / "secrets" / "secrets.json"
    kept = json.loads(path.read_text()) if path.exists() else {}
    made = Secrets(
        **{
            "postgres_password": secrets.token_urlsafe(32),
            "jwt_secret": secrets.token_urlsafe(64),
            "fernet_key": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "api_secret_key": secrets.token_urlsafe(32),
            "airflow_password": secrets.token_urlsafe(16),
            **kept,
        }
    )
    if len(kept) < len(fields(Secrets)):  # an earlier version made fewer
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, json.dumps(asdict(made)).encode())
    return made


def airflow_passwords_file(home: Path) -> Path:
    """Return where Airflow's simple auth manager finds the passwords of its users; it wants to be able to write it."""
    return home / "secrets" / "airflow_passwords.json"


def write_airflow_password(home: Path) -> None:
    """Give Airflow's one user the password of this home."""
    write_private(airflow_passwords_file(home), json.dumps({AIRFLOW_USER: secrets_of(home).airflow_password}).encode())


def credentials_file(home: Path) -> Path:
    """Return where the Application Default Credentials of this home are."""
    return home / "secrets" / "application_default_credentials.json"


def write_credentials(home: Path) -> Path:
    """Make Application Default Credentials work against the stand-ins; return their file.

    They are a user's, with a token that is good for ever: Google's libraries then ask nobody for a token, nor where
    a service account may be used, which they would ask Google itself. They open nothing at Google. What is
    done with them is recorded as done by their account, which is nobody's address.
    """
    path = credentials_file(home)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    content = {
        "type": "authorized_user",
        "client_id": "genops-local",
        "client_secret": "genops-local",
        "refresh_token": "genops-local",
        "token": "local",
        "account": "operator@genops.local",
        "expiry": "9999-01-01T00:00:00Z",
    }
    write_private(path, json.dumps(content, indent=2).encode())
    return path
