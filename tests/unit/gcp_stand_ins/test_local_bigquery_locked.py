"""What SQL reaches at the BigQuery stand-in's DuckDB, whatever a parser in front of it lets through."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from gcp_stand_ins.bigquery.database import Database, text


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(tmp_path / "state" / "bigquery.duckdb")
    yield made
    made.close()


def test_no_statement_reaches_a_file_of_this_machine_or_unlocks_it(database: Database, tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("secret")
    for sql in (
        f"SELECT * FROM read_text({text(outside)})",
        f"SELECT * FROM {text(outside)}",
        f"COPY (SELECT 1) TO {text(tmp_path / 'written.csv')}",
        f"ATTACH {text(tmp_path / 'other.duckdb')}",
        "SET enable_external_access = true",
        "SET allowed_directories = ['/']",
        "INSTALL httpfs",
    ):
        with pytest.raises(duckdb.Error):
            database.execute(sql)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outside.txt", "state"]


def test_what_a_load_job_has_brought_can_be_read(database: Database) -> None:
    for folder in (database.scratch, database.uploads):
        (folder / "rows.json").write_text('{"n": 1}\n')
        assert database.rows(f"SELECT n FROM read_json({text(folder / 'rows.json')})") == [(1,)]
