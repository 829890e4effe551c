"""Undeploy and delete tuned models that no champion, no rollback and no candidate under way needs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from genops_events.cascade.candidate_reader import read_candidates
from genops_events.cascade.holds import rounds_of
from genops_events.catalogue.locations import location_in
from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS, endpoint_client, idempotent_retry, model_client
from genops_events.gcp.errors import CloudRefused, google_call
from genops_events.promotion.championship import kept_for_rollback
from genops_events.record.comparison_plan import ComparisonPlan, summary_path
from genops_events.record.evaluation import EvaluationPlan, plan_path
from genops_events.record.paths import COMPARISONS, submission_path
from genops_events.record.promotion import Pruned, pruned_path
from genops_events.record.stages import CandidateState, Outcome, Stage
from genops_events.record.tuning import Submission
from genops_events.record.verdicts import TuningVerdict
from genops_events.tuning.jobs import TUNING_JOBS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.cloud.aiplatform_v1.types import DeployedModel

    from genops_events.config import Config
    from genops_events.gcp.record_store import RecordStore
    from genops_events.record.candidates import Candidate
    from genops_events.record.verdicts import Verdict

_NOT_FOUND = 404
LONGEST_COMPARISON = timedelta(days=1)
"""Time for which the models of an unfinished comparison are kept."""


@dataclass(frozen=True, slots=True)
class TunedModel:
    """One candidate's tuned model, and why it is kept; `kept` is None for a model that can be deleted."""

    candidate: str
    dataset: str
    state: str
    model: str
    endpoint: str | None
    """None where no endpoint serves the model."""
    kept: str | None


def survey(config: Config, store: RecordStore, dataset: str) -> list[TunedModel]:
    """Return every tuned model of `dataset` that was not deleted, in the order of their arrivals."""
    entry = config.dataset(dataset)
    champion = store.champion(dataset)
    former = () if champion is None else kept_for_rollback(champion, entry.promotion.keep)
    found = [one for one in read_candidates(store) if one.arrival.dataset == dataset]
    found.sort(key=lambda one: one.arrival.arrived_at)
    tuning = [one.id for one in found if one.state is CandidateState.UNDER_WAY and Stage.TUNING not in one.verdicts]
    bases = set()
    if entry.tuning.start_from == "champion" and tuning and champion is not None:
        bases = {champion.candidate, *champion.earlier}
    compared = _contesting(config, store) | _compared(store, found)
    models = []
    for one in found:
        verdict = one.verdicts.get(Stage.TUNING)
        model = _model_of(config, store, verdict)
        if model is None:
            continue
        pruned = store.read(pruned_path(one.id), Pruned)
        if pruned is not None and pruned.done_at is not None:
            continue
        kept = None
        if champion is not None and one.id == champion.candidate:
            kept = "champion"
        elif one.state is CandidateState.UNDER_WAY:
            kept = "under way"
        elif pruned is None and one.id in former:
            kept = "kept for a rollback"
        elif one.id in compared:
            kept = compared[one.id]
        elif one.id in bases:
            kept = f"{tuning[0]} may be tuned further from it"
        models.append(TunedModel(one.id, dataset, _state(one), *model, kept))
    served = {one.endpoint for one in models if one.kept is not None}
    return [one for one in models if one.kept is not None or one.endpoint is None or one.endpoint not in served]


def _model_of(config: Config, store: RecordStore, verdict: Verdict | None) -> tuple[str, str | None] | None:
    """Return model and endpoint of a candidate; None where it has no model.

    After a failed tuning, the job itself is read: a cancelled one may have succeeded after the verdict.
    """
    if not isinstance(verdict, TuningVerdict):
        return None
    if verdict.model is not None:
        return verdict.model, verdict.endpoint
    if verdict.outcome is not Outcome.FAILED:
        return None
    submission = store.read(submission_path(verdict.candidate), Submission)
    name = verdict.job if submission is None else submission.job
    if name is None:
        return None
    try:
        tuned = TUNING_JOBS.get(config, name).tuned_model
    except CloudRefused as error:
        if error.status != _NOT_FOUND:
            raise
        return None
    return (tuned.model, tuned.endpoint or None) if tuned is not None and tuned.model else None


def _compared(store: RecordStore, found: Sequence[Candidate]) -> dict[str, str]:
    """Return the champions that a running evaluation asks, each with the reason to keep its model."""
    compared = {}
    for one in found:
        if one.state is CandidateState.UNDER_WAY and Stage.EVALUATION not in one.verdicts:
            round_ = rounds_of(store, one.id, Stage.EVALUATION).released
            plan = store.read(plan_path(one.id, round_), EvaluationPlan)
            if plan is not None and plan.champion is not None:
                compared[plan.champion] = f"{one.id} is being compared with it"
    return compared


def _contesting(config: Config, store: RecordStore) -> dict[str, str]:
    """Return the candidates that genops.yaml or a running comparison names as contestants, each with the reason to keep its model."""
    named = [contestant for dataset in config.datasets.values() for contestant in dataset.comparison.contestants]
    found = {one.model: "genops.yaml names it as a contestant" for one in named if one.kind == "candidate"}
    names = set(store.names(COMPARISONS))
    for name in names:
        comparison, _, what = name.removeprefix(COMPARISONS).partition("/")
        if what != "plan.json" or summary_path(comparison) in names:
            continue
        plan = store.read(name, ComparisonPlan)
        # A comparison whose Dag run was deleted never ends.
        if plan is not None and datetime.now(UTC) - plan.written_at < LONGEST_COMPARISON:
            asked = [plan.champion if one.kind == "champion" else one.model for one in plan.contestants]
            found |= {one: f"the comparison {plan.id} is under way" for one in asked if one is not None}
    return found


def _state(candidate: Candidate) -> str:
    promotion = candidate.verdicts.get(Stage.PROMOTION)
    return str(candidate.state if promotion is None else promotion.outcome)


def take_away(
    config: Config, store: RecordStore, unneeded: Sequence[TunedModel], *, by: str, claimed: str | None = None
) -> list[tuple[str, str]]:
    """Undeploy and delete these models; return the result for each candidate.

    A document is written first, so that no rollback chooses a model that is being deleted. After a crash, the call can be
    repeated.
    """
    return [(one.candidate, _take_away(config, store, one, by=by, claimed=claimed)) for one in unneeded]


def _take_away(config: Config, store: RecordStore, tuned_model: TunedModel, *, by: str, claimed: str | None) -> str:
    path = pruned_path(tuned_model.candidate)
    mark = Pruned(
        candidate=tuned_model.candidate,
        written_at=datetime.now(UTC),
        by=by,
        claimed=claimed,
        model=tuned_model.model,
        endpoints=() if tuned_model.endpoint is None else (tuned_model.endpoint,),
    )
    store.create(path, mark)
    champion = store.champion(tuned_model.dataset)
    if champion is not None and champion.candidate == tuned_model.candidate:
        _withdraw(store, path)
        return "left: it has become champion"
    result = _delete(config, tuned_model)

    def done(now: Pruned | None) -> Pruned | None:
        return None if now is None else now.model_copy(update={"done_at": datetime.now(UTC)})

    store.update(path, Pruned, done)
    return result


def _withdraw(store: RecordStore, path: str) -> None:
    from google.api_core.exceptions import NotFound

    with google_call(f"remove gs://{store.bucket.name}/{path}"):
        try:
            store.bucket.blob(path).delete(timeout=CALL_TIMEOUT_SECONDS)
        except NotFound:
            return  # another `genops prune` has removed it


def _delete(config: Config, tuned_model: TunedModel) -> str:
    from google.api_core.exceptions import NotFound

    models = model_client(config, location_in(tuned_model.model))
    bounded = {"timeout": CALL_TIMEOUT_SECONDS, "retry": idempotent_retry()}
    with google_call(f"look up {tuned_model.model}"):
        try:
            model = models.get_model(name=tuned_model.model, **bounded)
        except NotFound:
            model = None
    deployed = {} if model is None else {one.endpoint: one.deployed_model_id for one in model.deployed_models}
    for endpoint in (*deployed, *({tuned_model.endpoint} - {*deployed, None})):
        assert endpoint is not None
        _delete_endpoint(config, endpoint, tuned_model.model)
    if model is None:
        return "undeployed; its model was gone"
    name = tuned_model.model.partition("@")[0]
    with google_call(f"delete {tuned_model.model}"):
        versions = list(models.list_model_versions(name=name, **bounded))
        if len(versions) == 1:
            models.delete_model(name=name, **bounded).result(timeout=CALL_TIMEOUT_SECONDS)
        elif "default" in model.version_aliases:
            return "undeployed; its version stays, since it is the default one of a model with others"
        else:
            version = f"{name}@{model.version_id}"
            models.delete_model_version(name=version, **bounded).result(timeout=CALL_TIMEOUT_SECONDS)
    return "undeployed and deleted"


def _is_of(deployed: DeployedModel, model: str) -> bool:
    """Return whether this version of the model is deployed: another version may be the champion's."""
    name, _, version = model.partition("@")
    same = deployed.model.partition("@")[0] == name
    return same and (not version or not deployed.model_version_id or deployed.model_version_id == version)


def _delete_endpoint(config: Config, endpoint: str, model: str) -> None:
    """Undeploy the model from its endpoint, and delete the endpoint unless it serves other models, too."""
    from google.api_core.exceptions import NotFound

    endpoints = endpoint_client(config, location_in(endpoint))
    bounded = {"timeout": CALL_TIMEOUT_SECONDS, "retry": idempotent_retry()}
    with google_call(f"undeploy {model} from {endpoint}"):
        try:
            deployed = list(endpoints.get_endpoint(name=endpoint, **bounded).deployed_models)
            of_model = [one for one in deployed if _is_of(one, model)]
            for one in of_model:
                undeployed = endpoints.undeploy_model(endpoint=endpoint, deployed_model_id=one.id, **bounded)
                undeployed.result(timeout=CALL_TIMEOUT_SECONDS)
            if len(of_model) == len(deployed):
                endpoints.delete_endpoint(name=endpoint, **bounded).result(timeout=CALL_TIMEOUT_SECONDS)
        except NotFound:
            return
