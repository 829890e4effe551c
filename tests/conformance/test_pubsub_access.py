"""Access policies of topics and subscriptions: kept, changed without undoing others, and gone with their resource.

The stand-in alone: Google's emulator has no policies.
"""

from __future__ import annotations

import pytest
from google.api_core import exceptions
from google.cloud.pubsub_v1 import PublisherClient
from google.iam.v1.policy_pb2 import Binding, Policy
from pubsub_stand_in import Pair, StandIn, fresh
from waiting import until

MEMBER = "serviceAccount:service-1@gs-project-accounts.iam.gserviceaccount.com"
ROLE = "roles/pubsub.publisher"


def granted(policy: Policy) -> dict[str, list[str]]:
    return {one.role: list(one.members) for one in policy.bindings}


def policy_of(*members: str, role: str = ROLE, etag: bytes = b"") -> Policy:
    return Policy(bindings=[Binding(role=role, members=members)], etag=etag)


def test_a_policy_is_kept_for_each_topic_and_subscription(pair: Pair) -> None:
    assert granted(pair.publisher.get_iam_policy(request={"resource": pair.topic})) == {}
    pair.publisher.set_iam_policy(request={"resource": pair.topic, "policy": policy_of(MEMBER)})
    assert granted(pair.publisher.get_iam_policy(request={"resource": pair.topic})) == {ROLE: [MEMBER]}
    assert granted(pair.subscriber.get_iam_policy(request={"resource": pair.subscription})) == {}


def test_a_policy_that_somebody_changed_meanwhile_is_not_overwritten(pair: Pair) -> None:
    read = pair.publisher.get_iam_policy(request={"resource": pair.topic})
    pair.publisher.set_iam_policy(
        request={"resource": pair.topic, "policy": policy_of("user:a@example.com", etag=read.etag)}
    )
    with pytest.raises(exceptions.Aborted):
        pair.publisher.set_iam_policy(request={"resource": pair.topic, "policy": policy_of(MEMBER, etag=read.etag)})
    now = pair.publisher.get_iam_policy(request={"resource": pair.topic})
    assert granted(now) == {ROLE: ["user:a@example.com"]}
    pair.publisher.set_iam_policy(request={"resource": pair.topic, "policy": policy_of(MEMBER, etag=now.etag)})
    assert granted(pair.publisher.get_iam_policy(request={"resource": pair.topic})) == {ROLE: [MEMBER]}


def test_a_new_topic_of_the_same_name_has_none_of_the_old_ones_policy(publisher: PublisherClient) -> None:
    name = fresh("topics")
    publisher.create_topic(name=name)
    publisher.set_iam_policy(request={"resource": name, "policy": policy_of(MEMBER)})
    publisher.delete_topic(topic=name)
    with pytest.raises(exceptions.NotFound):
        publisher.get_iam_policy(request={"resource": name})
    publisher.create_topic(name=name)
    assert granted(publisher.get_iam_policy(request={"resource": name})) == {}


@pytest.mark.parametrize("wrong", [policy_of("nobody"), policy_of(MEMBER, role="publisher")])
def test_a_member_or_role_without_its_kind_is_refused(pair: Pair, wrong: Policy) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        pair.publisher.set_iam_policy(request={"resource": pair.topic, "policy": wrong})


def test_nobody_is_kept_out(pair: Pair) -> None:
    asked = ["pubsub.topics.publish"]
    answer = pair.publisher.test_iam_permissions(request={"resource": pair.topic, "permissions": asked})
    assert list(answer.permissions) == asked


def test_a_policy_survives_a_kill(stand_in: StandIn, pair: Pair) -> None:
    pair.subscriber.set_iam_policy(request={"resource": pair.subscription, "policy": policy_of(MEMBER)})
    stand_in.kill()
    stand_in.start()

    def kept() -> Policy | None:
        try:
            return pair.subscriber.get_iam_policy(request={"resource": pair.subscription})
        except exceptions.ServiceUnavailable:
            return None

    assert granted(until(kept, what="answers after the restart")) == {ROLE: [MEMBER]}
