"""What was acknowledged is there after `kill -9`; and the faults and the admin route."""

from __future__ import annotations

import io
import os
import threading
import time

import pytest
from google.api_core import exceptions
from google.cloud.storage import Bucket
from requests.exceptions import RequestException
from storage_stand_in import StorageProcess, until

CHUNK = 256 * 1024


def test_a_kill_among_uploads_loses_nothing_acknowledged(own_process: StorageProcess) -> None:
    acknowledged: dict[str, int] = {}
    own_process.client().create_bucket("durable")

    def upload(worker: int) -> None:
        own_client = own_process.client()
        for number in range(10_000):
            blob = own_client.bucket("durable").blob(f"{worker}/{number}")
            try:
                blob.upload_from_string(f"{worker} {number}" * 100, retry=None)
            except (RequestException, exceptions.GoogleAPICallError):
                break
            acknowledged[blob.name] = blob.generation
        own_client.close()

    workers = [threading.Thread(target=upload, args=(worker,)) for worker in range(4)]
    for one in workers:
        one.start()
    until(lambda: len(acknowledged) > 200)
    own_process.kill()
    for one in workers:
        one.join()
    own_process.start()
    client = own_process.client()
    found = {one.name: one.generation for one in client.list_blobs("durable")}
    assert acknowledged.items() <= found.items()
    for name in list(acknowledged)[-50:]:
        worker, number = name.split("/")
        assert client.bucket("durable").blob(name).download_as_text() == f"{worker} {number}" * 100
    later = client.bucket("durable").blob("later")
    later.upload_from_string("x")
    assert later.generation > max(found.values())
    client.close()


def test_a_resumable_upload_goes_on_after_a_kill(own_process: StorageProcess) -> None:
    client = own_process.client()
    client.create_bucket("durable")
    content = os.urandom(3 * CHUNK)
    session = client.bucket("durable").blob("long").create_resumable_upload_session(size=len(content))
    first = client._http.put(session, data=content[:CHUNK], headers={"content-range": f"bytes 0-{CHUNK - 1}/*"})
    assert first.status_code == 308
    own_process.kill()
    own_process.start()
    asked = client._http.put(session, headers={"content-range": "bytes */*"})
    assert (asked.status_code, asked.headers["range"]) == (308, f"bytes=0-{CHUNK - 1}")
    total = len(content)
    last = client._http.put(
        session, data=content[CHUNK:], headers={"content-range": f"bytes {CHUNK}-{total - 1}/{total}"}
    )
    assert last.status_code == 200
    assert client.bucket("durable").blob("long").download_as_bytes() == content
    own_process.kill()
    own_process.start()
    again = client._http.put(session, headers={"content-range": f"bytes */{total}"})
    assert again.json()["generation"] == last.json()["generation"]
    client.close()


def test_a_restart_removes_files_of_unfinished_uploads_only(own_process: StorageProcess) -> None:
    large = b"kept" * 100_000
    client = own_process.client()
    bucket = client.create_bucket("durable")
    bucket.blob("large").upload_from_string(large)
    bucket.blob("small").upload_from_string("kept")
    (own_process.state / "content" / "ab" / "ab-left-by-a-kill").write_bytes(b"half")
    assert own_process.stop() == 0
    own_process.start()
    assert bucket.blob("large").download_as_bytes() == large
    assert bucket.blob("small").download_as_text() == "kept"
    assert [one.read_bytes() for one in (own_process.state / "content").glob("*/*")] == [large]
    bucket.blob("large").delete()
    assert list((own_process.state / "content").glob("*/*")) == []
    client.close()


def test_a_second_process_on_the_same_state_says_so(storage_process: StorageProcess) -> None:
    second = StorageProcess(storage_process.state, storage_process.pubsub)
    with pytest.raises(AssertionError, match="another storage stand-in runs on the same state folder"):
        second.start()


def test_faults_are_listed_refused_when_unknown_and_reset(no_faults: StorageProcess) -> None:
    assert no_faults.admin("GET", "/faults") == {}
    assert no_faults.admin("PUT", "/faults", {"error_share": 0.5}) == {"error_share": 0.5}
    refused = no_faults.admin("PUT", "/faults", {"eror_share": 1})
    assert "eror_share" in refused["error"][0]
    assert "drop_notifications" in refused["allowed"]
    assert "error" in no_faults.admin("PUT", "/faults", {"error_code": "UNAVAILABLE"})
    assert no_faults.admin("GET", "/faults") == {"error_share": 0.5}
    assert no_faults.admin("DELETE", "/faults") == {}


def test_an_injected_error_hits_the_methods_named(bucket: Bucket, no_faults: StorageProcess) -> None:
    no_faults.admin("PUT", "/faults", {"error_share": 1, "error_code": "429", "error_methods": ["objects.insert"]})
    with pytest.raises(exceptions.TooManyRequests, match=r"objects\.insert"):
        bucket.blob("o").upload_from_file(io.BytesIO(b"x"), retry=None)
    assert list(bucket.list_blobs()) == []
    no_faults.admin("PUT", "/faults", {"unavailable_seconds": 0.3})
    with pytest.raises(exceptions.ServiceUnavailable):
        bucket.reload(retry=None)
    bucket.reload()  # the client's own retry sits it out
    no_faults.admin("PUT", "/faults", {"delay_seconds": 0.3})
    started = time.monotonic()
    bucket.reload()
    assert time.monotonic() - started >= 0.3


def test_a_change_whose_answer_is_lost_is_applied_and_a_repeat_meets_it(
    bucket: Bucket, no_faults: StorageProcess
) -> None:
    no_faults.admin("PUT", "/faults", {"lose_answers": 1, "error_methods": ["objects.insert"]})
    with pytest.raises(exceptions.ServiceUnavailable, match="its answer is lost"):
        bucket.blob("unanswered").upload_from_string(b"x", retry=None)
    assert bucket.blob("unanswered").download_as_bytes() == b"x"
    with pytest.raises(exceptions.PreconditionFailed):  # the client's own retry meets what its first call wrote
        bucket.blob("repeated").upload_from_string(b"y", if_generation_match=0)
    assert bucket.blob("repeated").download_as_bytes() == b"y"
    bucket.delete_blob("unanswered")  # not one of the methods named
    assert [one.name for one in bucket.list_blobs()] == ["repeated"]
