"""What was acknowledged is there after `kill -9`: rows, tables, results, and jobs that were not done yet."""

from __future__ import annotations

import io
import subprocess
import sys
import threading

import pytest
from bigquery_stand_in import BigQueryProcess, made, rows
from google.api_core import exceptions
from google.cloud import bigquery
from requests.exceptions import RequestException
from storage_stand_in import PROJECT, resident_bytes, until
from waiting import HANG_SECONDS

NOT_NEEDED = ("airflow", "google.api_core", "google.cloud.bigquery", "grpc", "numpy", "pandas", "pyarrow", "sqlalchemy")
"""What would make a start slow."""


def test_a_kill_among_inserts_loses_nothing_acknowledged(own_bigquery: BigQueryProcess) -> None:
    client = own_bigquery.client()
    client.create_dataset("d")
    table = made(client, "d.t", ["n:INTEGER", "who:STRING"], description="Kept.")
    acknowledged: list[int] = []

    def insert() -> None:
        for number in range(100_000):
            try:
                errors = client.insert_rows_json(table, [{"n": number, "who": "x"}], retry=None, timeout=HANG_SECONDS)
            except (RequestException, exceptions.GoogleAPICallError):
                return
            assert errors == []
            acknowledged.append(number)

    worker = threading.Thread(target=insert)
    worker.start()
    until(lambda: len(acknowledged) > 50)
    own_bigquery.kill()
    worker.join()
    own_bigquery.start()
    found = [one["n"] for one in client.list_rows(table)]
    # The one that was under way may be there, without an answer.
    assert found in (acknowledged, [*acknowledged, len(acknowledged)])
    assert client.get_table(table).description == "Kept."
    client.close()


def test_jobs_results_and_insert_ids_survive_a_kill(own_bigquery: BigQueryProcess) -> None:
    client = own_bigquery.client()
    client.create_dataset("d")
    table = made(client, "d.t", ["n:INTEGER"])
    client.insert_rows_json(table, [{"n": 1}], row_ids=["a"])
    job = client.query("SELECT n + 1 AS m FROM d.t", job_id="asked-before", job_retry=None)
    job.result(timeout=HANG_SECONDS)
    own_bigquery.kill()
    own_bigquery.start()
    client.insert_rows_json(table, [{"n": 1}], row_ids=["a"])
    assert rows(client, "SELECT n FROM d.t") == [(1,)]
    assert [one["m"] for one in client.get_job("asked-before").result(timeout=HANG_SECONDS)] == [2]
    with pytest.raises(exceptions.Conflict):
        client.query("SELECT 1", job_id="asked-before", job_retry=None)
    client.close()


def test_a_job_that_was_taken_is_done_in_the_next_life_once(own_bigquery: BigQueryProcess) -> None:
    client = own_bigquery.client()
    client.create_dataset("d")
    made(client, "d.t", ["n:INTEGER"])
    own_bigquery.admin("PUT", "/faults", {"job_seconds": 1.0})
    config = bigquery.LoadJobConfig(source_format="NEWLINE_DELIMITED_JSON")
    job = client.load_table_from_file(io.BytesIO(b'{"n": 1}\n'), f"{PROJECT}.d.t", job_config=config)
    assert job.state == "RUNNING"
    own_bigquery.kill()
    own_bigquery.start()
    assert client.get_job(job.job_id).result(timeout=HANG_SECONDS).output_rows == 1
    own_bigquery.kill()
    own_bigquery.start()
    own_bigquery.admin("DELETE", "/faults")
    assert rows(client, "SELECT n FROM d.t") == [(1,)]
    client.close()


def test_it_is_light_and_imports_nothing_that_would_make_its_start_slow(own_bigquery: BigQueryProcess) -> None:
    assert own_bigquery.process is not None
    assert resident_bytes(own_bigquery.process) < 200 * 1024 * 1024
    code = f"import sys, gcp_stand_ins.bigquery.__main__; print(*sorted(set({NOT_NEEDED}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_second_process_on_the_same_state_says_so(own_bigquery: BigQueryProcess) -> None:
    second = BigQueryProcess(own_bigquery.state, own_bigquery.storage)
    with pytest.raises(AssertionError, match="another BigQuery stand-in runs on the same state"):
        second.start()


def test_the_standard_variable_leads_google_here(
    own_bigquery: BigQueryProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    from google.auth.credentials import AnonymousCredentials

    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", own_bigquery.url)
    client = bigquery.Client(project=PROJECT, credentials=AnonymousCredentials())
    assert rows(client, "SELECT 1") == [(1,)]
    client.close()
