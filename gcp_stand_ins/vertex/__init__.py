"""A stand-in for Vertex AI that Google's own clients cannot tell from the service, as far as this project uses it."""
