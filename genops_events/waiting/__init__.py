"""Wait for jobs of Vertex AI: their states, how often they are polled, their progress, and the queue before them."""
