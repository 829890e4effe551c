"""The work that online and batch inference share: prompts, model, plan, requests and the verdict."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property

from genops_events.budget.sizes import kept_minutes
from genops_events.budget.work import inference_limit, priced
from genops_events.cascade.holds import rounds_of
from genops_events.cascade.spending import estimated, pay_for
from genops_events.cascade.stage_run import StageRun
from genops_events.config.inference import Inference
from genops_events.errors import PermanentError
from genops_events.gcp.parts import remove_parts
from genops_events.gemini.calls import AllRefused, CacheLost
from genops_events.gemini.estimate import prompt_tokens
from genops_events.gemini.kept import KeptRows
from genops_events.gemini.online import answer_online
from genops_events.gemini.pace import Pace
from genops_events.gemini.prompts import BadRow, PromptRow
from genops_events.gemini.replies import Totals
from genops_events.gemini.requests import Requests
from genops_events.gemini.results import WrittenRows, copy_prompts, nothing_to_ask, rows_of, write_results
from genops_events.gemini.served import served_requests
from genops_events.inference.cache import MOST_CACHES, CacheRefused, CandidateCaches, ContextCache, caches_usd
from genops_events.inference.choice import choose
from genops_events.record import inference as places
from genops_events.record.endings import in_words
from genops_events.record.inference import InferencePlan, InferenceProgress
from genops_events.record.paths import answers_path, prompts_path
from genops_events.record.stages import Outcome, Stage
from genops_events.record.verdicts import InferenceVerdict, Verdict

log = logging.getLogger(__name__)


class NoBatch(PermanentError):
    """`inference.mode` is batch, and a batch job cannot answer for this model."""


class CandidateInference:
    """Inference of one candidate, in one Dag run.

    Args:
        run: the run of the stage; it has taken the stage on.
    """

    def __init__(self, run: StageRun) -> None:
        self.run = run
        self.bucket = run.store.bucket
        self.candidate = run.candidate
        self._reported_from: tuple[datetime, int] | None = None

    @property
    def inference(self) -> Inference:
        """The dataset's entry in genops.yaml."""
        return self.run.dataset.inference

    @cached_property
    def prompts(self) -> str:
        """Name of the copy of the prompt file that is answered: the one that the budget stage has priced."""
        return prompts_path(self.candidate, rounds_of(self.run.store, self.candidate, Stage.BUDGET).released)

    def rows(self) -> Iterator[PromptRow | BadRow]:
        """Return the rows of that copy."""
        return rows_of(self.bucket, self.prompts, readable=self.run.config.addresses)

    @property
    def answered_by(self) -> str:
        """Name of the model in the answers."""
        return self.run.tuning.model or self.run.endpoint

    @cached_property
    def plan(self) -> InferencePlan:
        """The model and the way in which it is asked; the first try settles them.

        Raises:
            PromptsMissing: there is no prompt file, or no row in it can be asked.
            NoBatch: `inference.mode` is batch, and a batch job cannot answer for this model.
        """
        copy_prompts(
            self.bucket, self.inference.prompts, self.prompts
        )  # the budget stage of older versions made no copy
        known = self.run.store.read(places.plan_path(self.candidate), InferencePlan)
        return known if known is not None else self._settled()

    def _settled(self) -> InferencePlan:
        figures = self.run.config.file_figures(self.run.dataset.billed_model)
        found = prompt_tokens(self.rows(), self.requests(None), figures)
        if not found.rows:
            raise nothing_to_ask(self.run.config.uri(self.inference.prompts), found.first_bad)
        rates = self.run.config.rates_for(self.run.dataset)
        online, batch = (rates.most_for(found.asked, found.answered, batch=one) for one in (False, True))
        not_batch = self._not_batch()
        if self.inference.mode == "batch" and not_batch:
            raise NoBatch(f"`inference.mode` is batch, but {not_batch}.", "Set it to online or auto.")
        choice = choose(self.inference, rows=found.rows, online_usd=online, batch_usd=batch, not_batch=not_batch)
        plan = InferencePlan(
            candidate=self.candidate,
            written_at=datetime.now(UTC),
            way=choice.way,
            why=choice.why,
            model=self.run.endpoint if choice.way == "online" else self._batch_model(),
            rows=found.rows + found.bad_rows,
            bad_rows=found.bad_rows,
            most_usd=batch if choice.way == "batch" else online,
        )
        return self.run.store.create_or_read(places.plan_path(self.candidate), plan)

    def pay(self, *, caches: int = 1, is_cache_refused: bool = False) -> None:
        """Reserve what the answers may cost on top of the reservation: genops.yaml or a price was changed, or a cache refused.

        Args:
            caches: context caches that are made in all.
            is_cache_refused: whether prompts are asked without one.

        Raises:
            StepAside: it would go over a limit, and is held until a person approves it.
        """
        batch = self.plan.way == "batch"
        _, most = priced(self.run, self.prompts, batch=batch, caches=caches, is_cache_refused=is_cache_refused)
        pay_for(self.run, "inference", most, limit=inference_limit(self.run))

    def _not_batch(self) -> str:
        """Return why a batch job cannot answer for this model; empty where it can."""
        if self.run.dataset.tuning.serve_checkpoint != "last":
            return "a batch job answers with the model's last checkpoint, and `tuning.serve_checkpoint` is another"
        return ""

    def _batch_model(self) -> str:
        """Return the model that a batch job is submitted for: the resource of a tuned model, not its endpoint."""
        endpoint = self.run.endpoint
        return endpoint if "/publishers/" in endpoint else self.run.tuning.model or endpoint

    def requests(self, cache: str | None, *, is_cache_refused: bool = False) -> Requests:
        """Return the maker of the requests, for a cache or for none."""
        return served_requests(self.run.config, self.run.dataset, cache=cache, is_cache_refused=is_cache_refused)

    def answer_online(self) -> Verdict:
        """Answer the rows that have no kept result, and return the recorded verdict.

        Raises:
            CloudUnavailable: a call failed after its retries; the next try continues from the kept rows.
            StepAside: Vertex AI refuses or loses the cache, and what the prompts cost then would go over a limit.
        """
        remark = ""
        if self.inference.cache is None:
            refused = self._ask_online(self.requests(None), None)
        else:
            refused, remark = self._ask_with_cache()
        if refused is not None:
            return self._none_taken(refused, making_usd=self._caches_usd)
        done = self.run.store.verdict(self.candidate, Stage.INFERENCE)
        if (
            done is not None
        ):  # another try has written the files and removed the parts: writing again would empty the files
            return done
        written = write_results(
            self.bucket,
            self._kept.in_order(),
            answers=answers_path(self.candidate),
            failures=places.failures_path(self.candidate),
        )
        verdict = self.conclude(written, batch=False, making_usd=self._caches_usd, remark=remark)
        # The files have all rows; a crash before this line leaves a few small objects.
        remove_parts(self.bucket, places.parts_prefix(self.candidate))
        return verdict

    @property
    def _kept(self) -> KeptRows:
        return KeptRows(self.bucket, places.parts_prefix(self.candidate))

    def _ask_with_cache(self) -> tuple[AllRefused | None, str]:
        """Ask with the context cache, with a second one where Vertex AI loses the first, and else without any.

        Returns what `_ask_online` does, and a sentence for the verdict.
        """
        caches = CandidateCaches(
            self.run.config,
            self.run.store,
            self.candidate,
            self.run.dataset,
            model=self.plan.model,
            minutes=kept_minutes(self.run.config, self.run.dataset, self.plan.rows),
            before_another=lambda number: self.pay(caches=number),
        )
        remark = ""
        while not remark:
            try:
                with caches.one() as cache:
                    refused = self._ask_online(self.requests(cache.name), cache)
            except CacheRefused as error:
                remark = f"Asked without `inference.cache`, since Vertex AI refused it: {error.message}"
            except CacheLost as error:
                log.warning("A context cache of this candidate is lost. %s", error)
                if len(caches.made) >= MOST_CACHES:
                    remark = f"Asked without `inference.cache` in the end, since it was lost again: {error.message}"
            else:
                again = len(caches.made) > 1
                return refused, "The context cache was made twice, since the first one was lost." if again else ""
        log.warning(remark)
        self.pay(caches=len(caches.made), is_cache_refused=True)
        return self._ask_online(self.requests(None, is_cache_refused=True), None), remark

    def _ask_online(self, requests: Requests, cache: ContextCache | None) -> AllRefused | None:
        """Ask until every row is kept, answered or failed; return the error if Vertex AI refused all of them."""
        config, plan = self.run.config, self.plan

        def on_progress(totals: Totals) -> None:
            if cache is not None:
                cache.extend()
            self.report_progress("asking", totals)

        on_progress(Totals())
        try:
            answer_online(
                config,
                model=plan.model,
                name=self.answered_by,
                rows=self.rows(),
                requests=requests,
                kept=self._kept,
                pace=Pace.of(self.bucket, config.quota_of(plan.model, self.run.dataset.billed_model)),
                on_progress=on_progress,
            )
        except AllRefused as error:
            return error
        return None

    @property
    def _caches_usd(self) -> Decimal:
        """The cost of making and keeping context caches; reading them is billed with each answer."""
        # Asked of the record, whatever genops.yaml says now: an earlier try may have made one.
        return caches_usd(self.run.store, self.candidate, self.run.config.rates_for(self.run.dataset))

    def _none_taken(self, error: AllRefused, *, making_usd: Decimal) -> Verdict:
        """Record a failure without answers: refusals cost nothing, and the reservation is released."""
        return self.run.conclude(
            InferenceVerdict,
            Outcome.FAILED,
            error.message,
            prompts=self.plan.rows,
            answered=0,
            way=self.plan.way,
            why=self.plan.why,
            estimated_usd=estimated(self.run, "inference"),
            cost_usd=making_usd,
            help=error.hint,
        )

    def report_progress(self, state: str, totals: Totals, *, job: str | None = None) -> None:
        """Write the progress of inference into the record."""
        now = datetime.now(UTC)
        since = self._reported_from or (now, totals.rows)
        self._reported_from = since
        minutes = (now - since[0]).total_seconds() / 60
        progress = InferenceProgress(
            candidate=self.candidate,
            written_at=now,
            state=state,
            job=job,
            rows=totals.rows,
            rows_total=self.plan.rows,
            failed=totals.failed,
            per_minute=round((totals.rows - since[1]) / minutes) if minutes else None,
        )
        self.run.store.put(places.progress_path(self.candidate), progress)

    def conclude(
        self,
        written: WrittenRows,
        *,
        batch: bool,
        making_usd: Decimal = Decimal(0),
        remark: str = "",
        is_unwanted: bool = False,
        **figures: str | None,
    ) -> Verdict:
        """Record the verdict: failed only where no prompt is answered, or a person has cancelled it.

        Args:
            written: figures of the files of answers and failures.
            batch: whether a batch job made the answers.
            making_usd: cost of making the cache, on top of the answers.
            remark: a sentence for the reason, about a refused cache or a batch job that did not succeed and has some answers.
            is_unwanted: whether a person has cancelled it: its answers are kept and paid for, but it is not completed.
            figures: further figures of the verdict.
        """
        totals = written.totals
        failed = totals.failed
        reason = f"Answered {totals.answered:,} of {totals.rows:,} prompts."
        if not failed:
            reason = f"Answered {totals.answered:,} prompts."
        if unusable := in_words(totals.unusable):
            reason += f" Of the answers, {unusable}."
        if failed:
            reason += f" Most often: {written.most_often.rstrip('.')}."
        reason += f" {remark}" if remark else ""
        rates = self.run.config.rates_for(self.run.dataset)
        return self.run.conclude(
            InferenceVerdict,
            Outcome.COMPLETED if totals.answered and not is_unwanted else Outcome.FAILED,
            reason,
            prompts=totals.rows,
            answered=totals.answered,
            failed=failed,
            blocked=totals.blocked,
            cut=totals.cut,
            empty=totals.empty,
            way=self.plan.way,
            why=self.plan.why,
            estimated_usd=estimated(self.run, "inference"),
            answers_uri=self.run.config.uri(answers_path(self.candidate)),
            failures_uri=self.run.config.uri(places.failures_path(self.candidate)) if failed else None,
            input_tokens=totals.input_tokens,
            output_tokens=totals.output_tokens,
            cost_usd=totals.cost_usd(rates, batch=batch) + making_usd,
            **figures,
        )
