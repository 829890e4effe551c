"""A durable stand-in for Cloud Storage: the JSON API that Google's own clients speak, on one loopback port."""
