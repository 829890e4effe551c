"""Look at the state of long-running Vertex AI jobs, asynchronously."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from genops_events.gcp.clients import genai_client
from genops_events.gcp.errors import google_call
from genops_events.polling import ABSENT

if TYPE_CHECKING:
    from google.genai.client import AsyncClient

LOOK_TIMEOUT_SECONDS = 30.0
NOT_FOUND = 404


class JobStates:
    """Reads the states of the tuning jobs of one project and region.

    Args:
        project: project id.
        location: region.
    """

    def __init__(self, *, project: str, location: str) -> None:
        # One attempt: whoever waits for a job backs off by itself, and logs it.
        self._owner = genai_client(project, location, attempts=1)  # closes its connections when it is collected
        self._client: AsyncClient = self._owner.aio

    async def state(self, job: str) -> str:
        """Return the state of `job` as the API names it, or `ABSENT` where there is no such job.

        Raises:
            CloudUnavailable: the service does not answer.
            CloudRefused: the call is not allowed.
        """
        from google.genai import errors

        with google_call(f"look at {job}"):
            try:
                async with asyncio.timeout(LOOK_TIMEOUT_SECONDS):
                    found = await self._client.tunings.get(name=job)
            except errors.APIError as error:
                if error.code == NOT_FOUND:
                    return ABSENT
                raise
        return found.state.value if found.state is not None else "JOB_STATE_UNSPECIFIED"

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
        self._owner.close()
