"""What the reports for people have in common: templates and stylesheet, charts, figures and boxes of text."""

from genops_events.reports.charts import Bar, Chart, ChartText, Dot, Line, Shape, Steps
from genops_events.reports.page import html_page
from genops_events.reports.texts import Piece, Signal, TextBox, Tile, VerdictBox, number, short, shown, text_box

__all__ = [
    "Bar",
    "Chart",
    "ChartText",
    "Dot",
    "Line",
    "Piece",
    "Shape",
    "Signal",
    "Steps",
    "TextBox",
    "Tile",
    "VerdictBox",
    "html_page",
    "number",
    "short",
    "shown",
    "text_box",
]
