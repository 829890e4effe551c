"""One check of an object, and one of a candidate id, for all ways in which they arrive. No I/O.

An object arrives by a notification, an asset event, a sweep's listing or `genops upload`. A candidate id arrives as a
partition key, which all users may set who may start a Dag run or post an asset event.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from genops_events.config.identity import candidate_id, is_candidate_id
from genops_events.errors import PermanentError
from genops_events.intake.notifications import bucket_problem, object_problem
from genops_events.reading.object_names import ROOT, is_temporary

if TYPE_CHECKING:
    from genops_events.config import Config
    from genops_events.record.intake import Arrival


class NoCandidateId(PermanentError):
    """A text does not have the form of a candidate id."""


class ForeignArrival(PermanentError):
    """A recorded arrival does not belong to its candidate, or is of another bucket."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """The object is an arrival of this dataset."""

    dataset: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The object is not an arrival."""

    reason: str
    """Words that follow `no arrival:`."""


def admission(config: Config, bucket: str, name: str) -> Admitted | Refused:
    """Return the dataset that an object is an arrival of, or the reason why it is not an arrival.

    Args:
        config: has the bucket and the watched prefixes.
        bucket: of the object, by the message.
        name: of the object.
    """
    problem = bucket_problem(bucket) or object_problem(name)
    if problem is not None:
        return Refused(problem)
    if bucket != config.bucket:
        return Refused(f"it lies in another bucket than {config.bucket}, which genops.yaml names")
    match = config.dataset_for(name)
    if match is not None:
        return Admitted(match[0])
    if name.startswith(ROOT):
        return Refused(f"below {ROOT} this project keeps its own records")
    if is_temporary(name):
        return Refused("an upload tool made it for its own use")
    return Refused("it lies under no watched prefix")


def check_candidate_id(text: str) -> str:
    """Return `text` if it has the form of a candidate id, so that a path made of it cannot leave the candidates' folder.

    Raises:
        NoCandidateId: it does not have this form.
    """
    if is_candidate_id(text):
        return text
    shown = ascii(text if len(text) <= 80 else f"{text[:80]}…")  # noqa: PLR2004 - enough to recognise it
    raise NoCandidateId(
        f"{shown} is no candidate id: one has the form NAME-0123456789abcdef, in lower case.",
        "`genops candidates` lists the known ones.",
    )


def check_arrival(config: Config, candidate: str, arrival: Arrival) -> Arrival:
    """Return the recorded arrival of `candidate`, if the candidate's id was made of it and it is in this bucket.

    Others may write to the bucket of the record, and only the object that has arrived must be tuned on.

    Raises:
        ForeignArrival: the arrival is another one.
    """
    made_of = candidate_id(arrival.dataset, arrival.bucket, arrival.object, arrival.generation)
    if arrival.bucket != config.bucket:
        problem = f"names an object of another bucket than {config.bucket}, which genops.yaml names"
    elif not candidate == arrival.candidate == made_of:
        problem = "does not name the object that the candidate's id was made of"
    else:
        return arrival
    raise ForeignArrival(
        f"The recorded arrival of {candidate} {problem}: nothing is read from there.",
        "Upload the file into the bucket, under its dataset's prefix.",
    )
