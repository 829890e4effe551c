"""The locations in which a model is tuned, served, asked and used as a judge, and Vertex AI's host there. No I/O.

Hosts: https://docs.cloud.google.com/gemini-enterprise-agent-platform/resources/locations (read 2026-11-30).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from genops_events.catalogue.facts import ANY_REGION, IN_TUNING_REGION, Model

GLOBAL = "global"
MULTI_REGIONS = ("us", "eu")
REGION = r"[a-z]+(?:-[a-z]+)+[0-9]+"
"""Form of a single region, e.g. us-central1."""
PLACE = rf"^({REGION}|{'|'.join(MULTI_REGIONS)}|{GLOBAL})$"
"""Form of any location of Vertex AI."""
_RESOURCE = re.compile(r"(?P<before>projects/[^/]+/locations/)(?P<location>[^/]+)(?P<after>/.*)?")
_EUROPE = "europe-"
_AMERICA = "us-"


def host_of(location: str) -> str:
    """Return the host of Vertex AI's API in a region, a multi-region, or `global`."""
    if location == GLOBAL:
        return "aiplatform.googleapis.com"
    if location in MULTI_REGIONS:
        return f"aiplatform.{location}.rep.googleapis.com"
    return f"{location}-aiplatform.googleapis.com"


def location_in(name: str) -> str | None:
    """Return the location in a resource's name; None for the id of a published model."""
    match = _RESOURCE.fullmatch(name)
    return None if match is None else match["location"]


def moved_to(name: str, location: str) -> str:
    """Return the name of the same resource in another location."""
    return _RESOURCE.sub(lambda match: f"{match['before']}{location}{match['after'] or ''}", name)


def near(region: str) -> str:
    """Return the multi-region that keeps data on the continent of a region; `global` where there is none."""
    if region in (GLOBAL, *MULTI_REGIONS):
        return region
    return "us" if region.startswith(_AMERICA) else "eu" if region.startswith(_EUROPE) else GLOBAL


def is_served_in(model: Model, location: str, *, tuned_in: str) -> bool:
    """Return whether models that were tuned from this one answer in a location; True where the catalogue has no locations."""
    return _allows(model.serving.locations, location, tuned_in)


def is_asked_in(model: Model, location: str) -> bool:
    """Return whether this model is asked in a location; True where the catalogue has no locations."""
    return _allows(model.asking.locations, location, None)


def served_in(model: Model, *, tuned_in: str) -> str:
    """Return the location in which a model that was tuned from this one answers: its region, or the multi-region around it."""
    return _chosen(model.serving.locations, tuned_in)


def asked_in(model: Model, *, home: str) -> str:
    """Return the location in which this model is asked: `home`, the multi-region around it, or the first of the catalogue."""
    return _chosen(model.asking.locations, home)


def _chosen(locations: Iterable[str] | None, home: str) -> str:
    known = tuple(locations or ())
    if not known or _allows(known, home, home):
        return home
    around = near(home)
    return around if around in known else known[0]


def _allows(locations: Iterable[str] | None, location: str, tuned_in: str | None) -> bool:
    known = tuple(locations or ())
    if not known or location in known or (IN_TUNING_REGION in known and location == tuned_in):
        return True
    return ANY_REGION in known and re.fullmatch(REGION, location) is not None
