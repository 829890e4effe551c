"""The context cache: made once, used by every call, paid for, removed; refused or lost, it costs no candidate."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from airflow.sdk.exceptions import AirflowSkipException
from answered_online import MODEL, Settings, answer, answers, failures, posting, prompts
from cloud import DATASET, StandIns
from made_up import context
from shapes import shapes_of

from genops_events.airflow.budget import CheckBudget
from genops_events.airflow.inference import AnswerPrompts
from genops_events.airflow.stage import record_failure
from genops_events.cascade import holds
from genops_events.catalogue.tokens import estimated_tokens
from genops_events.config import Config, load_config
from genops_events.gcp.errors import CloudUnavailable
from genops_events.gcp.record_store import RecordStore
from genops_events.gemini import calls
from genops_events.gemini.calls import CacheLost
from genops_events.inference import cache
from genops_events.inference.cache import CandidateCaches, find_all, made_for
from genops_events.record.inference import caches_path
from genops_events.record.stages import Stage

BOOK = "A long book. " * 700


def test_the_cache_is_made_once_used_by_every_call_and_removed(
    settings: Settings, cloud: StandIns, config: Config, store: RecordStore, candidate: str
) -> None:
    settings(cache={"text": BOOK}, dataset={"system_instruction": "Be kind."})
    prompts(store, *({"prompt": f"page {number}"} for number in range(5)), {"prompt": "x", "system_instruction": "y"})
    cloud.vertex.faults(error_code="503", error_share=1.0, error_methods=["generateContent"])
    before = cloud.vertex_calls("cachedContents.create")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calls, "TRIES", 1)
        for _ in range(2):
            with pytest.raises(CloudUnavailable):
                answer(candidate)
    assert len(find_all(config, candidate)) == 1  # making another for each try would be billed each time
    cloud.vertex.faults()
    done = answer(candidate)
    assert cloud.vertex_calls("cachedContents.create") == before + 1
    assert find_all(config, candidate) == []
    read_from = answers(store, candidate)
    assert len(read_from) == 5
    in_cache = estimated_tokens(BOOK) + estimated_tokens("Be kind.")
    assert {row["cached_tokens"] for row in read_from} == {in_cache}
    rates = config.rates(MODEL)
    read = rates.generation_cost(done["input_tokens"], done["output_tokens"], cached_tokens=5 * in_cache)
    verdict = store.verdict(candidate, Stage.INFERENCE)
    assert verdict is not None
    (made,) = made_for(store, candidate)
    kept = rates.keeping_cost(in_cache, 2)
    assert verdict.cost_usd == read + made.cost_usd(rates) == read + rates.generation_cost(in_cache, 0) + kept
    assert verdict.cost_usd <= Decimal(done["estimated_usd"])
    (failed,) = failures(store, candidate)
    assert "`system_instruction` cannot be a row's own where the dataset has a cache" in failed["reason"]


def test_a_refused_cache_costs_no_candidate_its_contents_go_before_each_prompt_and_are_paid(
    settings: Settings, cloud: StandIns, config: Config, store: RecordStore, candidate: str
) -> None:
    settings(cache={"text": BOOK}, dataset={"system_instruction": "Be kind."})
    prompts(store, *({"prompt": f"page {number}"} for number in range(3)))
    cloud.vertex.faults(error_code="400", error_share=1.0, error_methods=["cachedContents.create"])
    done = answer(candidate)
    assert (done["answered"], done["failed"]) == (3, 0)
    kept = answers(store, candidate)
    book = estimated_tokens(BOOK)
    assert all(row["input_tokens"] > book and row["cached_tokens"] == 0 for row in kept)
    verdict = store.verdict(candidate, Stage.INFERENCE)
    assert verdict is not None
    assert "Asked without `inference.cache`, since Vertex AI refused it: Could not create the cache" in verdict.reason
    assert verdict.cost_usd == config.rates(MODEL).generation_cost(done["input_tokens"], done["output_tokens"])
    assert Decimal(done["estimated_usd"]) >= verdict.cost_usd, "it was reserved"


def test_a_cache_that_genops_yaml_has_no_more_is_paid_for_all_the_same(
    settings: Settings, cloud: StandIns, config: Config, store: RecordStore, candidate: str
) -> None:
    settings(cache={"text": BOOK})
    prompts(store, {"prompt": "page 1"})
    cloud.vertex.faults(error_code="503", error_share=1.0, error_methods=["generateContent"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calls, "TRIES", 1)
        with pytest.raises(CloudUnavailable):
            answer(candidate)
    settings(cache=None)
    cloud.vertex.faults()
    done = answer(candidate)
    verdict = store.verdict(candidate, Stage.INFERENCE)
    assert verdict is not None
    rates = config.rates(MODEL)
    (made,) = made_for(store, candidate)
    assert verdict.cost_usd == rates.generation_cost(done["input_tokens"], done["output_tokens"]) + made.cost_usd(rates)


def test_a_failure_beside_a_cache_that_genops_yaml_has_no_more_keeps_the_reservation(
    settings: Settings, cloud: StandIns, store: RecordStore, candidate: str
) -> None:
    settings(cache={"text": BOOK})
    prompts(store, {"prompt": "page 1"})
    cloud.vertex.faults(error_code="503", error_share=1.0, error_methods=["generateContent"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calls, "TRIES", 1)
        with pytest.raises(CloudUnavailable) as caught:
            answer(candidate)
    settings(cache=None)
    record_failure(context(candidate, task=AnswerPrompts(task_id="answer"), exception=caught.value))
    verdict = store.verdict(candidate, Stage.INFERENCE)
    assert verdict is not None
    assert verdict.cost_usd is None, "a cache was made, and nobody has counted what it costs"


def test_the_cache_of_a_run_whose_tries_are_used_up_is_removed(
    settings: Settings, cloud: StandIns, config: Config, store: RecordStore, candidate: str
) -> None:
    settings(cache={"text": BOOK})
    prompts(store, {"prompt": "page 1"})
    cloud.vertex.faults(error_code="503", error_share=1.0, error_methods=["generateContent"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calls, "TRIES", 1)
        with pytest.raises(CloudUnavailable) as caught:
            answer(candidate)
    assert len(find_all(config, candidate)) == 1
    record_failure(context(candidate, task=AnswerPrompts(task_id="answer"), exception=caught.value))
    assert find_all(config, candidate) == []


@pytest.mark.parametrize(
    ("calls_of_one", "end"),
    [
        (5, "Answered 8 prompts. The context cache was made twice, since the first one was lost."),
        (3, "Asked without `inference.cache` in the end, since it was lost again: Could not ask "),
    ],
)
def test_a_cache_that_is_lost_amid_a_run_fails_no_row_and_is_paid_for(
    *,
    settings: Settings,
    cloud: StandIns,
    config: Config,
    store: RecordStore,
    candidate: str,
    calls_of_one: int,
    end: str,
) -> None:
    settings(cache={"text": BOOK})
    prompts(store, *({"prompt": f"page {number}"} for number in range(8)))
    cloud.vertex.faults(cache_uses=calls_of_one)
    done = answer(candidate)
    assert (done["outcome"], done["answered"], done["failed"]) == ("completed", 8, 0)
    assert end in done["reason"]
    from_cache = [row for row in answers(store, candidate) if row["cached_tokens"]]
    assert len(from_cache) == min(8, 2 * calls_of_one)
    caches = made_for(store, candidate)
    assert len(caches) == 2
    assert find_all(config, candidate) == []
    rates = config.rates(MODEL)
    cached_tokens = sum(row["cached_tokens"] for row in from_cache)
    read = rates.generation_cost(done["input_tokens"], done["output_tokens"], cached_tokens=cached_tokens)
    verdict = store.verdict(candidate, Stage.INFERENCE)
    assert verdict is not None
    assert verdict.cost_usd == read + sum(one.cost_usd(rates) for one in caches)
    assert verdict.cost_usd <= Decimal(done["estimated_usd"]), "both were reserved before they were made"


def test_a_lost_cache_that_is_still_listed_is_not_taken_again(
    settings: Settings, cloud: StandIns, store: RecordStore, candidate: str
) -> None:
    settings(cache={"text": BOOK})
    prompts(store, {"prompt": "page 1"})
    (gone,) = (shape for shape in shapes_of("errors") if shape.name == "cache_gone")
    cloud.vertex.faults(
        answers=[gone.answer("generateContent", times=1)],
        error_code="403",
        error_share=1.0,
        error_methods=["cachedContents.delete"],
    )
    done = answer(candidate)
    assert (done["answered"], done["failed"]) == (1, 0)
    first, second = made_for(store, candidate)
    assert first.name != second.name


def test_a_second_cache_that_would_go_over_a_limit_is_held_and_nothing_is_asked_twice(
    settings: Settings, cloud: StandIns, store: RecordStore, candidate: str
) -> None:
    settings(cache={"text": BOOK})
    prompts(store, *({"prompt": f"page {number}"} for number in range(8)))
    cloud.vertex.faults(cache_uses=3)
    before = cloud.vertex_calls("cachedContents.create")
    CheckBudget(task_id="check").execute(context(candidate))
    one = posting(store, candidate).reserved_usd
    settings(dataset={"budget": {"tuning_usd": 25, "inference_usd": str(one * Decimal("1.01")), "monthly_usd": 100}})
    with pytest.raises(AirflowSkipException, match="held: Inference would cost about"):
        answer(candidate)
    assert cloud.vertex_calls("cachedContents.create") == before + 1
    (hold,) = holds.held(store, candidate)
    cloud.vertex.faults()
    asked = cloud.vertex_calls("generateContent")
    holds.approve(store, hold, by="ada@laptop", reason="It is worth it.")
    assert answer(candidate, run_id="run-2")["answered"] == 8
    assert cloud.vertex_calls("generateContent") == asked + 5, "three were answered before"


def test_the_cache_of_a_try_that_died_is_found_again_unless_its_time_is_nearly_over(
    settings: Settings, cloud: StandIns, store: RecordStore, candidate: str
) -> None:
    settings(cache={"text": BOOK, "ttl_minutes": 5}, dataset={"system_instruction": "Be kind."})
    config = load_config()
    another = []
    caches = CandidateCaches(
        config,
        store,
        candidate,
        config.dataset(DATASET),
        model=MODEL,
        minutes=9,
        before_another=another.append,
    )
    dying = caches.one()
    died = dying.__enter__()  # and never left
    store.bucket.blob(caches_path(candidate)).delete()  # it died before this
    before = cloud.vertex_calls("cachedContents.create")
    with caches.one() as again:
        assert again.name == died.name
        assert [one.name for one in made_for(store, candidate)] == [died.name]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cache, "LEAST_LEFT_SECONDS", 301.0)
            with caches.one() as new:
                assert new.name != died.name
            assert another == [2]
            with pytest.raises(CacheLost, match="All 2 context caches of this candidate are gone"), caches.one():
                pass
    assert cloud.vertex_calls("cachedContents.create") == before + 1
    assert find_all(config, candidate) == []


def test_a_cache_is_extended_in_its_second_half_and_never_kept_longer_than_is_reserved(
    settings: Settings, cloud: StandIns, store: RecordStore, candidate: str
) -> None:
    settings(cache={"text": BOOK, "ttl_minutes": 60})
    config = load_config()
    caches = CandidateCaches(
        config, store, candidate, config.dataset(DATASET), model=MODEL, minutes=90, before_another=lambda _: None
    )

    def until() -> datetime:
        (found,) = find_all(config, candidate)
        assert found.expire_time is not None
        return found.expire_time

    with caches.one() as used:
        (made,) = made_for(store, candidate)
        assert until() == made.until == made.made_at + timedelta(minutes=60)
        before = cloud.vertex_calls("cachedContents.patch")
        used.extend()
        assert cloud.vertex_calls("cachedContents.patch") == before, "it has most of its time left"
        half_over = made.model_copy(update={"until": datetime.now(UTC) + timedelta(minutes=29)})
        for _ in range(2):
            caches.extend(half_over)
            (kept,) = made_for(store, candidate)
            assert until() == kept.until
            assert kept.until - made.until < timedelta(minutes=30)
            half_over = half_over.model_copy(update={"made_at": half_over.made_at - timedelta(minutes=45)})
        late = half_over.model_copy(update={"made_at": datetime.now(UTC) - timedelta(minutes=89)})
        assert caches.extend(late) == late, "no more is reserved"
