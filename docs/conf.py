"""The site that `make docs` builds from these pages with Sphinx (docs/adr/0023): nothing of it is fetched."""

from __future__ import annotations

from genops_events import __version__

project = "genops-events"
author = "the maintainers of genops-events"
version = release = __version__
html_title = f"{project} {release}"

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["writing", "pictures"]
myst_heading_anchors = 3  # those that GitHub makes: a link to a heading works there and here
myst_enable_extensions = ["colon_fence"]
suppress_warnings = ["misc.highlighting_failure"]  # an example may leave something out with `…`

html_theme = "furo"
html_show_sphinx = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}
pygments_style = "a11y-light"
pygments_dark_style = "a11y-dark"
