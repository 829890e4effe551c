"""`make fresh`: list the figures of the catalogue of models that were not checked for 60 days, with their sources."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime

from genops_events.catalogue.models import shipped
from genops_events.catalogue.retirement import not_looked_at

DAYS = 60


def report(today: date) -> str:
    """Return a line for each group of figures that was checked more than `DAYS` days before `today`."""
    old = sorted(not_looked_at(shipped(), today, days=DAYS), key=lambda one: one[2])
    if not old:
        return f"Everything in genops_events/data/models.toml was looked at within {DAYS} days of {today}."
    lines = [f"{read}  {model}: {group}  {source}" for model, group, read, source in old]
    head = f"Not looked at for {DAYS} days ({len(old)}): read these pages again, fix the figures, and set `as_of`."
    return "\n".join([head, *lines])


if __name__ == "__main__":
    sys.stdout.write(report(datetime.now(UTC).date()) + "\n")
