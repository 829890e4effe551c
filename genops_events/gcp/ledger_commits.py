"""Have a wish taken in by the month's ledger, whose objects take one write a second each, from any number of processes at once.

A wish is an object of its own, written once. Whoever waits for one looks who writes the ledger next: the first to note its turn
does (`turns/<commit>-<generation>-<n>`, created once), and takes in all wishes that lie there; the others read the ledger until theirs is
answered. What is right does not hang on turns: the ledger is written by compare-and-set (`money/group_commit.py`). Turns only
keep hundreds of processes from doing the same work, and writes apart.
Cloud Storage takes one write a second to the same object name: https://cloud.google.com/storage/quotas, read 2026-11-30.

| dies or fails | what becomes of it |
|---|---|
| before the wish is written | nothing was wished |
| after that | the wish is taken in by the next who writes the ledger, or passed over once it is too old; a retry wishes again, and finds what is done |
| with its turn noted | after four seconds the next in turn begins |
| the write is refused (429), or another was faster | all wishes lie there still; the ledger is read again |
| the answer to the write is lost | the ledger is read again, and says who was taken in |
| taken in, before the account's document is written | the wish lies there, so that the posting stays in the ledger; who writes it a minute later writes the document, too |
| before the wish is removed | as above |

The store's clock alone is used, which the note of a turn tells.
"""

from __future__ import annotations

import random
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from genops_events.errors import GenopsError
from genops_events.gcp.at_once import at_once
from genops_events.gcp.errors import CloudUnavailable, google_call
from genops_events.gcp.ledger_reads import (
    COMMIT,
    DATASET,
    POSTING,
    WISH,
    Listing,
    LoadedLedger,
    Version,
    listed,
    load,
    parsed,
)
from genops_events.gcp.record_store import Contended, RecordStore
from genops_events.money.group_commit import LedgerWish, Lying, Standing, committed_group, still_counts, unwritten
from genops_events.money.ledger import Ledger, LedgerDamaged, Purpose
from genops_events.record import paths

if TYPE_CHECKING:
    from collections.abc import Callable

CALL_SECONDS = 20.0
"""Bound of one call that is made here."""
APART_SECONDS = 0.25
"""Writes of the ledger are so far apart by the store's clock: what is wished meanwhile is taken in together."""
SAME_APART_SECONDS = 1.05
"""Writes of one of its objects are so far apart."""
TURN_SECONDS = 4.0
"""Whoever has noted its turn and has not written the ledger by then may be dead: the next one begins."""
FIRST_LOOK_SECONDS = 0.25, 0.4
"""Whoever has to wait looks so long after its wish, at a moment of its own: most are answered by then."""
NEXT_LOOK_SECONDS = 0.15, 0.3
SLOW_LOOKS = 1.5
"""Where a look takes long, the store or the machine is busy: so many times longer is waited for the next, and for a turn."""
PATIENCE_SECONDS = 180.0
"""So long one wish is waited for; then the task is tried again."""
FORGOTTEN, YOUNG = timedelta(seconds=60), timedelta(seconds=2)
"""A wish whose writer has not removed it by then is removed by another; where it counts no more, as soon as that is not refused."""
TIDIED_AT_ONCE = 16
TIDYING_COMMITS = 4
"""Every so many commits, what was left is removed: once a second at most, so that no two do it at once."""
_LEFT: WeakKeyDictionary[RecordStore, list[tuple[str, float]]] = WeakKeyDictionary()
"""Wishes of this process that were answered and are not removed yet, and when they were written, by the monotonic clock."""
FOLDED_AT_ONCE = 100
"""Postings of an older version whose documents are written with one commit."""


class Answer(Enum):
    """What became of a wish."""

    GRANTED = "granted"
    REFUSED = "refused"
    TOO_OLD = "too old"
    """It was not taken in, and will never be: its writer looks again."""


@dataclass(frozen=True, slots=True)
class WriteTurn:
    """One turn of writing what follows a version of the ledger."""

    after: Version
    number: int
    told: datetime | None
    """What the store's clock showed; None where the turn is another's."""
    at: float
    """When that was known, by the monotonic clock."""

    def earliest(self, at: float) -> datetime:
        """Return what the store's clock shows at least at a moment of the monotonic clock."""
        assert self.told is not None
        return self.told + timedelta(seconds=at - self.at)


class Petition:
    """One wish on its way into the ledger.

    Args:
        store: the record.
        month: yyyy-mm.
        wish: what is wanted.
        seen: the ledger as its writer has read it.
    """

    def __init__(self, store: RecordStore, month: str, wish: LedgerWish, seen: LoadedLedger) -> None:
        self._store, self._month, self._wish, self._loaded = store, month, wish, seen
        self._id = secrets.token_urlsafe(9)
        self._path = paths.ledger_wish_path(month, wish.account, self._id)
        self._turn: WriteTurn | None = None
        self._wished_at = 0.0
        self._look_seconds = 0.0
        """How long the last look at the ledger took, or the writing of the wish: what a call takes at present."""

    def answer(self) -> tuple[Answer, Ledger]:
        """Return what became of the wish, and the ledger that says so, of other accounts its totals alone.

        Raises:
            LedgerDamaged: the ledger makes no sense, and stays as it is.
            Contended: it was not answered in time; it may be, later.
            CloudUnavailable: the store is away.
        """
        with suppress(GenopsError):
            self._remove_left()
        self._wished_at = time.monotonic()
        self._create(self._path, {WISH: self._wish.to_json()})
        self._look_seconds = time.monotonic() - self._wished_at
        until = time.monotonic() + PATIENCE_SECONDS
        pause = FIRST_LOOK_SECONDS
        while time.monotonic() < until:
            turn = self._take_turn()
            written = None if turn is None else self._commit(turn)
            if written is None:
                time.sleep(random.uniform(*pause) + random.uniform(0, SLOW_LOOKS) * self._look_seconds)  # noqa: S311
                written, pause = self._look(), NEXT_LOOK_SECONDS
            self._loaded = written
            ledger = parsed(self._store, self._month, self._loaded, only=self._wish.account)
            answer = self._found_in(ledger)
            if answer is not None:
                self._leave(answer, ledger)
                return answer, ledger
        raise Contended(
            f"The ledger of {self._month} did not take in within {PATIENCE_SECONDS:.0f} seconds what was wished for "
            f"{self._wish.account}.",
            "The task is retried.",
        )

    def _look(self) -> LoadedLedger:
        began = time.monotonic()
        try:
            return load(self._store, self._month, known=self._loaded)
        finally:
            self._look_seconds = time.monotonic() - began

    def _found_in(self, ledger: Ledger) -> Answer | None:
        if self._id in ledger.granted:
            return Answer.GRANTED
        if self._id in ledger.refused:
            return Answer.REFUSED
        return None if still_counts(ledger, self._wish) else Answer.TOO_OLD

    def _leave(self, answer: Answer, ledger: Ledger) -> None:
        """Write the account's document, then remove the wish; what cannot be done here is done by another, later."""
        with suppress(GenopsError):
            if answer is not Answer.REFUSED:  # one that is too old may have been granted
                _write_standing(self._store, self._month, ledger, self._wish)
            _LEFT.setdefault(self._store, []).append((self._path, self._wished_at))
            self._remove_left()

    def _remove_left(self) -> None:
        """Remove what this process has wished, and that was answered; what is too young is left for its next wish, or to another."""
        now, left = time.monotonic(), _LEFT.get(self._store, [])
        for one in [one for one in left if now - one[1] > SAME_APART_SECONDS]:
            with suppress(ValueError):  # of another thread
                left.remove(one)
            _remove(self._store, one[0])

    # ── whose turn it is ─────────────────────────────────────────────────────────────────────────────────────────────

    def _take_turn(self) -> WriteTurn | None:
        """Return the turn of writing what follows the ledger as it was read; None where another has it."""
        version, number, before = self._loaded.version, 0, self._turn
        if before is not None and before.after == version:
            if before.told is not None:
                return before
            if time.monotonic() - before.at < TURN_SECONDS + SLOW_LOOKS * self._look_seconds:
                return None
            number = before.number + 1
        told = self._create(paths.ledger_turn_path(self._month, str(version), number), {})
        self._turn = WriteTurn(version, number, told, time.monotonic())
        return None if told is None else self._turn

    def _create(self, name: str, metadata: dict[str, str]) -> datetime | None:
        """Write an object once; return when, by the store's clock, or None where it is there already."""
        from google.api_core.exceptions import PreconditionFailed

        blob = self._store.bucket.blob(name)
        blob.metadata = metadata
        with google_call(f"write gs://{self._store.bucket.name}/{name}"):
            try:
                blob.upload_from_string(b"", if_generation_match=0, timeout=CALL_SECONDS)
            except PreconditionFailed:
                return None
        made: datetime | None = blob.time_created
        assert made is not None
        return made

    # ── writing the ledger ───────────────────────────────────────────────────────────────────────────────────────────

    def _commit(self, turn: WriteTurn) -> LoadedLedger | None:
        """Take in all wishes that lie there; return the ledger as it was written, or None where it was not, by this one.

        Where it makes no sense, the turn is given back: everybody who waits is to know that at once.
        """
        try:
            return self._take_in(turn)
        except LedgerDamaged:
            with suppress(GenopsError):
                _remove(self._store, paths.ledger_turn_path(self._month, str(turn.after), turn.number))
            raise

    def _take_in(self, turn: WriteTurn) -> LoadedLedger | None:
        found = self._due(turn)
        if found is None:
            return None
        ledger = parsed(self._store, self._month, self._loaded)
        folds = self._write_older(ledger, series := ledger.series or secrets.token_hex(4))
        after = committed_group(ledger, found.wishes, series=series, written=folds)
        if after is None:
            return None
        written = self._write(after, found)
        if written is None:
            return None
        if after.commit % TIDYING_COMMITS == 0:
            self._tidy(found, ledger, after, now=turn.earliest(time.monotonic()))
        return written

    def _due(self, turn: WriteTurn) -> Listing | None:
        """Return what lies there once the ledger may be written; None where another has written it."""
        while True:
            found = listed(self._store, self._month)
            if found.latest != turn.after:
                return None
            next_ = found.versions.get(paths.ledger_of_commit(self._month, found.latest.commit + 1), Version())
            ends = ((found.latest, APART_SECONDS), (next_, SAME_APART_SECONDS))
            due = [one.updated + timedelta(seconds=seconds) for one, seconds in ends if one.updated is not None]
            wait = (max(due) - turn.earliest(time.monotonic())).total_seconds() if due else 0
            if wait <= 0:
                return found
            time.sleep(wait)

    def _write_older(self, ledger: Ledger, series: str) -> set[tuple[str, Purpose]]:
        """Write documents of what an older version has left in the ledger; return of what: the next commit goes on with the rest."""
        written: set[tuple[str, Purpose]] = set()

        def write(one: Standing) -> None:
            with suppress(CloudUnavailable):
                _write_posting(self._store, self._month, series, one)
                written.add((one.account, one.purpose))

        at_once(write, unwritten(ledger, most=FOLDED_AT_ONCE))
        return written

    def _write(self, after: Ledger, found: Listing) -> LoadedLedger | None:
        """Write the ledger; return it, or None where another was faster, or nobody knows: it is read again."""
        from google.api_core.exceptions import PreconditionFailed

        content, path = after.to_json(), paths.ledger_of_commit(self._month, after.commit)
        blob = self._store.bucket.blob(path)
        blob.metadata = {COMMIT: str(after.commit)}
        before = found.versions.get(path, Version())
        # Made once: what has become of it, the ledger itself says, also where it came too soon (429) or the answer is lost.
        try:
            with google_call(f"write gs://{self._store.bucket.name}/{path}"):
                try:
                    blob.upload_from_string(
                        content,
                        content_type="application/json",
                        if_generation_match=before.generation,
                        timeout=CALL_SECONDS,
                        retry=None,
                    )
                except PreconditionFailed:
                    return None
        except CloudUnavailable:
            return None
        return LoadedLedger(content, Version(path, int(blob.generation), after.commit, blob.updated))

    def _tidy(self, found: Listing, before: Ledger, after: Ledger, *, now: datetime) -> None:
        """Do for those who have died what they had left to do: documents, wishes that were answered, notes of turns."""
        store, month = self._store, self._month
        answered = {*before.granted, *before.refused}

        def is_forgotten(one: Lying) -> bool:
            if one.wish is None or one.id == self._id:
                return False
            counts = still_counts(before, one.wish)
            return one.created + (FORGOTTEN if counts else YOUNG) < now and (one.id in answered or not counts)

        forgotten = [one for one in found.wishes if is_forgotten(one)]

        def leave(one: Lying) -> None:
            assert one.wish is not None
            _write_standing(store, month, after, one.wish)
            _remove(store, found.paths[one.id])

        calls: list[Callable[[], None]] = [lambda one=one: leave(one) for one in forgotten[:TIDIED_AT_ONCE]]  # type: ignore[misc]
        turns = [name for name, begun in found.turns.items() if begun + FORGOTTEN / 2 < now]
        calls += [lambda name=name: _remove(store, name) for name in turns[:TIDIED_AT_ONCE]]  # type: ignore[misc]
        if calls:
            with suppress(GenopsError):
                at_once(lambda call: call(), calls)


def _write_standing(store: RecordStore, month: str, ledger: Ledger, wish: LedgerWish) -> None:
    """Write the document of the posting that a wish was about, as it stands in the ledger."""
    entry = ledger.entries.get(wish.account)
    posting = None if entry is None else entry.purposes.get(wish.purpose)
    if entry is not None and posting is not None and posting.commit:
        _write_posting(store, month, ledger.series, Standing(wish.account, entry.dataset, wish.purpose, posting))


def _write_posting(store: RecordStore, month: str, series: str, one: Standing) -> None:
    """Write a posting into its account's folder. Whoever does, writes the same: a commit leaves one posting behind."""
    name = paths.ledger_posting_path(month, series, one.account, one.posting.commit, one.purpose)
    blob = store.bucket.blob(name)
    posting = one.posting.model_dump_json(by_alias=True, exclude_defaults=True)
    blob.metadata = {DATASET: one.dataset, POSTING: posting}
    with google_call(f"write gs://{store.bucket.name}/{name}"):
        # Made once: refused since it was written just now (429), or lost, it is written again before the wish is removed.
        blob.upload_from_string(b"", timeout=CALL_SECONDS, retry=None)


def _remove(store: RecordStore, name: str) -> None:
    """Remove an object, which may be gone; a store that asks to wait (429) is left alone."""
    from google.api_core.exceptions import NotFound

    with google_call(f"remove gs://{store.bucket.name}/{name}"), suppress(NotFound):
        store.bucket.blob(name).delete(timeout=CALL_SECONDS, retry=None)
