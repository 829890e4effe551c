"""Names of topics, subscriptions and snapshots, and the paging of their lists."""

from __future__ import annotations

import re
from collections.abc import Iterable

from gcp_stand_ins.pubsub.errors import invalid

DELETED_TOPIC = "_deleted-topic_"
"""What a subscription says its topic is after the topic was deleted."""

_PROJECT = re.compile(r"projects/([^/]+)")
_NAME = re.compile(r"projects/([^/]+)/(topics|subscriptions|snapshots)/([A-Za-z][A-Za-z0-9\-_.~+%]{2,254})")
_PAGE = 1000


def checked_name(name: str, collection: str) -> str:
    """Return `name` if it can name a member of `collection` (`topics`, `subscriptions`, `snapshots`).

    Raises:
        ApiError: INVALID_ARGUMENT.
    """
    match = _NAME.fullmatch(name)
    if match is None or match[2] != collection or match[3].startswith("goog"):
        raise invalid(
            f"Invalid resource name given (name={name}). Expected projects/PROJECT/{collection}/ID, where ID has 3 to "
            "255 letters, digits and -_.~+%, starts with a letter and not with goog."
        )
    return name


def collection_of(name: str) -> str:
    """Return `topics`, `subscriptions` or `snapshots`: what `name` is one of.

    Raises:
        ApiError: INVALID_ARGUMENT.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise invalid(f"Invalid resource name given (name={name}). Expected projects/PROJECT/COLLECTION/ID.")
    return match[2]


def project_and_id(name: str) -> tuple[str, str]:
    """Return the project and the last part of a full name."""
    parts = name.split("/")
    return parts[1], parts[3]


def within(project: str, names: Iterable[str]) -> list[str]:
    """Return those of `names` that are in `project` (`projects/P`), sorted.

    Raises:
        ApiError: INVALID_ARGUMENT when it is no project.
    """
    if _PROJECT.fullmatch(project) is None:
        raise invalid(f"Invalid project name given (name={project}). Expected projects/PROJECT.")
    return sorted(name for name in names if name.startswith(f"{project}/"))


def page(names: list[str], page_size: int, page_token: str) -> tuple[list[str], str]:
    """Return one page of sorted `names` and the token of the next one, empty at the end.

    Raises:
        ApiError: INVALID_ARGUMENT for a negative size.
    """
    if page_size < 0:
        raise invalid(f"page_size is {page_size}; it must not be negative.")
    size = min(page_size or _PAGE, _PAGE)
    # The token is the last name that was seen, so that a page stays right while resources come and go.
    rest = [name for name in names if name > page_token]
    return rest[:size], rest[size - 1] if len(rest) > size else ""
