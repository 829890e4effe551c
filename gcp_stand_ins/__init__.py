"""Stand-ins for Google Cloud on this machine: Cloud Storage, Pub/Sub, Vertex AI and BigQuery, held to Google's own clients."""
