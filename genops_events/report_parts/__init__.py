"""What the reports for people have in common: the page around them, their style, tables, charts and boxes of text."""

from genops_events.report_parts.charts import svg
from genops_events.report_parts.page import heading, html_page, mark, number, table
from genops_events.report_parts.texts import TEXT_CHARACTERS, short, text_box

__all__ = ["TEXT_CHARACTERS", "heading", "html_page", "mark", "number", "short", "svg", "table", "text_box"]
