"""What can go wrong with the local stack, in words for the person at the keyboard."""

from __future__ import annotations


class StackError(Exception):
    """The stack cannot do what was asked: what happened, and what to do next.

    Args:
        message: what happened and what it means.
        hint: the next step.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class ComponentError(StackError):
    """One component cannot be started; `log` is the file that says why, where it is not the component's own."""

    def __init__(self, message: str, hint: str = "", log: str = "") -> None:
        super().__init__(message, hint)
        self.args = (message, hint, log)
        self.log = log
