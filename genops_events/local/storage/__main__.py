"""`python -m genops_events.local.storage`: serve the Cloud Storage stand-in until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging

from starlette.routing import Route

from genops_events.local.faults import FaultSwitch, admin_app
from genops_events.local.serving import arguments, log_to_standard_error, serve_until_stopped, server
from genops_events.local.storage.application import StorageApplication
from genops_events.local.storage.buckets import Buckets
from genops_events.local.storage.calls import Calls
from genops_events.local.storage.content import ContentFolder
from genops_events.local.storage.copies import Copies
from genops_events.local.storage.database import Database
from genops_events.local.storage.delivery import Delivery
from genops_events.local.storage.downloads import Downloads
from genops_events.local.storage.faults import StorageFaults
from genops_events.local.storage.listing import Listing
from genops_events.local.storage.notifications import Notifications
from genops_events.local.storage.objects import Objects
from genops_events.local.storage.sessions import Sessions
from genops_events.local.storage.uploads import Uploads

log = logging.getLogger("genops.local.storage")


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
    buckets = Buckets(database, notifications)
    objects = Objects(
        database=database,
        contents=contents,
        buckets=buckets,
        notifications=notifications,
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
    api = server(StorageApplication(calls, faults, base_url), host=given.host, port=given.port)
    admin_routes = admin_app(faults, StorageFaults)
    admin_routes.routes.append(Route("/outbox", delivery.show))
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
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
