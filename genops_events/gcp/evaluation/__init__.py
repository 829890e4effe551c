"""Answer an evaluation file and score the answers through Vertex AI's evaluation service."""
