"""The protobuf classes of Pub/Sub, taken from the client library that the project depends on anyway.

They are the plain protobuf classes behind `google.pubsub_v1.types`: several times faster than the wrappers.
"""

from __future__ import annotations

from google.protobuf.empty_pb2 import Empty as Empty  # noqa: PLC0414 - exported from here, with the others
from google.protobuf.timestamp_pb2 import Timestamp as Timestamp  # noqa: PLC0414
from google.pubsub_v1 import types

AcknowledgeRequest = types.AcknowledgeRequest.pb()
CreateSnapshotRequest = types.CreateSnapshotRequest.pb()
DeleteSnapshotRequest = types.DeleteSnapshotRequest.pb()
DeleteSubscriptionRequest = types.DeleteSubscriptionRequest.pb()
DeleteTopicRequest = types.DeleteTopicRequest.pb()
DetachSubscriptionRequest = types.DetachSubscriptionRequest.pb()
DetachSubscriptionResponse = types.DetachSubscriptionResponse.pb()
GetSnapshotRequest = types.GetSnapshotRequest.pb()
GetSubscriptionRequest = types.GetSubscriptionRequest.pb()
GetTopicRequest = types.GetTopicRequest.pb()
ListSnapshotsRequest = types.ListSnapshotsRequest.pb()
ListSnapshotsResponse = types.ListSnapshotsResponse.pb()
ListSubscriptionsRequest = types.ListSubscriptionsRequest.pb()
ListSubscriptionsResponse = types.ListSubscriptionsResponse.pb()
ListTopicSnapshotsRequest = types.ListTopicSnapshotsRequest.pb()
ListTopicSnapshotsResponse = types.ListTopicSnapshotsResponse.pb()
ListTopicSubscriptionsRequest = types.ListTopicSubscriptionsRequest.pb()
ListTopicSubscriptionsResponse = types.ListTopicSubscriptionsResponse.pb()
ListTopicsRequest = types.ListTopicsRequest.pb()
ListTopicsResponse = types.ListTopicsResponse.pb()
ModifyAckDeadlineRequest = types.ModifyAckDeadlineRequest.pb()
ModifyPushConfigRequest = types.ModifyPushConfigRequest.pb()
PublishRequest = types.PublishRequest.pb()
PublishResponse = types.PublishResponse.pb()
PubsubMessage = types.PubsubMessage.pb()
PullRequest = types.PullRequest.pb()
PullResponse = types.PullResponse.pb()
SeekRequest = types.SeekRequest.pb()
SeekResponse = types.SeekResponse.pb()
Snapshot = types.Snapshot.pb()
StreamingPullRequest = types.StreamingPullRequest.pb()
StreamingPullResponse = types.StreamingPullResponse.pb()
Subscription = types.Subscription.pb()
Topic = types.Topic.pb()
UpdateSnapshotRequest = types.UpdateSnapshotRequest.pb()
UpdateSubscriptionRequest = types.UpdateSubscriptionRequest.pb()
UpdateTopicRequest = types.UpdateTopicRequest.pb()
