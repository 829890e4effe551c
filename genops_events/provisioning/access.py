"""Who may do what with a topic or a subscription: look, and grant, beside what others grant meanwhile."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS
from genops_events.gcp.errors import google_call

if TYPE_CHECKING:
    from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient

TRIES = 5
"""Of a grant, where others change the same policy at the same time."""


def policy_of(client: PublisherClient | SubscriberClient, resource: str) -> Any:
    """Return the access policy of a topic or subscription, as `google.iam.v1.policy_pb2.Policy`; None where it is not there.

    Google's own emulator has no policies: an empty one there.

    Args:
        client: of the resource's kind.
        resource: full name of a topic or subscription.
    """
    from google.api_core import exceptions
    from google.iam.v1.policy_pb2 import Policy

    # Version 3: a policy that was read without its conditions may not be written back.
    asked = {"resource": resource, "options": {"requested_policy_version": 3}}
    with google_call(f"look who may use {resource}"):
        try:
            return client.get_iam_policy(request=asked, timeout=CALL_TIMEOUT_SECONDS)
        except exceptions.NotFound:
            return None
        except exceptions.MethodNotImplemented:
            return Policy()


def is_granted(policy: Any, role: str, member: str) -> bool:
    """Tell whether a policy gives `member` this role, whatever the circumstances."""
    return any(one.role == role and member in one.members and not one.HasField("condition") for one in policy.bindings)


def grant(client: PublisherClient | SubscriberClient, resource: str, bindings: Iterable[Any]) -> None:
    """Add `bindings` to the policy of `resource`; what others have stays.

    Args:
        client: of the resource's kind.
        resource: full name of a topic or subscription.
        bindings: `google.iam.v1.policy_pb2.Binding`: role, members, condition.
    """
    from google.api_core import exceptions
    from google.iam.v1.policy_pb2 import Policy

    wanted = list(bindings)
    with google_call(f"grant {', '.join(one.role for one in wanted)} on {resource}"):
        for number in range(1, TRIES + 1):
            policy = policy_of(client, resource) or Policy()  # of what is not there: the call below says so
            if not add_bindings(policy, wanted):
                return
            try:
                # With its etag: whoever changed it since is not undone.
                client.set_iam_policy(request={"resource": resource, "policy": policy}, timeout=CALL_TIMEOUT_SECONDS)
            except exceptions.MethodNotImplemented:
                return  # an emulator, which keeps nobody out
            except exceptions.Aborted:
                if number == TRIES:
                    raise
            else:
                return


def add_bindings(policy: Any, wanted: Iterable[Any]) -> bool:
    """Add what `policy` lacks; return whether that was anything."""
    changed = False
    for one in wanted:
        same = [each for each in policy.bindings if each.role == one.role and each.condition == one.condition]
        if not same:
            policy.bindings.append(one)
            changed = True
            continue
        missing = [member for member in one.members if member not in same[0].members]
        same[0].members.extend(missing)
        changed = changed or bool(missing)
    return changed
