"""`python -m gcp_stand_ins.storage`: serve the Cloud Storage stand-in until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging

from starlette.routing import Route

from gcp_stand_ins.faults import FaultSwitch, admin_app
from gcp_stand_ins.recording import record_of, recorded
from gcp_stand_ins.serving import arguments, log_to_standard_error, serve_until_stopped, server
from gcp_stand_ins.storage.application import StorageApplication
from gcp_stand_ins.storage.buckets import Buckets
from gcp_stand_ins.storage.calls import Calls
from gcp_stand_ins.storage.content import ContentFolder
from gcp_stand_ins.storage.copies import Copies
from gcp_stand_ins.storage.database import Database
from gcp_stand_ins.storage.delivery import Delivery
from gcp_stand_ins.storage.downloads import Downloads
from gcp_stand_ins.storage.faults import StorageFaults
from gcp_stand_ins.storage.listing import Listing
from gcp_stand_ins.storage.notifications import Notifications
from gcp_stand_ins.storage.objects import Objects
from gcp_stand_ins.storage.pace import Pace
from gcp_stand_ins.storage.sessions import Sessions
from gcp_stand_ins.storage.uploads import Uploads

log = logging.getLogger("gcp_stand_ins.storage")


async def serve(given: argparse.Namespace) -> None:
    """Serve the API, the admin route and the outbox in one event loop."""
    base_url = f"http://{given.host}:{given.port}"
    database = Database(given.state / "storage.sqlite3")
    contents = ContentFolder(given.state / "content", database)
    sessions = Sessions(database, contents)
    known = database.execute("SELECT content FROM objects UNION SELECT content FROM uploads").fetchall()
    swept = contents.sweep({key for (key,) in known})
    faults = FaultSwitch(given.state / "faults.json", StorageFaults)
    delivery = Delivery(database, faults, given.pubsub)
    notifications = Notifications(database, base_url)
    pace = Pace(faults, given.object_write_seconds)
    buckets = Buckets(database, notifications, pace)
    objects = Objects(
        database=database,
        contents=contents,
        buckets=buckets,
        notifications=notifications,
        pace=pace,
        wake_delivery=delivery.wake,
    )
    calls = Calls(
        buckets=buckets,
        objects=objects,
        listing=Listing(database, buckets),
        uploads=Uploads(objects, contents, sessions),
        downloads=Downloads(objects, contents),
        copies=Copies(objects, contents),
        notifications=notifications,
        delivery=delivery,
    )
    application = recorded(StorageApplication(calls, faults, base_url), record_of(given, "storage"))
    api = server(application, host=given.host, port=given.port)
    admin_routes = admin_app(faults, StorageFaults)
    admin_routes.routes.append(Route("/outbox", delivery.show))
    admin_routes.routes.append(Route("/writes", pace.show, methods=["GET", "DELETE"]))
    admin = server(admin_routes, host=given.host, port=given.admin_port)
    log.info(
        "Cloud Storage stand-in on %s, state in %s, notifications to %s%s",
        base_url,
        given.state,
        given.pubsub,
        f", {swept} contents of unfinished uploads removed" if swept else "",
    )
    delivering = asyncio.create_task(delivery.run())
    serving = asyncio.create_task(serve_until_stopped(api, admin))
    try:
        # Without its outbox this process would take uploads and tell nobody: better to end and be restarted.
        done, _ = await asyncio.wait({delivering, serving}, return_when=asyncio.FIRST_COMPLETED)
        for one in done:
            one.result()
    finally:
        for task in (delivering, serving):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        database.close()


def main() -> None:
    """Parse the command line and serve."""
    log_to_standard_error()
    parser = arguments("storage")
    parser.add_argument("--pubsub", required=True, metavar="HOST:PORT", help="where notifications are published")
    parser.add_argument(
        "--object-write-seconds",
        type=float,
        default=1.0,
        metavar="SECONDS",
        help="changes of one object name are so far apart, or refused with 429; 0 for no limit (default: 1, as Cloud Storage has it)",
    )
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
