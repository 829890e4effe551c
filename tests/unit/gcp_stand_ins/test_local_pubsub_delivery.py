"""The delivery decisions of one subscription, with `now` in the hands of the test."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gcp_stand_ins.pubsub.deadlines import Deadlines
from gcp_stand_ins.pubsub.delivery import Backlog, Consumer, DeliveryRules, Entry, StoredMessage


@dataclass(frozen=True, slots=True)
class Body:
    ordering_key: str


def message(number: int, key: str = "", size_bytes: int = 1) -> StoredMessage:
    return StoredMessage(number, 0.0, Body(key), size_bytes)


def take(backlog: Backlog, consumer: Consumer, *, now: float = 0.0, most: int = 100) -> list[int]:
    return [entry.message.id for entry in taken(backlog, consumer, now=now, most=most)]


def taken(backlog: Backlog, consumer: Consumer, *, now: float = 0.0, most: int = 100) -> list[Entry]:
    return backlog.take(consumer, now=now, lease_seconds=10, max_messages=most, max_bytes=1000)


def ordered(*numbers: int, key: str = "k") -> Backlog:
    backlog = Backlog(DeliveryRules(ordering=True))
    for number in numbers:
        backlog.offer(message(number, key))
    return backlog


def test_lease_that_ends_makes_the_message_deliverable_again() -> None:
    backlog = Backlog(DeliveryRules())
    backlog.offer(message(1))
    consumer = Consumer()
    assert take(backlog, consumer, now=0) == [1]
    assert backlog.next_due() == 10
    assert backlog.advance(9.9) == []
    assert take(backlog, consumer, now=9.9) == []
    assert [entry.failures for entry in backlog.advance(10)] == [1]
    assert take(backlog, consumer, now=10) == [1]


def test_late_acknowledgement_counts_for_a_single_message() -> None:
    backlog = Backlog(DeliveryRules())
    backlog.offer(message(1))
    take(backlog, Consumer())
    backlog.advance(20)
    assert [one.id for one in backlog.acknowledge(1, 1)] == [1]
    assert take(backlog, Consumer()) == []


def test_backoff_doubles_up_to_its_maximum() -> None:
    rules = DeliveryRules(minimum_backoff=10, maximum_backoff=60)
    assert [rules.backoff(failures) for failures in (1, 2, 3, 4, 1000)] == [10, 20, 40, 60, 60]
    assert DeliveryRules().backoff(5) == 0


def test_refused_message_rests_for_the_backoff() -> None:
    backlog = Backlog(DeliveryRules(minimum_backoff=10, maximum_backoff=60))
    backlog.offer(message(1))
    take(backlog, Consumer())
    backlog.refuse(1, 1, now=0)
    backlog.advance(9)
    assert take(backlog, Consumer(), now=9) == []
    backlog.advance(10)
    assert take(backlog, Consumer(), now=10) == [1]


def test_flow_control_counts_what_is_neither_acknowledged_nor_set_back() -> None:
    backlog = Backlog(DeliveryRules())
    for number in range(1, 6):
        backlog.offer(message(number, size_bytes=10))
    by_count, by_bytes = Consumer(max_messages=2), Consumer(max_bytes=15)
    assert take(backlog, by_count) == [1, 2]
    assert take(backlog, by_bytes) == [3, 4], "the limit is reached, not foreseen"
    backlog.acknowledge(1, 1)
    backlog.refuse(2, 1, now=0)
    assert take(backlog, by_count) == [2, 5]
    backlog.advance(10)
    assert (by_count.messages, by_bytes.bytes) == (0, 0)


def test_one_response_is_bounded_in_bytes_but_never_empty() -> None:
    backlog = Backlog(DeliveryRules())
    for number, size in enumerate((5000, 600, 600), start=1):
        backlog.offer(message(number, size_bytes=size))
    assert [take(backlog, Consumer()) for _ in range(3)] == [[1], [2], [3]]


def test_run_of_a_key_belongs_to_one_consumer() -> None:
    backlog = ordered(1, 2, 3)
    stream, other = Consumer(), Consumer()
    assert take(backlog, stream, most=1) == [1]
    assert take(backlog, other) == []
    assert take(backlog, stream) == [2, 3]
    for number in (1, 2, 3):
        backlog.acknowledge(number, 1)
    backlog.offer(message(4, "k"))
    assert take(backlog, other) == [4], "the run is over, so the key is free"


def test_key_of_a_closed_consumer_is_free_when_its_run_is_settled() -> None:
    backlog = ordered(1, 2, 3)
    gone, next_one = Consumer(), Consumer()
    assert take(backlog, gone, most=1) == [1]
    backlog.close(gone)
    assert take(backlog, next_one) == []
    backlog.acknowledge(1, 1)
    assert take(backlog, next_one) == [2, 3]


def test_setting_back_takes_the_later_messages_of_the_key_with_it_the_acknowledged_too() -> None:
    backlog = ordered(1, 2, 3, 4)
    consumer = Consumer()
    take(backlog, consumer)
    assert backlog.acknowledge(3, 1) == [], "kept: an earlier one is open"
    assert [one.id for one in backlog.acknowledge(1, 1)] == [1]
    backlog.refuse(2, 1, now=0)
    assert take(backlog, consumer) == [2, 3, 4]
    assert backlog.acknowledge(3, 1) == [], "that delivery is void"
    assert backlog.acknowledge(3, 2) == []
    assert [one.id for one in backlog.acknowledge(2, 2)] == [2, 3]


def test_rest_of_a_run_stays_with_its_consumer_when_its_middle_is_set_back() -> None:
    backlog = ordered(1, 2, 3)
    consumer, other = Consumer(), Consumer()
    take(backlog, consumer)
    backlog.refuse(2, 1, now=0)
    assert take(backlog, other) == [], "1 is still with the first"
    assert take(backlog, consumer) == [2, 3]


def test_only_the_message_whose_lease_ended_counts_as_failed() -> None:
    backlog = ordered(1, 2, 3)
    take(backlog, Consumer())
    assert [entry.message.id for entry in backlog.advance(10)] == [1]
    assert [entry.failures for entry in taken(backlog, Consumer(), now=10)] == [1, 0, 0]


def test_resting_key_does_not_hold_up_the_others() -> None:
    backlog = Backlog(DeliveryRules(ordering=True, minimum_backoff=5, maximum_backoff=5))
    for number, key in enumerate("aab", start=1):
        backlog.offer(message(number, key))
    take(backlog, Consumer(), most=1)
    backlog.refuse(1, 1, now=0)
    assert take(backlog, Consumer(), now=1) == [3]
    backlog.advance(5)
    assert take(backlog, Consumer(), now=5) == [1, 2]


def test_dropped_message_lets_the_next_of_its_key_pass() -> None:
    backlog = ordered(1, 2, 3)
    take(backlog, Consumer(), most=2)
    backlog.acknowledge(2, 1)
    assert [one.id for one in backlog.drop([1])] == [1, 2]
    assert take(backlog, Consumer()) == [3]


def test_dropped_message_that_was_next_lets_the_one_after_it_pass() -> None:
    backlog = ordered(1, 2, 3)
    consumer = Consumer()
    take(backlog, consumer, most=1)
    backlog.drop([2])
    assert take(backlog, consumer) == [3]


def test_without_ordering_keys_mean_nothing() -> None:
    backlog = Backlog(DeliveryRules())
    for number in (1, 2):
        backlog.offer(message(number, "k"))
    assert take(backlog, Consumer(), most=1) == [1]
    assert take(backlog, Consumer()) == [2]


def test_deadlines_fire_once_in_order_and_forget() -> None:
    deadlines: Deadlines[str] = Deadlines()
    deadlines.set("b", 2)
    deadlines.set("a", 1)
    deadlines.set("c", 3)
    deadlines.set("b", 5)
    deadlines.cancel("c")
    assert deadlines.next_due() == 1
    assert deadlines.fire(4) == ["a"]
    assert deadlines.next_due() == 5
    assert deadlines.fire(5) == ["b"]
    assert (deadlines.next_due(), deadlines.fire(100)) == (None, [])


class AnySubscription(RuleBasedStateMachine):
    """Whatever clients do, in any order: nothing is lost, nothing is with two at once, keys stay in order."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.ids = count(1)
        self.backlog = Backlog(DeliveryRules(ordering=True, minimum_backoff=1, maximum_backoff=4))
        self.open: dict[int, str] = {}
        self.held: dict[int, tuple[int, Consumer]] = {}
        self.streams = [Consumer(max_messages=3), Consumer()]

    @rule(key=st.sampled_from(["", "a", "b"]))
    def publish(self, key: str) -> None:
        number = next(self.ids)
        self.open[number] = key
        self.backlog.offer(message(number, key))

    @rule(which=st.integers(0, 2), most=st.integers(1, 4))
    def pull(self, which: int, most: int) -> None:
        consumer = self.streams[which] if which < 2 else Consumer()
        for entry in taken(self.backlog, consumer, now=self.now, most=most):
            number, key = entry.message.id, self.open[entry.message.id]
            assert number not in self.held, "with two consumers at once"
            earlier = [one for one, its in self.open.items() if key and its == key and one < number]
            assert all(one in self.held and self.held[one][1] is consumer for one in earlier), "out of order"
            self.held[number] = (entry.delivery, consumer)
        if which == 2:
            self.backlog.close(consumer)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.held)))
        for settled in self.backlog.acknowledge(number, self.held[number][0]):
            del self.open[settled.id]
            del self.held[settled.id]

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def refuse(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.held)))
        if self.backlog.refuse(number, self.held[number][0], now=self.now) is not None:
            self.forget(number)

    @rule(seconds=st.sampled_from([0.5, 2.0, 11.0]))
    def later(self, seconds: float) -> None:
        self.now += seconds
        for entry in self.backlog.advance(self.now):
            self.forget(entry.message.id)

    @rule(which=st.integers(0, 1))
    def reconnect(self, which: int) -> None:
        self.backlog.close(self.streams[which])
        self.streams[which] = Consumer(max_messages=self.streams[which].max_messages)

    @invariant()
    def flow_control_is_counted_right(self) -> None:
        for stream in self.streams:
            assert stream.messages == sum(
                one is stream and self.backlog.is_current(number, delivery)
                for number, (delivery, one) in self.held.items()
            )

    def teardown(self) -> None:
        """Let every lease and rest end: then everything that is open can be had, in order."""
        for _ in range(2):
            self.later(11.0)
        numbers = take(self.backlog, Consumer(), now=self.now, most=10_000)
        assert sorted(numbers) == sorted(self.open)
        assert not self.held

    def forget(self, number: int) -> None:
        """A message was set back, and with it the later ones of its key."""
        key = self.open[number]
        for one in [one for one in self.held if one == number or (key and self.open[one] == key and one > number)]:
            del self.held[one]


TestAnySubscription = AnySubscription.TestCase
TestAnySubscription.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
