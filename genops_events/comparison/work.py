"""The work of a Dag run of genops_comparison: read its partition key or form, settle the plan once, and check the budget."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from typing import Any, Literal

from pydantic import ValidationError

from genops_events.catalogue.metrics import PAIRWISE
from genops_events.comparison.prepared import PreparedContestant
from genops_events.comparison.request import ComparisonRequest
from genops_events.config import Config, Dataset, load_config
from genops_events.config.comparison import refuse_metrics, usual_metrics
from genops_events.config.contestants import Contestant, read_contestants
from genops_events.config.identity import dataset_of
from genops_events.config.values import object_name
from genops_events.errors import ConfigError, PermanentError, StepAside
from genops_events.evaluation.examples import evaluation_examples
from genops_events.gcp import ledger_store
from genops_events.gcp.record_store import RecordStore
from genops_events.gemini.results import copy_prompts
from genops_events.intake.admission import check_candidate_id
from genops_events.money.ceilings import comparison_budget
from genops_events.money.ledger import Refusal, month_of, usd
from genops_events.money.unpriced import GROUNDING
from genops_events.record import comparison_plan as places
from genops_events.record.comparison_plan import ComparisonPlan, ContestantDocument

_OWN_PROMPTS = places.upload_path("").rpartition("/")[0]


class BadRequest(PermanentError):
    """The form of a comparison cannot be used as it is filled in."""


@dataclass(frozen=True)
class ComparisonRun:
    """One comparison, in one Dag run.

    Args:
        run_id: of the Dag run.
        promoted: the candidate whose promotion started it; None where a person did.
        request: of the person; empty after a promotion.
    """

    run_id: str
    promoted: str | None
    request: ComparisonRequest

    @classmethod
    def of(cls, *, key: str | None, run_id: str, form: Mapping[str, Any]) -> ComparisonRun:
        """Return the comparison of a Dag run.

        Args:
            key: its partition key; None where a person started it.
            run_id: its id.
            form: the fields that the person filled in; empty fields count as left out.

        Raises:
            BadRequest: its form cannot be read.
            NoCandidateId: its partition key is not a candidate id.
        """
        given = {} if key else {name: value for name, value in form.items() if value not in (None, "", [])}
        try:
            request = ComparisonRequest.model_validate(given)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise BadRequest(
                f"`{place}` of the form is {first['input']!r}: {first['msg'][:1].lower()}{first['msg'][1:]}.",
                "Start the Dag again with it corrected.",
            ) from error
        promoted = check_candidate_id(key) if key else None
        return cls(run_id=run_id, promoted=promoted, request=request)

    @cached_property
    def config(self) -> Config:
        """The present configuration."""
        return load_config()

    @cached_property
    def store(self) -> RecordStore:
        """The record."""
        return RecordStore.open(self.config)

    @cached_property
    def dataset_name(self) -> str:
        """The dataset of the promoted candidate, or of the form; if there is only one, the form need not name it.

        Raises:
            BadRequest: the form names no dataset, and there are several.
            ConfigError: genops.yaml does not have this dataset.
        """
        if self.promoted is not None:
            return dataset_of(self.promoted)
        name = self.request.dataset or (next(iter(self.config.datasets)) if len(self.config.datasets) == 1 else "")
        if not name:
            raise BadRequest(
                "The form names no dataset.", f"Known datasets: {', '.join(sorted(self.config.datasets))}."
            )
        self.config.dataset(name)
        return name

    @property
    def dataset(self) -> Dataset:
        """The dataset's entry in genops.yaml."""
        return self.config.dataset(self.dataset_name)

    @property
    def id(self) -> str:
        """The comparison's id."""
        return self.promoted or places.comparison_id(self.dataset_name, self.run_id)

    @property
    def started_by(self) -> Literal["promotion", "person"]:
        """Whether a promotion or a person started it."""
        return "person" if self.promoted is None else "promotion"

    def is_wanted(self) -> bool:
        """Return whether there are contestants; only genops.yaml is read for this."""
        return self.promoted is None or bool(self.dataset.comparison.contestants)

    def known_plan(self) -> ComparisonPlan | None:
        """Return the plan that an earlier try, or another Dag run, has settled; None where there is none."""
        return self.store.read(places.plan_path(self.id), ComparisonPlan)

    def plan(self) -> ComparisonPlan:
        """Return the plan; the first try settles it.

        Raises:
            StepAside: another Dag run does this comparison, or has done it.
            BadContestants, BadMetrics, BadRequest, EvaluationDataError, InputMissing: the request or a file is wrong;
                nothing was spent.
            OverCeiling: the form's budget is above that of genops.yaml.
        """
        plan = self.known_plan()
        if plan is None:
            plan = self.store.create_or_read(places.plan_path(self.id), self._settled())
        if plan.run_id != self.run_id:
            raise StepAside(f"the comparison {plan.id} is the work of Dag run {plan.run_id}")
        copy_prompts(self.store.bucket, plan.prompts, places.prompts_path(plan.id))
        return plan

    def draft(self) -> ComparisonPlan:
        """Return a plan without contestants, to record a comparison whose plan cannot be settled."""
        return self._made(contestants=(), prompts=self.dataset.evaluation.file, metrics=(), notes=())

    def _settled(self) -> ComparisonPlan:
        comparison, evaluation = self.dataset.comparison, self.dataset.evaluation
        comparison_budget(self.dataset, self.request.budget_usd)
        given, tuned_from = self.request.contestants, self.dataset.billed_model
        contestants = read_contestants(given, self.config.catalogue, tuned_from) or comparison.contestants
        if not contestants:
            raise BadRequest(
                f"There are no contestants to compare: neither the form nor `comparison.contestants` of {self.dataset_name} names any.",
                "Name contestants such as champion and gemini-3.5-flash.",
            )
        metrics = self.request.metrics or comparison.measured_with(evaluation)
        refuse_metrics(metrics, evaluation)
        notes = []
        if PAIRWISE in evaluation.metrics and metrics == usual_metrics(evaluation):
            notes.append("pairwise is left out: it compares two answers, and here each answer has a score of its own.")
        if any(one.generation_config.grounding is not None for one in contestants):
            notes.append(GROUNDING)
        return self._made(contestants=contestants, prompts=self._prompts(), metrics=tuple(metrics), notes=tuple(notes))

    def _made(
        self,
        *,
        contestants: tuple[Contestant, ...],
        prompts: str,
        metrics: tuple[str, ...],
        notes: tuple[str, ...],
    ) -> ComparisonPlan:
        champion = self.store.champion(self.dataset_name)
        return ComparisonPlan(
            candidate=self.id,
            written_at=datetime.now(UTC),
            dataset=self.dataset_name,
            run_id=self.run_id,
            started_by=self.started_by,
            champion=None if champion is None else champion.candidate,
            contestants=contestants,
            prompts=prompts,
            metrics=metrics,
            budget_usd=self._budget(None),
            notes=notes,
        )

    def _prompts(self) -> str:
        given = self.request.prompts.removeprefix(f"gs://{self.config.bucket}/")
        if not given:
            return self.dataset.comparison.prompts or self.dataset.evaluation.file
        if given.startswith(f"{_OWN_PROMPTS}/"):
            return given
        try:
            return object_name(given)
        except ValueError as error:
            raise BadRequest(
                f"`prompts` of the form is {given!r}: {error}", "Start the Dag again with it corrected."
            ) from error

    def prepared(self, plan: ComparisonPlan) -> list[PreparedContestant]:
        """Return the contestants; their properties raise if a model does not exist or its settings conflict.

        Raises:
            EvaluationDataError, InputMissing: the prompts cannot be used.
        """
        needed = [one.name for one in self.dataset.evaluation.measured(plan.metrics) if one.needs_reference]
        name = places.prompts_path(plan.id)
        examples = evaluation_examples(self.store.bucket, name, needs_reference=needed)
        return [PreparedContestant(self.config, self.store, plan, one, examples) for one in plan.contestants]

    def unfinished(self, plan: ComparisonPlan) -> set[str]:
        """Return the names of the contestants that have not completed."""
        return {
            one.name
            for one in plan.contestants
            if (found := self.store.read(places.result_path(plan.id, one.name), ContestantDocument)) is None
            or found.result.status != "completed"
        }

    def most(self, contestants: Sequence[PreparedContestant]) -> dict[str, Decimal]:
        """Return the most in USD that each contestant can cost, by name; one that cannot be asked is left out, and fails later."""
        found: dict[str, Decimal] = {}
        for one in contestants:
            try:
                found[one.contestant.name] = one.most_usd()
            except ConfigError:
                raise
            except PermanentError:
                continue
        return found

    def refusal(self, plan: ComparisonPlan, most: dict[str, Decimal]) -> tuple[str, Decimal] | None:
        """Return why the comparison must not begin, and the missing sum in USD; None where it may begin.

        Reservations of its contestants by an earlier try that died count as their own.
        """
        total = sum(most.values(), Decimal(0))
        each = ", ".join(f"{name} {usd(amount)}" for name, amount in most.items())
        # A contestant that tries again does not pay for kept answers again: its past spending is within its most.
        spent = self._spent(plan, but=most)
        hint = "Start it again with a higher limit, fewer contestants or fewer prompts."
        if plan.started_by == "promotion":
            hint = "Raise the limit in genops.yaml and clear the Dag run, or let `genops compare` ask fewer."
        hint = f"{'Nothing more' if spent else 'Nothing'} was spent. {hint}"
        budget = self._budget(plan.budget_usd)
        if budget is not None and spent + total > budget:
            missing = spent + total - budget
            before = f" on top of {usd(spent)} that others have spent" if spent else ""
            reason = (
                f"The comparison would cost at most {usd(total)} ({each}){before}, over `comparison.budget_usd` of "
                f"{usd(budget)}: {usd(missing)} are missing. {hint}"
            )
            return reason, missing
        refused = self._over_limits(plan, total)
        if refused is None:
            return None
        return f"{refused.reason} By contestant: {each}. {hint}", refused.missing_usd

    def _spent(self, plan: ComparisonPlan, *, but: Collection[str]) -> Decimal:
        """Return the cost of earlier tries in USD, without those of the contestants in `but`."""
        others = (one.name for one in plan.contestants if one.name not in but)
        found = (self.store.read(places.result_path(plan.id, name), ContestantDocument) for name in others)
        costs = (one.result.cost_usd for one in found if one is not None)
        return sum((cost for cost in costs if cost is not None), Decimal(0))

    def _budget(self, settled: Decimal | None) -> Decimal | None:
        """Return the lower of the form's budget and that of the present genops.yaml; `settled` where there is neither."""
        given = (self.request.budget_usd, self.dataset.comparison.budget_usd)
        return min((one for one in given if one is not None), default=settled)

    def _over_limits(self, plan: ComparisonPlan, total: Decimal) -> Refusal | None:
        if self._has_reserved(plan):
            return None
        return ledger_store.reserve(
            self.store,
            candidate=plan.id,
            dataset=plan.dataset,
            purpose="comparison",
            amount=total,
            limit=self.dataset.budget.monthly_usd,
            at=plan.written_at,
            project_limit=self.config.budget.monthly_usd,
            dry_run=True,
        )

    def _has_reserved(self, plan: ComparisonPlan) -> bool:
        """Return whether a contestant has begun; the limits are then checked for each contestant by itself."""
        return bool(ledger_store.all_accounts(self.store, month_of(plan.written_at), prefix=f"{plan.id}/"))
