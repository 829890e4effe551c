"""Read the month's ledger, the accounts that it does not hold any more, and the wishes that lie before it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS
from genops_events.gcp.errors import google_call
from genops_events.gcp.streams import read_whole
from genops_events.money.group_commit import LedgerWish, Lying, still_counts
from genops_events.money.ledger import Ledger, LedgerDamaged, LedgerEntry, Posting, Purpose
from genops_events.money.ledger_form import unpacked
from genops_events.record import paths

if TYPE_CHECKING:
    from google.cloud.storage import Blob

    from genops_events.gcp.record_store import RecordStore

_PROBLEMS_TOLD = 3
WISH, POSTING, DATASET = "wish", "posting", "dataset"
"""Keys of the metadata of wishes, and of the documents of accounts."""
_PURPOSE: TypeAdapter[Purpose] = TypeAdapter(Purpose)


@dataclass(frozen=True, slots=True)
class LoadedLedger:
    """The ledger's object as it was read."""

    content: bytes = b""
    generation: int = 0
    """0 where there is none yet."""


@dataclass(frozen=True, slots=True)
class Look:
    """One account at one commit of the ledger."""

    loaded: LoadedLedger
    ledger: Ledger
    """Totals of all, and of the accounts this one alone, as far as it stands in the ledger."""
    entry: LedgerEntry | None
    """The whole account, whether it stands in the ledger or in its folder; None where nothing was ever posted to it."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What lies there at one moment: the ledger's generation, the wishes before it, and whose turn it was to write it."""

    generation: int = 0
    updated: datetime | None = None
    wishes: list[Lying] = field(default_factory=list)
    paths: dict[str, str] = field(default_factory=dict)
    """Where each wish lies, by its id."""
    turns: dict[str, datetime] = field(default_factory=dict)
    """When each turn began, by the path of its note."""


def load(store: RecordStore, month: str) -> LoadedLedger:
    """Return the ledger's object, unread."""
    from google.api_core.exceptions import NotFound

    blob = store.bucket.blob(paths.ledger_path(month))
    with google_call(f"read gs://{store.bucket.name}/{blob.name}"):
        try:
            content = read_whole(blob)
        except NotFound:
            return LoadedLedger()
    return LoadedLedger(content, int(blob.generation))


def parsed(store: RecordStore, month: str, loaded: LoadedLedger, *, only: str | None = None) -> Ledger:
    """Return the ledger that was loaded, an empty one where there is none.

    Args:
        store: the record.
        month: yyyy-mm.
        loaded: its object.
        only: the one account of it that is looked at: in a burst, hundreds stand there.

    Raises:
        LedgerDamaged: it makes no sense.
    """
    if not loaded.generation:
        return Ledger(month=month)
    try:
        plain = json.loads(loaded.content)
        if isinstance(plain, dict):
            plain = unpacked(plain, only=only)
        ledger = Ledger.model_validate(plain)
    except ValidationError as error:
        found = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}".lstrip(": ") for one in error.errors()]
        raise damaged(store, month, "; ".join(found[:_PROBLEMS_TOLD])) from error
    except ValueError as error:
        raise damaged(store, month, str(error)) from error
    if ledger.month != month:
        raise damaged(store, month, f"it says that it is the ledger of {ledger.month}")
    return ledger


def damaged(store: RecordStore, month: str, why: str) -> LedgerDamaged:
    """Return the error that says that the ledger makes no sense, and why."""
    return LedgerDamaged(
        f"The ledger gs://{store.bucket.name}/{paths.ledger_path(month)} makes no sense: {why}. Nothing was spent, and the "
        "ledger stays as it is.",
        "Mend it by hand, or restore the newest version of the object that was whole; "
        f"`genops spend --month {month}` says when it can be read. What waits for it is tried again for an hour.",
    )


def look(store: RecordStore, month: str, account: str, *, loaded: LoadedLedger | None = None) -> Look:
    """Return one account as of one commit of the ledger.

    The ledger first: what has left it by then lies in the account's folder.

    Raises:
        LedgerDamaged: the ledger makes no sense.
    """
    loaded = load(store, month) if loaded is None else loaded
    ledger = parsed(store, month, loaded, only=account)
    standing = ledger.entries.get(account)
    folder = None
    if ledger.series:
        prefix = paths.ledger_account_prefix(month, ledger.series, account)
        folder = accounts(store, month, ledger, prefix=prefix, one=account).get(account)
    if folder is None or standing is None:
        return Look(loaded, ledger, standing or folder)
    whole = standing.model_copy(update={"purposes": {**folder.purposes, **standing.purposes}})
    return Look(loaded, ledger, whole)


def accounts(
    store: RecordStore, month: str, ledger: Ledger, *, prefix: str, one: str | None = None
) -> dict[str, LedgerEntry]:
    """Return accounts as their folders have them, by name, each posting as it was last before that commit of the ledger.

    Args:
        store: the record.
        month: yyyy-mm.
        ledger: says which series, and up to which commit.
        prefix: of their objects.
        one: the one account that is wanted; folders below its own are of others.

    Raises:
        LedgerDamaged: a document makes no sense.
    """
    root = paths.ledger_accounts_prefix(month, ledger.series)
    latest: dict[tuple[str, Purpose], tuple[int, LedgerEntry]] = {}
    with google_call(f"list gs://{store.bucket.name}/{prefix}"):
        for blob in store.bucket.list_blobs(
            prefix=prefix,
            delimiter=None if one is None else "/",
            fields="items(name,metadata),prefixes,nextPageToken",
            timeout=CALL_TIMEOUT_SECONDS,
        ):
            account, _, name = blob.name.removeprefix(root).rpartition("/")
            number, _, word = name.partition("-")
            if not number.isdecimal() or int(number) > ledger.commit:
                continue
            try:
                purpose = _PURPOSE.validate_python(word)
                told = blob.metadata or {}
                posting = Posting.model_validate_json(told[POSTING])
                entry = LedgerEntry(dataset=told[DATASET], purposes={purpose: posting})
            except (KeyError, ValidationError) as error:
                raise damaged(store, month, f"its part {blob.name} cannot be read ({error})") from error
            if latest.get((account, purpose), (-1,))[0] < int(number):
                latest[account, purpose] = int(number), entry
    found: dict[str, LedgerEntry] = {}
    for (account, _), (_, entry) in latest.items():
        before = found.get(account)
        purposes = entry.purposes if before is None else {**before.purposes, **entry.purposes}
        found[account] = entry.model_copy(update={"purposes": purposes})
    return found


def listed(store: RecordStore, month: str) -> Listing:
    """Return what lies there at this moment."""
    prefix = paths.ledger_prefix(month)
    wishes_prefix, turns_prefix = paths.ledger_wishes_prefix(month), paths.ledger_turns_prefix(month)
    generation, updated = 0, None
    wishes, places, turns = [], {}, {}
    fields = "items(name,generation,updated,timeCreated,metadata),nextPageToken"
    with google_call(f"list gs://{store.bucket.name}/{prefix}"):
        for blob in store.bucket.list_blobs(prefix=prefix, fields=fields, timeout=CALL_TIMEOUT_SECONDS):
            assert blob.time_created is not None
            if blob.name == paths.ledger_path(month):
                generation, updated = int(blob.generation), blob.updated
            elif blob.name.startswith(wishes_prefix):
                id_ = blob.name.rpartition("/")[2]
                wishes.append(Lying(id_, blob.time_created, _wish(blob)))
                places[id_] = blob.name
            elif blob.name.startswith(turns_prefix):
                turns[blob.name] = blob.time_created
    return Listing(generation, updated, wishes, places, turns)


def pending(store: RecordStore, month: str, ledger: Ledger, account: str | None = None) -> list[Lying]:
    """Return the wishes that may yet be taken in: those of one account, or of all, unread."""
    every = paths.ledger_wishes_prefix(month)
    prefix = every if account is None else paths.ledger_account_wishes_prefix(month, account)
    fields = f"items(name,timeCreated{'' if account is None else ',metadata'}),nextPageToken"
    with google_call(f"list gs://{store.bucket.name}/{prefix}"):
        blobs: Iterable[Any] = store.bucket.list_blobs(prefix=prefix, fields=fields, timeout=CALL_TIMEOUT_SECONDS)
        found = [Lying(one.name.rpartition("/")[2], one.time_created, _wish(one)) for one in blobs]
    answered = {*ledger.granted, *ledger.refused}
    waiting = [one for one in found if one.id not in answered]
    if account is None:
        return waiting
    return [one for one in waiting if one.wish and one.wish.account == account and still_counts(ledger, one.wish)]


def _wish(blob: Blob) -> LedgerWish | None:
    try:
        return LedgerWish.model_validate_json((blob.metadata or {})[WISH])
    except (KeyError, ValidationError):
        return None
