"""The methods of `google.iam.v1.IAMPolicy`: who may do what with a topic, subscription or snapshot.

Policies are kept and given back, with their etags. Nobody is kept out by them.
"""

from __future__ import annotations

import re
import secrets
from typing import Any

import grpc
from google.iam.v1 import iam_policy_pb2
from google.iam.v1.policy_pb2 import Policy

from gcp_stand_ins.pubsub.broker import Broker
from gcp_stand_ins.pubsub.errors import ApiError, invalid
from gcp_stand_ins.pubsub.names import collection_of
from gcp_stand_ins.pubsub.rpc import Unary, unary

_MEMBER = re.compile(
    r"allUsers|allAuthenticatedUsers|(user|serviceAccount|group|domain|deleted|principal|principalSet):\S+"
)
_ROLE = re.compile(r"(roles|(projects|organizations)/[^/]+/roles)/\S+")


class Access:
    """Answers those who ask for access policies and change them."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._policies = {uid: Policy.FromString(body) for uid, body in broker.journal.policies()}

    def methods(self) -> list[Unary]:
        """Return the RPCs that are served."""
        return [
            unary(self.get_iam_policy, iam_policy_pb2.GetIamPolicyRequest),
            unary(self.set_iam_policy, iam_policy_pb2.SetIamPolicyRequest),
            unary(self.test_iam_permissions, iam_policy_pb2.TestIamPermissionsRequest),
        ]

    async def get_iam_policy(self, request: Any, _: Any) -> Any:
        """Return a resource's policy; an empty one where none was set."""
        return self._policy(self._uid(request.resource))

    async def set_iam_policy(self, request: Any, _: Any) -> Any:
        """Replace a policy; one that was read before somebody else changed it is refused."""
        uid = self._uid(request.resource)
        for binding in request.policy.bindings:
            wrong = [one for one in binding.members if not _MEMBER.fullmatch(one)]
            if wrong or not _ROLE.fullmatch(binding.role):
                raise invalid(f"Invalid binding of role {binding.role!r} to {wrong or list(binding.members)}.")
        if request.policy.etag and request.policy.etag != self._policy(uid).etag:
            raise ApiError(
                grpc.StatusCode.ABORTED,
                "There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff.",
            )
        kept = Policy()
        kept.CopyFrom(request.policy)
        kept.etag = secrets.token_bytes(8)
        self._policies[uid] = kept
        self._broker.journal.keep_policy(uid, kept.SerializeToString())
        await self._broker.journal.committed()
        return kept

    async def test_iam_permissions(self, request: Any, _: Any) -> Any:  # noqa: PT019 - no test
        """Return those of the permissions asked for that the caller has: all of them."""
        self._uid(request.resource)
        return iam_policy_pb2.TestIamPermissionsResponse(permissions=request.permissions)

    def _policy(self, uid: int) -> Any:
        return self._policies.get(uid) or Policy(etag=b"\0\x01")

    def _uid(self, name: str) -> int:
        match collection_of(name):
            case "topics":
                return self._broker.topic(name).uid
            case "subscriptions":
                return self._broker.subscription(name).uid
            case _:
                return self._broker.snapshot(name).uid
