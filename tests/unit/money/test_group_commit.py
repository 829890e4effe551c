"""Group commit without a bucket: whoever writes, dies and comes late in whatever order, the ledger is what one hand would have kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from genops_events.money import group_commit
from genops_events.money.group_commit import (
    KEPT_COMMITS,
    LedgerWish,
    Lying,
    committed_group,
    outcome,
    still_counts,
    unwritten,
)
from genops_events.money.ledger import Ledger, LedgerDamaged, LedgerEntry, Posting, Purpose, Refusal, committed, reserve

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
ACCOUNTS = ("a-1", "a-2", "b-1")
PURPOSES: tuple[Purpose, ...] = ("tuning", "inference")
DATASET_LIMIT, CANDIDATE_LIMIT, PROJECT_LIMIT = Decimal(7), Decimal(5), Decimal(9)


@contextmanager
def kept_commits(number: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(group_commit, "KEPT_COMMITS", number)
        yield


@dataclass
class Bucket:
    """What lies in the bucket."""

    ledger: Ledger | None = None
    generation: int = 0
    wishes: dict[str, Lying] = field(default_factory=dict)
    documents: dict[tuple[str, str, Purpose, int], tuple[str, Posting]] = field(default_factory=dict)
    clock: datetime = NOW

    def write(self, ledger: Ledger, generation: int) -> bool:
        """Write the ledger if it is still of this generation."""
        if generation != self.generation:
            return False
        self.ledger, self.generation = Ledger.model_validate_json(ledger.to_json()), generation + 1
        return True

    def look(self, account: str) -> tuple[Ledger, LedgerEntry | None]:
        """Return the ledger, and one account as of its commit."""
        ledger = self.ledger or Ledger(month="2026-03")
        purposes: dict[Purpose, Posting] = {}
        dataset = ""
        for (series, whose, purpose, commit), (named, posting) in sorted(
            self.documents.items(), key=lambda one: one[0][3]
        ):
            if (series, whose) == (ledger.series, account) and commit <= ledger.commit:
                dataset, purposes[purpose] = named, posting
        if (standing := ledger.entries.get(account)) is not None:
            dataset, purposes = standing.dataset, {**purposes, **standing.purposes}
        return ledger, LedgerEntry(dataset=dataset, purposes=purposes) if purposes else None

    def write_document(self, wish: LedgerWish) -> None:
        """Write the document of what a wish was about, as it stands."""
        assert self.ledger is not None
        entry = self.ledger.entries.get(wish.account)
        posting = None if entry is None else entry.purposes.get(wish.purpose)
        if entry is not None and posting is not None and posting.commit:
            key = (self.ledger.series, wish.account, wish.purpose, posting.commit)
            self.documents[key] = entry.dataset, posting


@dataclass(frozen=True)
class Process:
    """Somebody who has looked, and may have wished."""

    wish: LedgerWish
    id: str = ""
    has_written: bool = False


@dataclass(frozen=True)
class Snapshot:
    """What somebody who writes the ledger has seen."""

    ledger: Ledger
    generation: int
    lying: tuple[Lying, ...]


def old_ledger() -> Ledger:
    text = (
        '{"schema": "genops.ledger.v1", "month": "2026-03", "entries": {"a-1": {"dataset": "a", "purposes": {"tuning": '
        '{"reserved_usd": "2", "reserved_at": "2026-03-01T00:00:00Z"}, "inference": {"spent_usd": "1", "settled": true}}}}}'
    )
    return Ledger.model_validate_json(text)


class ManyWriters(RuleBasedStateMachine):
    """Any number of processes, each of which may stop for good after any step."""

    processes = Bundle("processes")
    snapshots = Bundle("snapshots")

    def __init__(self) -> None:
        super().__init__()
        self.bucket = Bucket()
        self.by_one_hand = Ledger(month="2026-03")
        """The same wishes, taken in one after the other by a ledger that forgets nobody."""
        self.taken: set[str] = set()
        self.number = 0
        self.patched = kept_commits(2)
        self.patched.__enter__()

    def teardown(self) -> None:
        self.patched.__exit__(None, None, None)

    @rule()
    def begins_with_an_old_ledger(self) -> None:
        if self.bucket.generation == 0:
            self.bucket.ledger, self.bucket.generation = old_ledger(), 1
            self.by_one_hand = old_ledger()

    @rule(
        target=processes,
        account=st.sampled_from(ACCOUNTS),
        purpose=st.sampled_from(PURPOSES),
        usd=st.sampled_from([1, 2, 3]),
        kind=st.sampled_from(["reserve", "reserve", "settle"]),
        again=st.booleans(),
        approved=st.booleans(),
    )
    def looks(self, account: str, purpose: Purpose, usd: int, kind: str, again: bool, approved: bool) -> Process:  # noqa: FBT001, PLR0917
        ledger, entry = self.bucket.look(account)
        if kind == "settle":
            if entry is None or purpose not in entry.purposes:
                return multiple()  # type: ignore[return-value]
            usd = 1
        wish = LedgerWish(
            kind=kind,  # type: ignore[arg-type]
            account=account,
            dataset=account[0],
            purpose=purpose,
            amount=Decimal(usd),
            at=NOW,
            limit=DATASET_LIMIT,
            candidate_limit=CANDIDATE_LIMIT,
            project_limit=PROJECT_LIMIT,
            again=again,
            series=ledger.series,
            seen=ledger.commit,
            known={} if entry is None else entry.purposes,
        )
        return Process(wish)

    @rule(target=processes, process=consumes(processes))
    def wishes(self, process: Process) -> Process:
        if process.id:
            return process
        self.number += 1
        self.bucket.clock += timedelta(seconds=1)
        wished = replace(process, id=f"wish-{self.number}")
        read_again = LedgerWish.model_validate_json(process.wish.to_json())
        assert read_again == process.wish
        self.bucket.wishes[wished.id] = Lying(wished.id, self.bucket.clock, read_again)
        return wished

    @rule(target=snapshots)
    def lists(self) -> Snapshot:
        ledger = self.bucket.ledger or Ledger(month="2026-03")
        return Snapshot(ledger, self.bucket.generation, tuple(self.bucket.wishes.values()))

    @rule(snapshot=consumes(snapshots))
    def writes(self, snapshot: Snapshot) -> None:
        series = snapshot.ledger.series or f"{self.number + 1:x}"
        older = unwritten(snapshot.ledger, most=1)
        for one in older:
            self.bucket.documents[series, one.account, one.purpose, 0] = one.dataset, one.posting
        after = committed_group(
            snapshot.ledger, snapshot.lying, series=series, written={(one.account, one.purpose) for one in older}
        )
        if after is None or not self.bucket.write(after, snapshot.generation):
            return
        assert self.bucket.ledger == after
        for id_ in [one for one in (*after.granted, *after.refused) if one not in self.taken]:
            self.taken.add(id_)
            wish = self.bucket.wishes[id_].wish
            assert wish is not None
            alone = wish.model_copy(update={"known": {}})
            result = outcome(self.by_one_hand, alone)
            assert isinstance(result, Refusal) == (id_ in after.refused)
            if isinstance(result, Ledger):
                self.by_one_hand = result

    @rule(snapshot=snapshots)
    def lists_and_writes_at_once(self, snapshot: Snapshot) -> None:
        self.writes(self.lists())

    @rule(target=processes, process=consumes(processes))
    def writes_its_document(self, process: Process) -> Process:
        if self.bucket.ledger is None or process.id not in self.bucket.ledger.granted:
            return process
        self.bucket.write_document(process.wish)
        return replace(process, has_written=True)

    @rule(process=consumes(processes))
    def removes_its_wish(self, process: Process) -> None:
        if process.has_written or (self.bucket.ledger is not None and process.id in self.bucket.ledger.refused):
            self.bucket.wishes.pop(process.id, None)

    @rule(process=consumes(processes))
    def dies(self, process: Process) -> None:
        pass

    @rule()
    def tidies(self) -> None:
        ledger = self.bucket.ledger
        for id_, lying in list(self.bucket.wishes.items()):
            assert lying.wish is not None
            if ledger is not None and (
                id_ in {*ledger.granted, *ledger.refused} or not still_counts(ledger, lying.wish)
            ):
                self.bucket.write_document(lying.wish)
                del self.bucket.wishes[id_]

    @invariant()
    def totals_are_those_of_one_hand(self) -> None:
        ledger = self.bucket.ledger or Ledger(month="2026-03")
        assert ledger.totals == self.by_one_hand.totals

    @invariant()
    def every_account_is_what_one_hand_has(self) -> None:
        for account in ACCOUNTS:
            _, entry = self.bucket.look(account)
            expected = self.by_one_hand.entries.get(account)
            assert _figures(entry) == _figures(expected)

    @invariant()
    def no_limit_is_passed(self) -> None:
        ledger = self.bucket.ledger or Ledger(month="2026-03")
        assert committed(ledger) <= PROJECT_LIMIT
        for dataset in ("a", "b"):
            assert committed(ledger, dataset) <= DATASET_LIMIT
        for account in ACCOUNTS:
            _, entry = self.bucket.look(account)
            assert entry is None or entry.reserved_usd + entry.spent_usd <= CANDIDATE_LIMIT


def _figures(entry: LedgerEntry | None) -> dict[str, Posting]:
    if entry is None:
        return {}
    return {purpose: posting.model_copy(update={"commit": 0}) for purpose, posting in entry.purposes.items()}


TestManyWriters = ManyWriters.TestCase
TestManyWriters.settings = settings(deadline=None, stateful_step_count=60, max_examples=150)


# By example


def wish(account: str = "a-1", usd: str = "1", *, ledger: Ledger | None = None, **more: object) -> LedgerWish:
    seen = {} if ledger is None else {"series": ledger.series, "seen": ledger.commit}
    given = {"kind": "reserve", "purpose": "tuning", "limit": Decimal(10**6), **seen, **more}
    return LedgerWish(account=account, dataset="a", amount=Decimal(usd), at=NOW, **given)  # type: ignore[arg-type]


def lying(*wishes: LedgerWish | None, first: int = 0) -> list[Lying]:
    return [Lying(f"wish-{first + n:06}", NOW + timedelta(seconds=n), one) for n, one in enumerate(wishes)]


def group(ledger: Ledger, there: list[Lying]) -> Ledger:
    after = committed_group(ledger, there, series="5e1e5")
    assert after is not None
    return Ledger.model_validate_json(after.to_json())


EMPTY = Ledger(month="2026-03")


def test_all_that_lies_there_is_taken_in_with_one_write_and_each_finds_its_answer() -> None:
    there = lying(*(wish(f"a-{number}", limit=Decimal(3)) for number in range(5)))
    after = group(EMPTY, there)
    assert (after.granted, after.refused) == (
        ("wish-000000", "wish-000001", "wish-000002"),
        ("wish-000003", "wish-000004"),
    )
    assert (committed(after), after.commit, after.series) == (3, 1, "5e1e5")
    assert committed_group(after, there, series="") is None, "nothing is left to do"


def test_five_hundred_at_once_are_taken_in_by_one_write_and_the_ledger_stays_below_64_kib() -> None:
    names = [f"support-tickets-{number:016x}" for number in range(500)]
    there = lying(*(wish(name, "123.45") for name in names))
    after = group(EMPTY, there)
    assert len(after.granted) == 500
    assert len(after.to_json()) < 64 * 1024
    settled = lying(*(wish(name, "120.5", ledger=after, kind="settle") for name in names), first=1000)
    after = group(after, settled)
    assert len(after.granted) == 500
    assert len(after.to_json()) < 64 * 1024


def test_more_than_has_room_waits_for_the_next_writes_and_the_ledger_stays_below_64_kib() -> None:
    names = [f"a-dataset-of-some-length-{number:016x}" for number in range(2000)]
    ledger, waiting, writes = EMPTY, dict(enumerate(names)), 0
    while waiting:
        there = lying(*(wish(name, ledger=ledger) for name in waiting.values()), first=10_000 * writes)
        by_id = dict(zip([one.id for one in there], list(waiting), strict=True))
        ledger, writes = group(ledger, there), writes + 1
        assert len(ledger.to_json()) < 64 * 1024
        for id_ in ledger.granted:
            del waiting[by_id[id_]]
        assert writes < 100
    assert committed(ledger) == 2000


def test_what_has_not_changed_for_a_while_leaves_the_ledger_and_its_totals_stay() -> None:
    first = lying(wish("a-1", "5"))
    ledger = group(EMPTY, first)
    for number in range(KEPT_COMMITS):
        assert "a-1" in ledger.entries
        ledger = group(ledger, lying(wish(f"a-{number + 2}", ledger=ledger), first=number + 1))
    assert "a-1" not in ledger.entries
    assert committed(ledger) == 5 + KEPT_COMMITS


def test_what_is_wished_stays_in_the_ledger_until_its_writer_has_written_the_document_down() -> None:
    first = lying(wish("a-1", "5"))
    ledger = group(EMPTY, first)
    for number in range(2 * KEPT_COMMITS):
        ledger = group(ledger, [*first, *lying(wish(f"a-{number + 2}", ledger=ledger), first=number + 1)])
    assert "a-1" in ledger.entries
    assert committed(ledger) == 5 + 2 * KEPT_COMMITS, "taken in once"
    assert "wish-000000" not in ledger.granted, "it counts no more: nobody takes it in again"


def test_a_posting_that_has_left_the_ledger_is_brought_along_and_counts_once() -> None:
    posting = Posting(reserved_usd=Decimal(5), estimated_usd=Decimal(5), reserved_at=NOW, commit=1)
    ledger = EMPTY.model_copy(
        update={
            "commit": 20,
            "series": "5e1e5",
            "totals": Ledger(
                month="2026-03", entries={"a-1": LedgerEntry(dataset="a", purposes={"tuning": posting})}
            ).totals,
        }
    )
    more = wish(usd="6", ledger=ledger, known={"tuning": posting}, purpose="inference", candidate_limit=Decimal(11))
    after = group(ledger, lying(more))
    assert committed(after) == 11
    assert set(after.entries["a-1"].purposes) == {"inference"}, "what did not change stays in its folder"
    settled = wish(usd="4", ledger=after, known={"tuning": posting}, kind="settle")
    assert committed(group(after, lying(settled, first=1))) == 10
    over = more.model_copy(update={"amount": Decimal("6.01")})
    assert group(ledger, lying(over)).refused == ("wish-000000",)


def test_a_wish_that_is_too_old_is_passed_over_and_one_of_another_ledger_too() -> None:
    ledger = EMPTY.model_copy(update={"commit": 50, "series": "5e1e5"})
    oldest = ledger.commit + 1 - KEPT_COMMITS
    assert still_counts(ledger, wish(series="5e1e5", seen=oldest))
    assert not still_counts(ledger, wish(series="5e1e5", seen=oldest - 1))
    assert not still_counts(ledger, wish(series="5e1e5", seen=51)), "of a ledger that was put back since"
    assert not still_counts(ledger, wish(series="0", seen=50))
    assert still_counts(EMPTY.model_copy(update={"commit": 1, "series": "5"}), wish()), "there was none when it looked"
    assert committed_group(ledger, lying(wish(series="0", seen=50)), series="") is None


def test_a_wish_that_contradicts_the_ledger_is_left_alone_and_keeps_nobody_out() -> None:
    posting = Posting(reserved_usd=Decimal(5), estimated_usd=Decimal(5), reserved_at=NOW, commit=1)
    wrong = wish(kind="settle", known={"tuning": posting})
    with pytest.raises(LedgerDamaged, match="more than the total"):
        outcome(EMPTY, wrong)
    other_month = wish("a-3").model_copy(update={"at": NOW + timedelta(days=30)})
    after = group(EMPTY, lying(wrong, other_month, None, wish("a-2")))
    assert (after.granted, after.refused) == (("wish-000003",), ())


def test_who_was_taken_in_by_a_newer_version_keeps_everything_in_the_ledger() -> None:
    ledger = group(EMPTY, lying(wish()))
    ledger = ledger.model_copy(update={"granted": ("theirs",), "commit": 20})
    theirs = [Lying("theirs", NOW, None)]
    after = committed_group(ledger, [*theirs, *lying(wish("a-2", ledger=ledger), first=5)], series="")
    assert after is not None
    assert "a-1" in after.entries


def test_a_ledger_of_an_older_version_is_folded_bit_by_bit_and_its_totals_stay() -> None:
    old = old_ledger()
    assert (committed(old), old.commit, old.series) == (3, 0, "")
    old = old.model_copy(update={"commit": KEPT_COMMITS, "series": "5e1e5"})
    (one,) = unwritten(old, most=1)
    there = lying(wish("a-2", ledger=old))
    after = committed_group(old, there, series="", written={(one.account, one.purpose)})
    assert after is not None
    assert set(after.entries["a-1"].purposes) == {"inference"}
    assert committed(after) == 4
    assert len(unwritten(after, most=10)) == 1


def test_what_an_older_version_writes_after_a_newer_one_has_looked_counts() -> None:
    nothing_was_there = wish("a-1", "4", limit=Decimal(7))
    assert unwritten(old_ledger(), most=1) == []
    first = committed_group(old_ledger(), lying(wish("a-2")), series="5e1e5", written={("a-1", "tuning")})
    assert first is not None
    after = group(first, lying(nothing_was_there, first=1))
    assert (after.granted, committed(after)) == (("wish-000001",), 6), "the two that were held back are raised to four"


def test_ten_thousand_candidates_make_the_ledger_no_larger_than_ten() -> None:
    def of(candidates: int) -> int:
        entries = {
            f"a-{number:016x}": LedgerEntry(
                dataset="a", purposes={"tuning": Posting(spent_usd=Decimal("1.05"), settled=True)}
            )
            for number in range(candidates)
        }
        whole = Ledger(month="2026-03", entries=entries, commit=KEPT_COMMITS, series="5")
        there = lying(wish("b", ledger=whole))
        folded = committed_group(whole, there, series="", written={(one, "tuning") for one in entries})
        assert folded is not None
        return len(folded.to_json())

    assert of(10_000) <= of(10) + 10


def test_a_look_is_granted_and_changes_nothing() -> None:
    ledger = group(EMPTY, lying(wish()))
    after = group(ledger, lying(wish(kind="look", ledger=ledger), first=1))
    assert after.granted == ("wish-000001",)
    assert (after.entries, after.totals) == (ledger.entries, ledger.totals)


def test_what_a_newer_version_wrote_beside_is_kept() -> None:
    result = reserve(EMPTY, "a-1", "a", Decimal(1), Decimal(2), NOW, purpose="tuning")
    assert isinstance(result, Ledger)
    text = (
        result.to_json().replace(b'"approved_by"]', b'"approved_by","colour"]').replace(b'Z"]', b'Z",null,null,"red"]')
    )
    assert b'"red"' in Ledger.model_validate_json(text).to_json()


@pytest.mark.parametrize(
    "damage",
    [
        (b'"columns":[', b'"columns":[1,'),
        (b'"entries":{', b'"entries":[{}],"was":{'),
        (b'{"tuning":[', b'{"tuning":{},"inference":['),
        (b'{"tuning":[', b'{"cooking":['),
        (b'"a-1":{', b'"a-1":[],"was":{'),
        (b'"entries":{', b'"entries":{"b":{"a-1":{"inference":[1,"1","1","2026-03-01T00:00:00Z"]}},'),
        (b'"totals":{"a"', b'"totals":{"b"'),
    ],
)
def test_a_stored_form_that_makes_no_sense_is_not_read(damage: tuple[bytes, bytes]) -> None:
    whole = group(EMPTY, lying(wish())).to_json()
    assert damage[0] in whole
    with pytest.raises(ValueError, match=r"."):
        Ledger.model_validate_json(whole.replace(*damage))
