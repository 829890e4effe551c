"""Decide who becomes a dataset's champion, ask a person, tell the model registry, take back, and remove models that are of no use any more."""
