"""Who may do what with a topic or a subscription: look, and grant, beside what others grant meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS
from genops_events.gcp.errors import google_call

if TYPE_CHECKING:
    from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient

TRIES = 5
"""Of a grant, where others change the same policy at the same time."""


def is_granted(client: PublisherClient | SubscriberClient, resource: str, role: str, member: str) -> bool:
    """Tell whether `member` has `role` on `resource` itself; no where there is no such resource.

    Google's own emulator has no policies and keeps nobody out: all is granted there.

    Args:
        client: of the resource's kind.
        resource: full name of a topic or subscription.
        role: such as `roles/pubsub.publisher`.
        member: such as `serviceAccount:NAME@PROJECT.iam.gserviceaccount.com`.
    """
    from google.api_core import exceptions

    with google_call(f"look who may use {resource}"):
        try:
            policy = _policy(client, resource)
        except exceptions.NotFound:
            return False
        except exceptions.MethodNotImplemented:
            return True
    return _has(policy, role, member)


def grant(client: PublisherClient | SubscriberClient, resource: str, role: str, member: str) -> None:
    """Let `member` have `role` on `resource`; what others have stays. Arguments as of `is_granted`."""
    from google.api_core import exceptions

    with google_call(f"let {member} have {role} on {resource}"):
        for number in range(1, TRIES + 1):
            policy = _policy(client, resource)
            if _has(policy, role, member):
                return
            plain = [one for one in policy.bindings if one.role == role and not one.HasField("condition")]
            (plain[0] if plain else policy.bindings.add(role=role)).members.append(member)
            try:
                # With its etag: whoever changed it since is not undone.
                client.set_iam_policy(request={"resource": resource, "policy": policy}, timeout=CALL_TIMEOUT_SECONDS)
            except exceptions.Aborted:
                if number == TRIES:
                    raise
            else:
                return


def _policy(client: PublisherClient | SubscriberClient, resource: str) -> Any:
    # Version 3: a policy that was read without its conditions may not be written back.
    asked = {"resource": resource, "options": {"requested_policy_version": 3}}
    return client.get_iam_policy(request=asked, timeout=CALL_TIMEOUT_SECONDS)


def _has(policy: Any, role: str, member: str) -> bool:
    return any(one.role == role and member in one.members and not one.HasField("condition") for one in policy.bindings)
