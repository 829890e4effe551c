"""The Google provider's `PubsubPullTrigger`, as it is, but connected to the emulator.

It lies in Airflow's plugins folder, which every Airflow process searches for modules, beside the provider itself.
"""

from __future__ import annotations

import os
from functools import cached_property
from typing import Any

import usual_way_provider  # noqa: F401 - what follows is found only then
from airflow.providers.google.cloud.hooks.pubsub import PubSubAsyncHook
from airflow.providers.google.cloud.triggers.pubsub import PubsubPullTrigger


class EmulatorHook(PubSubAsyncHook):
    """The provider's hook, whose client goes where PUBSUB_EMULATOR_HOST says; the provider does not read that."""

    async def _get_subscriber_client(self) -> Any:
        if self._client is None:
            import grpc
            from google.pubsub_v1 import SubscriberAsyncClient
            from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcAsyncIOTransport

            channel = grpc.aio.insecure_channel(os.environ["PUBSUB_EMULATOR_HOST"])
            self._client = SubscriberAsyncClient(transport=SubscriberGrpcAsyncIOTransport(channel=channel))
        return self._client


class LocalPubsubPullTrigger(PubsubPullTrigger):
    """The provider's trigger: pull, ack and yield are its own code."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the provider's arguments under this class's path."""
        return "usual_way_trigger.LocalPubsubPullTrigger", super().serialize()[1]

    @cached_property
    def hook(self) -> PubSubAsyncHook:
        """Return the hook, built as the provider builds its own."""
        return EmulatorHook(
            gcp_conn_id=self.gcp_conn_id, impersonation_chain=self.impersonation_chain, project_id=self.project_id
        )
