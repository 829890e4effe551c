"""The report of a comparison: one HTML file without scripts that needs no other file and no network."""

from genops_events.comparison.report.page import ComparisonPage, page_of, render

__all__ = ["ComparisonPage", "page_of", "render"]
