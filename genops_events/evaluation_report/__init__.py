"""The report of an evaluation: one HTML file that needs nothing else, no script and no network."""

from genops_events.evaluation_report.page import Report, report_html

__all__ = ["Report", "report_html"]
