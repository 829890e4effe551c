from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fetch_browser import NoBrowserError, found
from looking import Seen
from playwright.sync_api import Browser, sync_playwright
from waiting import HANG_SECONDS


@pytest.fixture(scope="module")  # not the session: its event loop must not meet the asynchronous tests of other folders
def browser() -> Iterator[Browser]:
    try:
        program, environment = found()
    except NoBrowserError as error:
        pytest.fail(str(error), pytrace=False)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=program,
            env={**os.environ, **environment},
            # Of a surface of their own, on a machine without a graphics card, some screenshots fail.
            args=["--disable-gpu", "--disable-features=CDPScreenshotNewSurface"],
            timeout=HANG_SECONDS * 1000,
            chromium_sandbox=False,  # root has none; what is looked at is this project's own page
        )
        yield running
        running.close()


@pytest.fixture
def look(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Seen]]:
    """Open a page from a file, as a person who was sent it; afterwards it must have been quiet."""
    opened: list[Seen] = []

    def open_page(html: str, *, width: int = 1280, scheme: str = "light") -> Seen:
        file = tmp_path / f"report-{len(opened)}.html"
        file.write_text(html, encoding="utf-8")
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        context.set_default_timeout(HANG_SECONDS * 1000)
        seen = Seen(context.new_page(), file.as_uri())
        opened.append(seen)
        seen.open()
        return seen

    yield open_page
    for seen in opened:
        seen.page.context.close()
        assert seen.noise == []
        assert seen.requests == [seen.address]
