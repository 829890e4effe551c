"""The report of an evaluation: one HTML file that needs nothing else, no script and no network."""

from genops_events.evaluation.report.page import EvaluationPage, Report, page_of, report_html

__all__ = ["EvaluationPage", "Report", "page_of", "report_html"]
