"""BigQuery beside the other stand-ins, and candidates whose rows are to be in the tables."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from cloud import StandIn, StandIns, until
from google.cloud import bigquery
from made_up import arrived, ended, now
from waiting import HANG_SECONDS

from genops_events.config import Config, load_config
from genops_events.evaluation.files import write_rows
from genops_events.evaluation.rows import Row
from genops_events.gcp import ledger_store
from genops_events.gcp.clients import bigquery_client
from genops_events.gcp.outbox import announce
from genops_events.gcp.record_store import RecordStore
from genops_events.record.evaluation import rows_path
from genops_events.record.paths import open_path
from genops_events.record.stages import Outcome, Stage
from genops_events.record.tables import pending_prefix

TABLE_NAMES = ("candidates", "completions", "evaluations", "spend")
_started: list[StandIn] = []


@pytest.fixture(scope="module")
def warehouse(
    stand_ins: StandIns, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StandIn]:
    """The BigQuery stand-in, shared by all test files."""
    if not _started:
        started = StandIn("bigquery", tmp_path_factory.mktemp("warehouse"))
        request.session.addfinalizer(started.stop)
        started.start("--storage", f"http://{stand_ins.storage.address}")
        until(started.is_healthy, what="health of bigquery")
        _started.append(started)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("BIGQUERY_EMULATOR_HOST", f"http://{_started[0].address}")
        yield _started[0]


@pytest.fixture
def wanted(config: Config, warehouse: StandIn, tmp_path: Any) -> Iterator[Config]:
    """The configuration with a dataset of the test's own; whatever faults a test sets end with it."""
    file = tmp_path / "genops.yaml"
    settings = yaml.safe_load(file.read_text(encoding="utf-8"))
    settings["tables"] = {"bigquery": f"genops_{uuid.uuid4().hex[:8]}"}
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    yield load_config()
    warehouse.faults()


def with_dataset(config: Config, dataset: str) -> Config:
    """Return a configuration with another dataset, or `off`."""
    tables = config.tables.model_copy(update={"bigquery": dataset})
    return config.model_copy(update={"tables": tables})


def whole_candidate(config: Config, store: RecordStore, *, rows: int = 3) -> str:
    """Return a candidate that was tuned, evaluated and promoted, with its money and its events."""
    arrival = arrived(config, store)
    candidate = arrival.candidate
    assert store.create(open_path(candidate), arrival)
    began = now()
    amounts: dict[str, Any] = {"candidate": candidate, "at": began}
    for purpose, usd in (("tuning", "1.5"), ("inference", "0.25")):
        refused = ledger_store.reserve(
            store, dataset=arrival.dataset, purpose=purpose, amount=_usd(usd), limit=_usd("1000000"), **amounts
        )
        assert refused is None
    verdicts = (
        (Stage.TUNING, Outcome.SUCCEEDED, {"model": "models/1", "endpoint": "endpoints/1", "cost_usd": "1.25"}),
        (Stage.EVALUATION, Outcome.PASSED, {"scores": {"exact_match": 0.5}, "cost_usd": "0.000001"}),
        (Stage.PROMOTION, Outcome.PROMOTED, {"metric": "exact_match", "score": 0.5}),
    )
    scored = [
        Row(
            id=f"line-{number}",
            prompt="Where is my card?",
            reference="card",
            answer="card",
            scores={"exact_match": 1.0},
        )
        for number in range(1, rows)
    ]
    scored.append(Row(id="odd", prompt="?", reference="x", failures={"exact_match": "exact_match gave no score"}))
    write_rows(store.bucket, rows_path(candidate), scored)
    for stage, outcome, figures in verdicts:
        announce(config, store, ended(store, stage, outcome, candidate, **figures))
    ledger_store.settle(store, purpose="tuning", spent=_usd("1.25"), **amounts)
    return candidate


def _usd(amount: str) -> Any:
    from decimal import Decimal

    return Decimal(amount)


def contents(config: Config) -> dict[str, list[tuple[Any, ...]]]:
    """Return all rows of all tables of the dataset, in a fixed order, as google-cloud-bigquery reads them."""
    client = bigquery_client(config)
    try:
        return {name: _rows(client, config, name) for name in TABLE_NAMES}
    finally:
        client.close()


def pending(config: Config, store: RecordStore) -> list[str]:
    """Return the marks of the parts that have to be loaded into BigQuery."""
    dataset = config.tables.dataset or ""
    return [name for table in TABLE_NAMES for name in store.names(pending_prefix(dataset, table))]


def _rows(client: bigquery.Client, config: Config, name: str) -> list[tuple[Any, ...]]:
    found = client.query(f"SELECT * FROM `{config.project}.{config.tables.dataset}.{name}`").result(
        timeout=HANG_SECONDS
    )
    return sorted((tuple(one.values()) for one in found), key=str)
