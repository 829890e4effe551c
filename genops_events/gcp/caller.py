"""Whose the credentials are: the identity that Google Cloud itself sees, as far as they tell it without a right of its own."""

from __future__ import annotations

import base64
import binascii
import json
import logging
from functools import partial
from typing import Any

_SECONDS = 5.0
_SCOPES = ("openid", "https://www.googleapis.com/auth/userinfo.email")


def credentials_email() -> str | None:
    """Return the e-mail address of the service account or user of the Application Default Credentials; None where unknown.

    Takes up to some seconds where the address has to be asked for: of a user who has logged in with gcloud, it stands in
    the answer to a refresh (OpenID Connect's id_token), and of a virtual machine in its metadata. Never raises: who does
    something is to be recorded, and not to be kept from it.
    """
    from google.auth.exceptions import GoogleAuthError

    try:
        credentials = _credentials()
        if (found := _email(credentials)) is None:
            _refresh(credentials)
            found = _email(credentials)
    except (GoogleAuthError, OSError, ValueError):
        return None
    return found


def _credentials() -> Any:
    import google.auth

    said = logging.getLogger("google.auth._default")
    level = said.level
    said.setLevel(logging.ERROR)  # that no project is known is of no interest here
    try:
        return google.auth.default(scopes=_SCOPES)[0]
    finally:
        said.setLevel(level)


def _email(credentials: Any) -> str | None:
    for name in ("service_account_email", "signer_email", "account"):
        value = getattr(credentials, name, None)
        if isinstance(value, str) and "@" in value:  # a virtual machine's account is `default` until it was asked for
            return value
    return _of_id_token(getattr(credentials, "id_token", None))


def _refresh(credentials: Any) -> None:
    from google.auth.transport.requests import Request

    credentials.refresh(partial(Request(), timeout=_SECONDS))


def _of_id_token(token: object) -> str | None:
    """Return the address in an id_token; nobody has to verify it, since Google's own answer over TLS has brought it."""
    if not isinstance(token, str):
        return None
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        email = claims["email"]
    except (IndexError, KeyError, TypeError, ValueError, binascii.Error):
        return None
    return email if isinstance(email, str) else None
