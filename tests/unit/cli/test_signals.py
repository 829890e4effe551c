"""What ends a command: a closed terminal does, unless `nohup` has been told to let it go on."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from genops_events.cli.console import interrupt_on_signals


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_closed_terminal_and_a_polite_kill_end_a_command(number: signal.Signals) -> None:
    signal.signal(number, signal.SIG_DFL)
    interrupt_on_signals()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)


def test_under_nohup_a_closed_terminal_ends_nothing() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    interrupt_on_signals()
    handler: Any = signal.getsignal(signal.SIGHUP)
    assert handler is signal.SIG_IGN
