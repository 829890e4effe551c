"""Run the Pub/Sub stand-in: `python -m gcp_stand_ins.pubsub --port P --admin-port A --state DIR`."""

from __future__ import annotations

import asyncio

from gcp_stand_ins.pubsub.server import serve
from gcp_stand_ins.recording import record_of
from gcp_stand_ins.serving import arguments, log_to_standard_error


def main() -> None:
    """Serve until SIGTERM."""
    given = arguments("pubsub").parse_args()
    log_to_standard_error()
    asyncio.run(
        serve(
            host=given.host,
            port=given.port,
            admin_port=given.admin_port,
            state=given.state,
            record=record_of(given, "pubsub"),
        )
    )


if __name__ == "__main__":
    main()
