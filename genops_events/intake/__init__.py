"""How uploads are found: notifications, the subscription, the sweep of the bucket, and dead letters."""
