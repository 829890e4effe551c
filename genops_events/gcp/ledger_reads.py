"""Read the month's ledger, the accounts that it does not hold any more, and the wishes that lie before it.

The ledger lies in several objects, whose turn it is one after the other (`paths.ledger_of_commit`): each commit takes the next one, and
the one with the highest number is the ledger. Whoever has seen that, and that the next object has not changed since, writes the
next commit there: nobody else can have written it before.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS
from genops_events.gcp.errors import google_call
from genops_events.gcp.record_store import Contended, RecordStore
from genops_events.gcp.streams import read_whole
from genops_events.money.group_commit import LedgerWish, Lying, still_counts
from genops_events.money.ledger import Ledger, LedgerDamaged, LedgerEntry, Posting, Purpose
from genops_events.money.ledger_form import unpacked
from genops_events.record import paths

if TYPE_CHECKING:
    from google.cloud.storage import Blob

_PROBLEMS_TOLD = 3
_MOST_READINGS = 10
"""Of one object after the other, each written every second at most."""
_MOST_DIGITS = 10
_UNREADABLE = 10_000_000_000
WISH, POSTING, DATASET, COMMIT = "wish", "posting", "dataset", "commit"
"""Keys of the metadata of wishes, of the documents of accounts, and of the ledger."""
_PURPOSE: TypeAdapter[Purpose] = TypeAdapter(Purpose)


@dataclass(frozen=True, slots=True)
class Version:
    """One of the ledger's objects, as a listing shows it."""

    path: str = ""
    """Empty where there is none yet."""
    generation: int = 0
    commit: int = 0
    """0 of one that an older version has written, too."""
    updated: datetime | None = field(default=None, compare=False)

    def __str__(self) -> str:
        """Return what no other version of a month's ledger has."""
        return f"{self.commit:09}-{self.generation}"


@dataclass(frozen=True, slots=True)
class LoadedLedger:
    """The ledger's object as it was read."""

    content: bytes = b""
    version: Version = Version()


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
    """What lies there at one moment: the ledger, the wishes before it, and whose turn it was to write it."""

    latest: Version = Version()
    versions: dict[str, Version] = field(default_factory=dict)
    """The ledger's objects, by path."""
    wishes: list[Lying] = field(default_factory=list)
    paths: dict[str, str] = field(default_factory=dict)
    """Where each wish lies, by its id."""
    turns: dict[str, datetime] = field(default_factory=dict)
    """When each turn began, by the path of its note."""


def load(store: RecordStore, month: str, *, known: LoadedLedger | None = None) -> LoadedLedger:
    """Return the ledger's object, unread; `known` as it is where nobody has written since.

    Raises:
        Contended: it was written anew between each listing and reading.
    """
    from google.api_core.exceptions import NotFound

    prefix = paths.ledger_prefix(month)
    fields = "items(name,generation,updated,metadata),nextPageToken"
    for _ in range(_MOST_READINGS):
        with google_call(f"list gs://{store.bucket.name}/{prefix}"):
            # Notes of turns and wishes come after it.
            end = paths.ledger_turns_prefix(month)
            blobs = store.bucket.list_blobs(prefix=prefix, end_offset=end, fields=fields, timeout=CALL_TIMEOUT_SECONDS)
            latest = _latest(_versions(month, blobs))
        if not latest.path:
            return LoadedLedger()
        if known is not None and known.version == latest:
            return known
        blob = store.bucket.blob(latest.path, generation=latest.generation)
        with google_call(f"read gs://{store.bucket.name}/{blob.name}"), suppress(NotFound):
            # Where it was written anew meanwhile, there is a later one.
            return LoadedLedger(read_whole(blob), latest)
    raise Contended(f"The ledger of {month} changes faster than it is read.", "The task is retried.")


def _versions(month: str, blobs: Iterable[Blob]) -> dict[str, Version]:
    every = paths.ledger_paths(month)
    return {
        blob.name: Version(blob.name, int(blob.generation), _commit_of(blob), blob.updated)
        for blob in blobs
        if blob.name in every
    }


def _commit_of(blob: Blob) -> int:
    """Return which commit lies there.

    The metadata does not say it where an older version has written it, or somebody by hand. What cannot be read counts as the last one:
    unreadable is never absent.
    """
    from google.api_core.exceptions import NotFound

    told = (blob.metadata or {}).get(COMMIT)
    if told is None:
        with google_call(f"read gs://{blob.bucket.name}/{blob.name}"):
            try:
                plain = json.loads(read_whole(blob))
            except NotFound:
                return 0
            except ValueError:
                return _UNREADABLE
        told = plain.get(COMMIT, 0) if isinstance(plain, dict) else ""
    text = str(told)
    return int(text) if text.isascii() and text.isdecimal() and len(text) < _MOST_DIGITS else _UNREADABLE


def _latest(versions: Mapping[str, Version]) -> Version:
    return max(versions.values(), key=lambda one: (one.commit, one.generation), default=Version())


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
    if not loaded.version.path:
        return Ledger(month=month)
    try:
        plain = json.loads(loaded.content)
        if isinstance(plain, dict):
            plain = unpacked(plain, only=only)
        ledger = Ledger.model_validate(plain)
    except ValidationError as error:
        found = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}".lstrip(": ") for one in error.errors()]
        raise damaged(store, month, "; ".join(found[:_PROBLEMS_TOLD]), loaded.version) from error
    except ValueError as error:
        raise damaged(store, month, str(error), loaded.version) from error
    if ledger.month != month:
        raise damaged(store, month, f"it says that it is the ledger of {ledger.month}", loaded.version)
    if ledger.commit != loaded.version.commit:
        why = f"it says that it is commit {ledger.commit}, and its metadata that it is {loaded.version.commit}"
        raise damaged(store, month, why, loaded.version)
    return ledger


def damaged(store: RecordStore, month: str, why: str, version: Version | None = None) -> LedgerDamaged:
    """Return the error that says that the ledger makes no sense, and why."""
    path = paths.ledger_path(month) if version is None else version.path
    return LedgerDamaged(
        f"The ledger gs://{store.bucket.name}/{path} makes no sense: {why}. Nothing was spent, and the "
        "ledger stays as it is.",
        "Fix it by hand, or restore the newest version of the object that was whole; "
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
    wishes, places, turns = [], {}, {}
    fields = "items(name,generation,updated,timeCreated,metadata),nextPageToken"
    with google_call(f"list gs://{store.bucket.name}/{prefix}"):
        blobs = list(store.bucket.list_blobs(prefix=prefix, fields=fields, timeout=CALL_TIMEOUT_SECONDS))
    versions = _versions(month, blobs)
    for blob in blobs:
        assert blob.time_created is not None
        if blob.name.startswith(wishes_prefix):
            id_ = blob.name.rpartition("/")[2]
            wishes.append(Lying(id_, blob.time_created, _wish(blob)))
            places[id_] = blob.name
        elif blob.name.startswith(turns_prefix):
            turns[blob.name] = blob.time_created
    return Listing(_latest(versions), versions, wishes, places, turns)


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
