"""One scenario: a burst of uploads, harm meanwhile, and a row for the table."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from burst import Burst, Planned, Uploaded, mixed
from chaos_stack import ChaosStack, chaos_stack
from evidence import evidence
from faults import Step
from invariants import Count, count
from report import Report, Row
from seen import look, until_ended

END_SECONDS = 420.0
"""From the end of the fault; two sweeps, a task's heartbeat timeout and its retries fit in."""
FULL_SECONDS = 8.0
SHORT_SECONDS = 2.0
"""Of two busy cores, for one upload: three or four times what a quiet machine needs."""


@dataclass(frozen=True)
class Settings:
    """What the command line says."""

    seed: int
    uploads: int
    seconds: float
    full_share: float
    backlog: int


class Stacks:
    """The stack of a test file, replaced by a new one after a scenario that went wrong.

    Args:
        new_folder: makes a folder for a stack.
    """

    def __init__(self, new_folder: Callable[[], Path]) -> None:
        self._new_folder = new_folder
        self._shape: tuple[str, ...] | None = None
        self._open = ExitStack()
        self._running: ChaosStack | None = None
        self._broken = False

    def get(self, *, schedulers: int, triggerers: int) -> ChaosStack:
        """Return a stack of this shape to which nothing is happening."""
        shape = ("--schedulers", str(schedulers), "--triggerers", str(triggerers))
        if self._running is not None and (self._broken or shape != self._shape):
            self.stop()
        self._broken = True  # until the scenario is over and all is well
        if self._running is None:
            self._shape = shape
            self._open = ExitStack()
            self._running = self._open.enter_context(chaos_stack(self._new_folder(), *shape, keep=lambda: self._broken))
        self._running.calm()
        return self._running

    def well(self) -> None:
        """Say that the scenario ended well, so that the next one may use the same stack."""
        self._broken = False

    def stop(self) -> None:
        """Stop the stack, if there is one."""
        self._running = None
        self._open.close()


@dataclass(frozen=True)
class Chaos:
    """What a scenario works with: a stack, its own random numbers, and the report."""

    stacks: Stacks
    settings: Settings
    generator: random.Random
    report: Report

    def stack(self, *, schedulers: int = 1, triggerers: int = 1) -> ChaosStack:
        """Return a running stack of this shape, started only where there is none that can be used."""
        return self.stacks.get(schedulers=schedulers, triggerers=triggerers)

    def plan(self, datasets: Sequence[str]) -> list[Planned]:
        """Return a burst as the command line wants it."""
        settings = self.settings
        return mixed(
            self.generator, datasets, uploads=settings.uploads, seconds=settings.seconds, full_share=settings.full_share
        )

    def endure(
        self,
        stack: ChaosStack,
        fault: str,
        *,
        datasets: Sequence[str],
        plan: Sequence[Planned],
        steps: Sequence[Step] = (),
        patience_factor: float = 1.0,
    ) -> Count:
        """Upload by `plan`, do harm by `steps` meanwhile, and judge; a slower machine is waited for so much longer."""
        burst = Burst(stack.bucket, plan)
        notes = []
        try:
            for step in sorted(steps, key=lambda one: one.at_seconds):
                time.sleep(max(0.0, burst.began + step.at_seconds - time.monotonic()))
                begun = time.monotonic() - burst.began
                done = step.act(stack)
                notes.append(f"{begun:.1f} s to {time.monotonic() - burst.began:.1f} s: {done}")
        finally:
            harmed_until = datetime.now(UTC)
            uploaded = burst.result()
        over = max(harmed_until, *(one.at for one in uploaded))
        return self.judge(
            stack, fault, datasets=datasets, uploaded=uploaded, over=over, notes=notes, patience_factor=patience_factor
        )

    def judge(
        self,
        stack: ChaosStack,
        fault: str,
        *,
        datasets: Sequence[str],
        uploaded: Sequence[Uploaded],
        over: datetime,
        notes: Sequence[str] = (),
        patience_factor: float = 1.0,
    ) -> Count:
        """Wait for every end, count, and add a row to the report.

        Args:
            stack: where it happened.
            fault: what was done, in the words of the table.
            datasets: those that the uploads belong to.
            uploaded: all of them.
            over: when the harm and the uploads were over.
            notes: what was done, and when.
            patience_factor: how much longer the ends are waited for than on a machine that is busy with this alone.

        Raises:
            AssertionError: something went wrong; it says what, and shows what there is to see.
        """
        full = sum(one.full for one in uploaded)
        seconds = END_SECONDS + full * FULL_SECONDS + (len(uploaded) - full) * SHORT_SECONDS
        until_ended(stack, uploaded, datasets, seconds=seconds * patience_factor)
        seen = look(stack, uploaded, datasets)
        counted = count(seen)
        recovery = None if counted.ended_at is None else max(0.0, (counted.ended_at - over).total_seconds())
        self.report.add(
            Row(
                fault=fault,
                uploads=len(uploaded),
                lost=len(counted.lost),
                stranded=len(counted.stranded),
                twice=len(counted.twice),
                disordered=len(counted.disordered),
                failed=len(counted.failed),
                forgotten=len(counted.forgotten),
                healed=counted.healed,
                recovery_seconds=recovery,
                notes=(*notes, f"{seen.returns} stages went on in another Dag run, since Airflow had ended theirs"),
            )
        )
        assert not counted.wrong(), f"after {fault} ({'; '.join(notes)}):\n{evidence(stack, counted)}"
        self.stacks.well()
        return counted
