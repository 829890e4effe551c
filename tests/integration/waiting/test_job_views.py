"""A page of jobs is read as it is: a job of somebody else that is of no known shape hides none of ours."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer

import google.auth
import pytest
from google.auth.credentials import AnonymousCredentials

from genops_events.gcp.errors import CloudUnavailable
from genops_events.waiting.jobs import JobView
from genops_events.waiting.views import JobKind, JobViews

PARENT = "projects/p/locations/l"
OURS = {"name": f"{PARENT}/tuningJobs/1", "state": "JOB_STATE_RUNNING"}


class Answers(BaseHTTPRequestHandler):
    """Answers everything with the text of the server."""

    def do_GET(self) -> None:
        content = self.server.answer.encode()  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), Answers) as serving:
        threading.Thread(target=serving.serve_forever, args=(0.02,)).start()
        monkeypatch.setenv("GOOGLE_VERTEX_BASE_URL", f"http://127.0.0.1:{serving.server_port}")
        monkeypatch.setattr(google.auth, "default", lambda **_: (AnonymousCredentials(), "p"))
        yield serving
        serving.shutdown()


def first_page(server: HTTPServer, answer: str, kind: JobKind = JobKind.TUNING) -> tuple[JobView, ...]:
    server.answer = answer  # type: ignore[attr-defined]
    with closing(JobViews(kind, project="p", location="l")) as views:
        return views.first_page().jobs


@pytest.mark.parametrize(
    "odd",
    [
        {"tuningDataStats": {"supervisedTuningDataStats": {"totalBillableTokenCount": "many"}}},
        {"createTime": "yesterday"},
        {"error": "quota", "supervisedTuningSpec": [], "tuningDataStats": None},
    ],
)
def test_a_job_that_cannot_be_read_still_tells_its_state_and_hides_no_other(server: HTTPServer, odd: object) -> None:
    theirs = {"name": f"{PARENT}/tuningJobs/2", "state": "JOB_STATE_FAILED", **odd}  # type: ignore[dict-item]
    for jobs in ([theirs, OURS], [OURS, theirs]):
        found = first_page(server, json.dumps({"tuningJobs": jobs}))
        assert {one.name: one.state for one in found} == {
            theirs["name"]: "JOB_STATE_FAILED",
            OURS["name"]: "JOB_STATE_RUNNING",
        }


def test_what_is_new_in_the_api_is_passed_over(server: HTTPServer) -> None:
    found = first_page(server, json.dumps({"tuningJobs": [{**OURS, "brandNew": {"a": [1]}}], "unreachable": ["x"]}))
    assert [one.name for one in found] == [OURS["name"]]


@pytest.mark.parametrize("kind", JobKind)
def test_a_project_without_jobs_has_an_empty_page(server: HTTPServer, kind: JobKind) -> None:
    assert first_page(server, "{}", kind) == ()


def test_an_answer_that_is_no_page_is_an_error_and_not_an_empty_page(server: HTTPServer) -> None:
    with pytest.raises(CloudUnavailable, match="not Vertex AI's"):
        first_page(server, "<html>a proxy's log-in page</html>")
