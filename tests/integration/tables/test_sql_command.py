"""`genops sql`, and the task that keeps its tables: as a person and as Airflow call them."""

from __future__ import annotations

import csv
import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException
from cloud import StandIn
from made_up import context
from tables_cloud import contents, whole_candidate
from typer.testing import CliRunner, Result

from genops_events.airflow.tables import ExportTables, TablesIncomplete
from genops_events.cli import app
from genops_events.config import Config
from genops_events.errors import PermanentError
from genops_events.gcp.record_store import RecordStore
from genops_events.record.paths import verdict_path
from genops_events.record.stages import Stage
from genops_events.tables import query as tables
from genops_events.tables.schema import TABLES


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def sql(*words: str, expect: int = 0) -> Result:
    done = CliRunner().invoke(app, ["sql", *words])
    assert done.exit_code == expect, done.output
    return done


def test_a_table_is_shown_to_people_and_json_and_csv_to_programs(config: Config, store: RecordStore) -> None:
    candidate = whole_candidate(config, store)
    query = "SELECT candidate, purpose, spent_usd, posted_at, approved_by FROM genops.spend WHERE purpose = 'tuning'"
    shown = sql("--refresh", query)
    assert candidate in shown.stderr
    assert "1 row, out of 1 files" in shown.stderr
    assert shown.stdout == ""
    [row] = json.loads(sql(query, "--json").stdout)
    assert (row["candidate"], row["purpose"], row["spent_usd"]) == (candidate, "tuning", "1.25")
    assert row["posted_at"].endswith("+00:00")
    assert row["approved_by"] is None
    [line] = csv.DictReader(io.StringIO(sql(query, "--csv").stdout))
    assert line == {key: "" if value is None else str(value) for key, value in row.items()}


def test_no_text_of_the_tables_is_a_formula_in_a_spreadsheet(config: Config, store: RecordStore) -> None:
    formula = '=HYPERLINK("http://evil.example","look")'
    query = f"SELECT '{formula}' AS a, '-1' AS b, -1 AS c, chr(27) || '[2J' || chr(10) || 'forged' AS \"=d\""
    [line] = csv.DictReader(io.StringIO(sql(query, "--csv").stdout))
    assert line == {"a": f"'{formula}", "b": "-1", "c": "-1", "'=d": "\x1b[2J\nforged"}
    [row] = json.loads(sql(query, "--json").stdout)
    assert row["a"] == formula
    assert "\\x1b[2J\\nforged" in sql(query).stderr


def test_without_a_query_it_lists_the_tables_and_asks_no_cloud(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENOPS_CONFIG", "nowhere.yaml")
    listed = sql().stderr
    assert all(f"genops.{name}" in listed for name in TABLES)
    assert set(json.loads(sql("--json").stdout)) == set(TABLES)


def test_a_wrong_query_is_an_error_for_people_with_the_columns_that_there_are(config: Config) -> None:
    told = sql("SELECT scores FROM genops.evaluations", expect=1).stderr
    assert "scores" in told
    assert "genops.evaluations: run, contestant, position, metric" in told


@pytest.mark.parametrize(
    "query",
    [
        "SELECT content FROM read_text('{}')",
        "SELECT * FROM '{}'",
        "FROM read_parquet('{}', union_by_name = true)",
        "COPY (SELECT 1) TO '{}'",
        "ATTACH '{}' AS other",
        "SELECT * FROM read_csv('http://127.0.0.1:9/x.csv')",
        "INSTALL httpfs",
        "SET enable_external_access = true",
    ],
)
def test_a_query_reaches_nothing_but_the_tables(config: Config, store: RecordStore, tmp_path: Path, query: str) -> None:
    whole_candidate(config, store)
    file = tmp_path / "other.csv"
    file.write_text("secret\n", encoding="utf-8")
    done = sql(query.format(file), expect=1)
    assert "secret" not in done.output
    assert "There are:" in done.stderr
    assert file.read_text(encoding="utf-8") == "secret\n"


def test_the_task_fills_bucket_and_bigquery_and_then_has_nothing_to_do(wanted: Config, store: RecordStore) -> None:
    whole_candidate(wanted, store)
    task: Any = ExportTables(task_id="export")
    figures = task.execute(context(None))
    assert (figures["candidates"], figures["ledgers"], figures["loaded_parts"]) == (1, 1, 4)
    assert {name: len(rows) for name, rows in contents(wanted).items()} == figures["loaded_rows"]
    with pytest.raises(AirflowSkipException, match="nothing has changed"):
        task.execute(context(None))


def test_the_task_names_what_it_cannot_read_after_everything_else_is_loaded(wanted: Config, store: RecordStore) -> None:
    bad = whole_candidate(wanted, store)
    store.bucket.blob(verdict_path(bad, Stage.TUNING)).upload_from_string("{}")
    whole_candidate(wanted, store)
    task: Any = ExportTables(task_id="export")
    with pytest.raises(TablesIncomplete, match=bad):
        task.execute(context(None))
    assert len(contents(wanted)["candidates"]) == 1


def test_bigquery_that_is_away_leaves_the_parquet_up_to_date(
    wanted: Config, warehouse: StandIn, store: RecordStore
) -> None:
    whole_candidate(wanted, store)
    warehouse.faults(error_share=1, error_code="403")
    task: Any = ExportTables(task_id="export")
    with pytest.raises(PermanentError, match="dataset"):
        task.execute(context(None))
    assert "1" in sql("SELECT count(*) AS n FROM candidates", "--csv").stdout.splitlines()


def test_queries_at_the_same_time_share_what_is_kept(config: Config, store: RecordStore, tmp_path: Path) -> None:
    for _ in range(8):
        whole_candidate(config, store)
    sql("--refresh")
    query = "SELECT count(*) FROM genops.completions"
    for number in range(6):
        cache = tmp_path / f"kept-{number}"
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda _, cache=cache: tables.query(store, query, cache=cache).rows, range(4)))
        assert found == [found[0]] * 4
        assert not [one for one in cache.rglob("*") if one.is_file() and one.suffix != ".parquet"]
