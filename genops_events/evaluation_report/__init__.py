"""The report of an evaluation: one HTML file that needs nothing else, no script and no network."""

from genops_events.evaluation_report.page import Page, Report, page_of, report_html

__all__ = ["Page", "Report", "page_of", "report_html"]
