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


def key_file(home: Path) -> Path:
    """Return where the local service-account key of this home is."""
    return home / "secrets" / "service-account.json"


def write_service_account_key(home: Path, *, project: str, token_uri: str) -> Path:
    """Make Application Default Credentials work against the stand-ins; return the key file.

    The key is a real RSA key of a service account that exists nowhere: Google's clients sign with it,
    and the Vertex stand-in answers at `token_uri`. It opens nothing at Google.
    """
    path = key_file(home)
    known = json.loads(path.read_text()) if path.exists() else {}
    name = f"genops-local@{project}.iam.gserviceaccount.com"
    wanted = {
        "type": "service_account",
        "project_id": project,
        "private_key_id": "local",
        "private_key": known.get("private_key") or _private_key(),
        "client_email": name,
        "client_id": "0",
        "token_uri": token_uri,
        "universe_domain": "googleapis.com",
    }
    if wanted != known:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, json.dumps(wanted, indent=2).encode())
    return path


def _private_key() -> str:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
