"""Make a subscription anew: what it holds, and who may use it, outlive that, wherever it dies.

Both lie in the bucket meanwhile, in `genops/subscriptions/<name>.json`.
"""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS
from genops_events.gcp.errors import google_call
from genops_events.gcp.parts import remove_parts
from genops_events.gcp.streams import read_whole
from genops_events.intake.dead_letters import CARRIED, DeadLetter, DeadLetters
from genops_events.provisioning.access import add_bindings, grant, policy_of
from genops_events.reading.object_names import ROOT

if TYPE_CHECKING:
    from google.cloud import storage
    from google.cloud.pubsub_v1 import SubscriberClient

    from genops_events.config import Config

KEPT = f"{ROOT}subscriptions/"


def recreate(
    config: Config,
    bucket: storage.Bucket,
    subscriber: SubscriberClient,
    name: str,
    settings: dict[str, Any],
    *,
    holds_letters: bool,
) -> None:
    """Delete a subscription and create it with other settings; messages that are no dead letters are lost with it.

    A sweep finds the objects that those tell of. Killed in between, `restore` goes on.

    Args:
        config: names the project.
        bucket: where rights and dead letters lie meanwhile.
        subscriber: a client.
        name: its id.
        settings: of the new one, as in the API.
        holds_letters: they are published again.
    """
    from google.api_core.exceptions import AlreadyExists, NotFound

    path = subscriber.subscription_path(config.project, name)
    _keep(config, bucket, subscriber, name, holds_letters=holds_letters)
    with google_call(f"create subscription {name} anew"):
        # What these suppress, a try whose answer was lost may have brought about.
        with suppress(NotFound):
            subscriber.delete_subscription(request={"subscription": path}, timeout=CALL_TIMEOUT_SECONDS)
        with suppress(AlreadyExists):
            subscriber.create_subscription(request={"name": path, **settings}, timeout=CALL_TIMEOUT_SECONDS)
    restore(config, bucket, subscriber, name)


def kept(bucket: storage.Bucket) -> list[str]:
    """Return the ids of the subscriptions of which something is kept still: somebody died while making them anew."""
    with google_call(f"list {KEPT}"):
        names = [blob.name for blob in bucket.list_blobs(prefix=KEPT, timeout=CALL_TIMEOUT_SECONDS)]
    return [name.removeprefix(KEPT).removesuffix(".json") for name in names]


def restore(config: Config, bucket: storage.Bucket, subscriber: SubscriberClient, name: str) -> None:
    """Give a new subscription what is kept of the old one, and keep it no longer. Repeated, letters may come twice."""
    found = _read(bucket, name)
    if found is None:
        return
    grant(subscriber, subscriber.subscription_path(config.project, name), _policy(found).bindings)
    with DeadLetters.opened(config) as letters:
        letters.publish_again(map(_letter, found["letters"]))
    remove_parts(bucket, f"{KEPT}{name}.json")


def _keep(
    config: Config, bucket: storage.Bucket, subscriber: SubscriberClient, name: str, *, holds_letters: bool
) -> None:
    from google.iam.v1.policy_pb2 import Policy

    policy = policy_of(subscriber, subscriber.subscription_path(config.project, name)) or Policy()
    before = _read(bucket, name)
    if before is not None:  # Somebody died before the new one had all that the old one had.
        add_bindings(policy, _policy(before).bindings)
    letters = [] if before is None else before["letters"]
    known = {one["message_id"] for one in letters}
    if holds_letters:
        with DeadLetters.opened(config) as found:
            letters += [_plain(one) for one in _all(found) if one.message_id not in known]
    text = json.dumps({"policy": _text(policy.SerializeToString()), "letters": letters})
    with google_call(f"write {KEPT}{name}.json"):
        bucket.blob(f"{KEPT}{name}.json").upload_from_string(text, timeout=CALL_TIMEOUT_SECONDS)


def _all(letters: DeadLetters) -> list[DeadLetter]:
    """Return the dead letters; asked again after an answer without any, which is no proof that there are none."""
    found: list[DeadLetter] = []
    empty = 0
    while empty < 2 and len(found) < CARRIED:  # noqa: PLR2004
        more = letters.peek(limit=CARRIED - len(found))
        empty = 0 if more else empty + 1
        found += more
    return found


def _read(bucket: storage.Bucket, name: str) -> dict[str, Any] | None:
    from google.api_core.exceptions import NotFound

    with google_call(f"read {KEPT}{name}.json"):
        try:
            return dict(json.loads(read_whole(bucket.blob(f"{KEPT}{name}.json"))))
        except NotFound:
            return None


def _policy(found: dict[str, Any]) -> Any:
    from google.iam.v1.policy_pb2 import Policy

    return Policy.FromString(base64.b64decode(found["policy"]))


def _plain(letter: DeadLetter) -> dict[str, Any]:
    return {
        "message_id": letter.message_id,
        "published_at": letter.published_at,
        "reason": letter.reason,
        "attributes": letter.attributes,
        "data": _text(letter.data),
    }


def _letter(plain: dict[str, Any]) -> DeadLetter:
    return DeadLetter(**{**plain, "data": base64.b64decode(plain["data"]), "ack_ids": ()})


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
