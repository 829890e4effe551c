"""Wait for jobs of Vertex AI: what they say, how often they are asked, and in which order they may begin."""
