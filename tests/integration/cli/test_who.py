"""Who is recorded: the identity of the credentials, whatever the environment claims."""

from __future__ import annotations

import base64
import getpass
import json
import os
import pwd
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from genops_events.cli.caller import Caller, me
from genops_events.stack.credentials import write_credentials

HOST = socket.gethostname()
SYSTEM = f"{pwd.getpwuid(os.getuid()).pw_name}@{HOST}"


@pytest.fixture
def credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make these the Application Default Credentials."""
    file = tmp_path / "credentials.json"
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    return lambda **content: file.write_text(json.dumps(content))


@pytest.fixture(autouse=True)
def boss(monkeypatch: pytest.MonkeyPatch) -> None:
    """What anybody can put into the environment."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "ceo")


@pytest.fixture
def token_server() -> Iterator[str]:
    """Google's token endpoint, which answers a refresh with an id_token."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            claims = base64.urlsafe_b64encode(json.dumps({"email": "ada@example.com"}).encode()).decode().rstrip("=")
            body = {"access_token": "a", "expires_in": 3600, "id_token": f"e30.{claims}.c2ln"}
            content = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/token"
        server.shutdown()
        thread.join()


def user(**more: str) -> dict[str, str]:
    return {"type": "authorized_user", "client_id": "i", "client_secret": "s", "refresh_token": "r", **more}


def test_a_service_account_is_recorded_by_its_address_and_the_claim_beside_it(credentials: Any) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    credentials(
        type="service_account",
        client_email="deploy@project.iam.gserviceaccount.com",
        private_key=pem,
        private_key_id="1",
        token_uri="http://127.0.0.1:9/token",
    )
    assert me() == Caller(by="deploy@project.iam.gserviceaccount.com", claimed=f"ceo@{HOST}")
    assert str(me()) == f"deploy@project.iam.gserviceaccount.com (claimed: ceo@{HOST})"


def test_a_user_is_recorded_by_the_address_that_a_refresh_tells(credentials: Any, token_server: str) -> None:
    credentials(**user(token_uri=token_server, account=""))
    # google-auth takes the endpoint of user credentials from its own constant, so the file cannot name another.
    from google.oauth2 import credentials as google_credentials

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(google_credentials, "_GOOGLE_OAUTH2_TOKEN_ENDPOINT", token_server)
        assert me() == Caller(by="ada@example.com", claimed=f"ceo@{HOST}")


def test_the_account_of_the_local_stack_is_recorded_without_asking_anybody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(write_credentials(tmp_path)))
    assert me().by == "operator@genops.local"


def test_where_the_credentials_tell_nothing_it_is_the_user_that_the_system_knows(credentials: Any) -> None:
    credentials(**user(token="t", expiry="9999-01-01T00:00:00Z"))
    with pytest.MonkeyPatch.context() as patch:
        from google.oauth2 import credentials as google_credentials

        patch.setattr(google_credentials, "_GOOGLE_OAUTH2_TOKEN_ENDPOINT", "http://127.0.0.1:9/token")
        assert getpass.getuser() == "ceo"
        assert me() == Caller(by=SYSTEM, claimed=f"ceo@{HOST}")


def test_without_credentials_it_is_the_user_that_the_system_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "nothing.json"))
    assert me().by == SYSTEM


def test_a_claim_that_a_terminal_would_obey_is_escaped_and_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(write_credentials(tmp_path)))
    monkeypatch.setenv("LOGNAME", "\x1b[2J" + "x" * 1000)
    claimed = me().claimed
    assert claimed.startswith("\\x1b[2Jxxx")
    assert len(claimed) == 200
