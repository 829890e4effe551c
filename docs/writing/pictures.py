"""`make pictures`: let a cascade run on a local stack of its own, and photograph Airflow's window and the evaluation report.

It needs the browser of the tests (`make browser`), and a quiet machine: half a dozen minutes at most.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import requests

from genops_events.cli.demo import shuffle_labels

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs" / "pictures"
TRAIN = ROOT / "examples" / "banking77" / "train.jsonl"
WINDOW = {"width": 1280, "height": 720}
WIDE = {"width": 1600, "height": 720}
"""Of the window in which the whole cascade fits side by side."""
SHARP = 1.5
MARGIN = 16
CHART_HEADING = 88
"""Pixels above the charts: their heading and the key of colours."""
SETTLE_SECONDS = 3
SECONDS = 600
"""How long one command, and one look at a page, may take."""


def _genops(*words: str, check: bool = True) -> str:
    command = [sys.executable, "-m", "genops_events.cli", *words]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=check, cwd=ROOT, timeout=SECONDS).stdout


@contextmanager
def _stack() -> Iterator[dict[str, str]]:
    """Start a stack of its own; yield the variables that lead to it; remove it."""
    os.environ |= {
        "GENOPS_HOME": str(ROOT / ".genops" / "pictures"),
        "GENOPS_CONFIG": str(ROOT / "examples" / "genops.yaml"),
    }
    _genops("down", "--purge", check=False)
    try:
        _genops("up", "--detach", "--owner", str(os.getpid()))
        yield json.loads(_genops("env", "--json"))
    finally:
        _genops("down", "--purge", check=False)


def _cascade() -> str:
    """Let a good file become champion and a shuffled one be held; return the champion."""
    champion = _genops("upload", str(TRAIN), "--dataset", "banking77").strip()
    _genops("watch", champion)
    with tempfile.TemporaryDirectory() as folder:
        shuffled = Path(folder) / "shuffled.jsonl"
        shuffle_labels(TRAIN, shuffled)
        worse = _genops("upload", str(shuffled), "--dataset", "banking77").strip()
    _genops("watch", worse, check=False)  # 2: not promoted
    return champion


def _asked(airflow: str, token: str, path: str) -> dict[str, Any]:
    """Return what Airflow's REST says."""
    answer = requests.get(f"{airflow}/api/v2/{path}", headers={"Authorization": f"Bearer {token}"}, timeout=SECONDS)
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


def _run_of(airflow: str, token: str, dag: str, candidate: str) -> str:
    """Return the id of the Dag run that has the candidate as its key."""
    runs: list[dict[str, Any]] = _asked(airflow, token, f"dags/{dag}/dagRuns")["dag_runs"]
    return str(next(one["dag_run_id"] for one in runs if one["partition_key"] == candidate))


def _opened(page: Page, address: str, *, shown: str) -> None:
    """Open `address`, and wait until what `shown` selects is there and nothing is loaded any more."""
    page.goto(address)
    page.locator(shown).first.wait_for(timeout=SECONDS * 1000)
    page.wait_for_load_state("networkidle")


def _keep(page: Page, name: str, *, around: str = "", above: int = MARGIN) -> None:
    """Keep a picture of the window, or of the strip around everything that `around` selects.

    Args:
        page: what is photographed.
        name: of the picture.
        around: a selector; empty for the whole window.
        above: how much more of the page the strip has above, in pixels.
    """
    clip: Any = None
    if around:
        page.wait_for_timeout(SETTLE_SECONDS * 1000)  # a graph is moved into the window by steps
        boxes = [box for one in page.locator(around).all() if (box := one.bounding_box()) is not None]
        left, top = min(one["x"] for one in boxes), min(one["y"] for one in boxes)
        right, bottom = max(one["x"] + one["width"] for one in boxes), max(one["y"] + one["height"] for one in boxes)
        size = {"width": right - left + 2 * MARGIN, "height": bottom - top + above + MARGIN}
        clip = {"x": left - MARGIN, "y": top - above, **size}
    page.screenshot(path=PICTURES / f"{name}.png", animations="disabled", clip=clip, full_page=bool(around))


def _pictures(browser: Browser, variables: dict[str, str], champion: str) -> None:
    from google.cloud import storage

    airflow = variables["GENOPS_AIRFLOW_URL"].rstrip("/")
    token = _genops("env", "--token").strip()
    window = browser.new_context(viewport=WINDOW, color_scheme="light", device_scale_factor=SHARP)  # type: ignore[arg-type]
    window.add_cookies([{"name": "_token", "value": token, "url": airflow}])
    page = window.new_page()
    asset = next(one for one in _asked(airflow, token, "assets")["assets"] if one["name"] == "tuned_model")
    page.set_viewport_size(WIDE)  # type: ignore[arg-type]
    _opened(page, f"{airflow}/assets/{asset['id']}", shown=".react-flow__node")
    _keep(page, "cascade", around=".react-flow__node")
    page.set_viewport_size(WINDOW)  # type: ignore[arg-type]
    run = quote(_run_of(airflow, token, "genops_tuning", champion), safe="")
    _opened(page, f"{airflow}/dags/genops_tuning/runs/{run}", shown="text=ValidateTrainingData")
    _keep(page, "tuning")
    os.environ |= variables
    report = storage.Client().bucket(variables["GENOPS_BUCKET"]).blob(f"genops/candidates/{champion}/report.html")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report.html"
        report.download_to_filename(str(file))
        _opened(page, file.as_uri(), shown="figure")
        _keep(page, "report", around="figure", above=CHART_HEADING)


def main() -> None:
    """Write the pictures."""
    from playwright.sync_api import sync_playwright

    from tests.browser.fetch_browser import found

    program, environment = found()
    PICTURES.mkdir(exist_ok=True)
    with _stack() as variables, sync_playwright() as playwright:
        champion = _cascade()
        browser = playwright.chromium.launch(
            executable_path=program,
            env={**os.environ, **environment},
            args=["--disable-gpu", "--disable-features=CDPScreenshotNewSurface"],
            chromium_sandbox=False,
        )
        _pictures(browser, variables, champion)
        browser.close()


if __name__ == "__main__":
    main()
