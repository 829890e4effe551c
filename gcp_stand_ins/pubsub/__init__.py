"""A durable stand-in for Google Cloud Pub/Sub that Google's own clients cannot tell from the service."""
