"""Decide who becomes a dataset's champion, ask a person, tell the model registry, take back, and remove what nobody needs."""
