"""The invariants: what must hold of every upload, whatever crashed. Pure: they judge what `seen` saw."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from burst import Uploaded
from seen import LAST, Folder, Seen

WAITS_FOR = {
    "tuning": (),
    "evaluation": ("tuning",),
    "budget": ("tuning",),
    "promotion": ("evaluation", "budget"),
    "inference": ("promotion",),
}
GOOD_ENDS = {"genops.promotion.held.v1", "genops.inference.completed.v1"}
REJECTED = "genops.candidate.rejected.v1"


@dataclass
class Count:
    """What is wrong, by candidate and in words; all empty after a good run."""

    lost: dict[str, str] = field(default_factory=dict)
    """Generations without an end."""
    stranded: dict[str, str] = field(default_factory=dict)
    """Recorded, and nothing moved; or a partition row that no run came of."""
    twice: dict[str, str] = field(default_factory=dict)
    """More than one effect of one generation."""
    disordered: dict[str, str] = field(default_factory=dict)
    """Completion events missing, out of order, or with two ids."""
    failed: dict[str, str] = field(default_factory=dict)
    """Another end than the file deserved."""
    forgotten: dict[str, str] = field(default_factory=dict)
    """A model that Vertex AI has made, and that the record does not know."""
    healed: int = 0
    """Arrivals that the sweep found."""
    ended_at: datetime | None = None
    """When the last candidate reached its end; None where one did not."""

    def wrong(self) -> dict[str, list[str]]:
        """Return all that is wrong, by candidate."""
        found = defaultdict(list)
        for kind in ("lost", "stranded", "twice", "disordered", "failed", "forgotten"):
            for candidate, what in getattr(self, kind).items():
                found[candidate].append(f"{kind}: {what}")
        return dict(found)


def count(seen: Seen) -> Count:
    """Hold what was seen against the uploads."""
    counted = Count()
    live = _live_generations(seen.uploaded.values())
    for candidate, upload in seen.uploaded.items():
        folder = seen.folders.get(candidate, Folder())
        _judge_end(counted, seen, candidate, folder)
        _judge_effects(counted, seen, candidate, folder)
        if folder.ended:
            overwritten = live[upload.object] != upload.generation
            _judge_kind_of_end(counted, upload, folder, overwritten=overwritten)
            _judge_events(counted, candidate, folder, seen.events.get(candidate, []))
    for candidate in seen.folders.keys() - seen.uploaded.keys():
        counted.twice[candidate] = "a candidate that no upload made"
    for candidate, models in seen.models.items():
        for model in models - seen.known_models.get(candidate, set()):
            counted.forgotten[candidate] = f"{model} is in no verdict"
    for key, dag in seen.pending:
        counted.stranded[key] = f"a partition row of {dag} that no run came of"
    counted.healed = sum(how != "notification" for one, how in seen.found_by.items() if one in seen.uploaded)
    if seen.uploaded and not counted.lost:
        counted.ended_at = max(seen.folders[one].ended_at for one in seen.uploaded)
    return counted


def _judge_end(counted: Count, seen: Seen, candidate: str, folder: Folder) -> None:
    """Every generation is recorded and reaches an end; a message is acked only for a recorded one."""
    if "arrival.json" not in folder.written:
        where = f"{seen.undelivered} messages wait in the subscription" if seen.undelivered else "its message is acked"
        counted.lost[candidate] = f"no arrival is recorded, and {where}"
    elif not folder.ended:
        counted.lost[candidate] = f"no end; the record has {sorted(folder.written)}"
        if folder.written.keys() == {"arrival.json"}:
            counted.stranded[candidate] = "recorded, and nothing moved"


def _judge_effects(counted: Count, seen: Seen, candidate: str, folder: Folder) -> None:
    """A candidate has one tuning job at most, none where its file is rejected, and one verdict a stage."""
    jobs = seen.jobs.get(candidate, 0)
    stages = Counter(stage_of(kind) for kind in folder.types)
    doubled = sorted(stage for stage, times in stages.items() if times > 1)
    if jobs > 1:
        counted.twice[candidate] = f"{jobs} tuning jobs"
    elif jobs and not seen.uploaded[candidate].full:
        counted.twice[candidate] = "a tuning job for a file that is rejected"
    elif doubled:
        counted.twice[candidate] = f"two events of {', '.join(doubled)}: {sorted(folder.types)}"


def _judge_kind_of_end(counted: Count, upload: Uploaded, folder: Folder, *, overwritten: bool) -> None:
    """A complete file ends as held or answered, any other as rejected; an overwritten one may end as either."""
    deserved = GOOD_ENDS if upload.full else {REJECTED}
    if overwritten:
        deserved = deserved | {REJECTED}
    ends = folder.types & LAST
    if not ends <= deserved:
        counted.failed[upload.candidate] = f"ended as {', '.join(sorted(ends))}"


def _judge_events(counted: Count, candidate: str, folder: Folder, came: Sequence[tuple[str, str]]) -> None:
    """The subscriber got every event of the outbox, in the order of the stages, repeated ones with the same id."""
    kinds = list(dict.fromkeys(kind for kind, _ in came))
    if set(kinds) != folder.types:
        counted.disordered[candidate] = f"the outbox has {sorted(folder.types)}, the subscriber got {kinds}"
    elif not in_order(kinds):
        counted.disordered[candidate] = f"came as {kinds}"
    elif len(set(came)) != len(kinds):
        counted.disordered[candidate] = f"an event came with two ids: {sorted(set(came))}"


def stage_of(kind: str) -> str:
    """Return the stage that an event of this type announces; a rejection is tuning's."""
    stage = kind.split(".")[1]
    return "tuning" if stage == "candidate" else stage


def in_order(kinds: Iterable[str]) -> bool:
    """Tell whether each event comes after those of the stages that its own waits for."""
    before: set[str] = set()
    for kind in kinds:
        stage = stage_of(kind)
        if not before.issuperset(WAITS_FOR[stage]):
            return False
        before.add(stage)
    return True


def _live_generations(uploaded: Iterable[Uploaded]) -> dict[str, int]:
    live: dict[str, int] = {}
    for one in uploaded:
        live[one.object] = max(live.get(one.object, 0), one.generation)
    return live
