"""`python -m gcp_stand_ins.bigquery`: serve the BigQuery stand-in until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import logging

from gcp_stand_ins.bigquery.application import BigQueryApplication
from gcp_stand_ins.bigquery.catalog import Catalog
from gcp_stand_ins.bigquery.database import Database
from gcp_stand_ins.bigquery.faults import BigQueryFaults
from gcp_stand_ins.bigquery.gcs import CloudStorage
from gcp_stand_ins.bigquery.jobs import Jobs
from gcp_stand_ins.bigquery.results import drop_old_results
from gcp_stand_ins.bigquery.uploads import Uploads
from gcp_stand_ins.faults import FaultSwitch, admin_app
from gcp_stand_ins.recording import record_of, recorded
from gcp_stand_ins.serving import arguments, log_to_standard_error, serve_until_stopped, server

log = logging.getLogger("gcp_stand_ins.bigquery")


async def serve(given: argparse.Namespace) -> None:
    """Serve the API and the admin route in one event loop; DuckDB has a thread of its own."""
    base_url = f"http://{given.host}:{given.port}"
    database = Database(given.state / "bigquery.duckdb")
    faults = FaultSwitch(given.state / "faults.json", BigQueryFaults)
    catalog = Catalog(database, base_url)
    for left in database.scratch.iterdir():
        left.unlink()
    with database.transaction():
        catalog.drop_expired()
        drop_old_results(database)
    async with CloudStorage(given.storage) as storage:
        jobs = Jobs(catalog, faults, storage, base_url)
        await jobs.resume()
        log.info("BigQuery stand-in on %s, state in %s, gs:// from %s", base_url, given.state, given.storage)
        application = BigQueryApplication(catalog, jobs, Uploads(database.uploads), faults)
        api = recorded(application, record_of(given, "bigquery"))
        try:
            await serve_until_stopped(
                server(api, host=given.host, port=given.port),
                server(admin_app(faults, BigQueryFaults), host=given.host, port=given.admin_port),
            )
        finally:
            await jobs.stop()
            database.close()


def main() -> None:
    """Parse the command line and serve."""
    log_to_standard_error()
    parser = arguments("bigquery")
    parser.add_argument("--storage", required=True, help="address of the storage API, http://HOST:PORT")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
