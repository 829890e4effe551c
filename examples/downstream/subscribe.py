import json

from google.cloud import pubsub_v1, storage

bucket = storage.Client(project="genops-local").bucket("genops-data")


def received(message):
    dataset = json.loads(message.data)["dataset"]
    champion = json.loads(bucket.blob(f"genops/datasets/{dataset}/champion.json").download_as_bytes())
    print(dataset, champion["candidate"], champion["endpoint"], flush=True)
    message.ack()


subscription = "projects/genops-local/subscriptions/my-service"
pubsub_v1.SubscriberClient().subscribe(subscription, callback=received).result()
