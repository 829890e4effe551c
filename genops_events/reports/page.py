"""A report as one HTML file: a template fills it in, and whatever stands in the texts is text there, and never markup."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment

_SHARED = "genops_events.reports"


def html_page(package: str, report: object) -> str:
    """Return a whole HTML document that needs nothing else: no script, no network.

    Args:
        package: whose `templates/report.html.j2` makes the page.
        report: all that the page shows; the template reads its attributes.
    """
    page = templates(package).get_template("report.html.j2").render(report=report)
    # Half a surrogate pair, as a text that was cut may end in, could not be written as UTF-8.
    return page.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@cache
def templates(package: str) -> Environment:
    """Return the templates of a package, beside those that all reports share. A name that a template misspells raises."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    made = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        loader=ChoiceLoader([PackageLoader(package), PackageLoader(_SHARED)]),
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["stylesheet_hash"] = _hash(made.get_template("style.css").render())
    return made


def _hash(stylesheet: str) -> str:
    """Return what a Content-Security-Policy lets this stylesheet by, and no other (W3C, CSP Level 3, section 2.3.1)."""
    return f"sha256-{base64.b64encode(hashlib.sha256(stylesheet.encode()).digest()).decode()}"
