"""What the benchmarks' command lines have in common."""

from __future__ import annotations

import argparse
import signal
from typing import NoReturn


def positive(text: str) -> int:
    """Return the number that `text` is; anything below 1 is an error of the command line."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def end_with_sigterm() -> None:
    """Let SIGTERM end the benchmark as Ctrl-C does, so that its stack is stopped."""
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt
