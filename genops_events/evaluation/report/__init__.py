"""The report of an evaluation: one HTML file without scripts that needs no other file and no network."""

from genops_events.evaluation.report.page import EvaluationPage, Report, page_of, report_html

__all__ = ["EvaluationPage", "Report", "page_of", "report_html"]
