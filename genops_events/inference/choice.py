"""Decide whether prompts are answered online or by a batch prediction job."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genops_events.config.inference import Inference
from genops_events.record.inference import Way


@dataclass(frozen=True, slots=True)
class Choice:
    """How prompts are answered, and the reason."""

    way: Way
    why: str


def choose(inference: Inference, *, rows: int, online_usd: Decimal, batch_usd: Decimal, not_batch: str = "") -> Choice:
    """Choose how the rows of a prompt file are answered.

    Args:
        inference: the dataset's entry in genops.yaml.
        rows: number of prompts that can be asked.
        online_usd: the most that online answers can cost.
        batch_usd: the most that a batch job can cost.
        not_batch: why a batch job cannot answer them; empty where it can. With `mode: batch`, the caller refuses.
    """
    if inference.mode != "auto":
        return Choice(inference.mode, f"`inference.mode` is {inference.mode}")
    saved = online_usd - batch_usd
    if inference.cache is not None:
        not_batch = "only online calls use `inference.cache`"
    elif saved <= 0:
        not_batch = not_batch or "a batch job is no cheaper"
    if not_batch:
        return Choice("online", not_batch)
    batch = inference.batch
    if rows >= batch.from_rows:
        return Choice("batch", f"{rows:,} prompts are at least `inference.batch.from_rows` ({batch.from_rows:,})")
    if saved >= Decimal(str(batch.from_saved_usd)):
        return Choice("batch", f"it saves {saved:.2f} USD, at least `inference.batch.from_saved_usd`")
    return Choice("online", f"{rows:,} prompts are few, and a batch job would save {saved:.2f} USD")
