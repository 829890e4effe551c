"""Measure the cascade on a local stack."""
