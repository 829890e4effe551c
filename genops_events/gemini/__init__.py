"""Ask Gemini, and keep what it answers: prompts, requests, calls within a quota, replies, and what has been kept."""
