"""The report of a comparison: one HTML file that needs nothing else, no script and no network."""

from genops_events.comparison.report.page import ComparisonPage, page_of, render

__all__ = ["ComparisonPage", "page_of", "render"]
