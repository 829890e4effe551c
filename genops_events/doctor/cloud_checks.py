"""Look at what the cascade needs in Google Cloud, each thing once, within seconds, and without changing anything."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec

from pydantic import BaseModel

from genops_events.doctor import rules
from genops_events.doctor.findings import Check, Finding, failed, ok, skipped, warning
from genops_events.doctor.model_notices import model_notices, models_of
from genops_events.gcp import requirements
from genops_events.gcp.clients import bigquery_client, genai_client, publisher_client, storage_client, subscriber_client
from genops_events.gcp.errors import CloudRefused, CloudUnavailable, google_call
from genops_events.gcp.record_store import RecordStore, Unreadable
from genops_events.intake.dead_letters import COUNTED, count_dead_letters
from genops_events.money.ledger import Ledger, month_of
from genops_events.provisioning import existing
from genops_events.record import paths as record_paths
from genops_events.record.intake import Sweep
from genops_events.record.promotion import Champion

if TYPE_CHECKING:
    from google.cloud.storage import Bucket

    from genops_events.doctor.remedies import Remedies

CALL_SECONDS = 8.0
"""Bound of one call: whoever waits for a diagnosis sits in front of it."""

_FORBIDDEN = 403
_NOT_LOADED = "The tables do not go into BigQuery until that is fixed. No row is lost: all are in the bucket, and `genops sql` shows them."
_importing = threading.Lock()
P = ParamSpec("P")
Look = Callable[Concatenate["CloudChecks", P], Finding]


def _forgiving(role: str) -> Callable[[Look[P]], Look[P]]:
    """Make a check that may only not look a warning: the cascade itself does without `role`."""

    def decorate(look: Look[P]) -> Look[P]:
        @wraps(look)
        def tried(self: CloudChecks, /, *args: P.args, **kwargs: P.kwargs) -> Finding:
            try:
                return look(self, *args, **kwargs)
            except CloudRefused as error:
                if _status(error) != _FORBIDDEN:
                    raise
                text = f"This cannot be judged: looking takes {role}, which the cascade itself does without."
                return warning(error.message, text, *self.remedies.project_role(role))

        return tried

    return decorate


class CloudChecks:
    """The checks on the Google side, for one configuration."""

    def __init__(self, remedies: Remedies) -> None:
        self.remedies = remedies
        self._config = remedies.config

    def all(self) -> Iterator[Check]:
        """Yield the checks in the order in which a message meets what they look at."""
        config = self._config
        letters = requirements.dead_letter_topic(config)
        checks = (
            Check("bucket", self.bucket),
            Check("bucket settings", self.bucket_settings, needs=("bucket",)),
            Check("notification", self.notification, needs=("bucket",)),
            Check("arrivals topic", lambda: self.topic(config.topics.arrivals)),
            Check("subscription", lambda: self.subscription(config.subscription), needs=("arrivals topic",)),
            Check("dead-letter topic", lambda: self.topic(letters)),
            Check("dead-letter subscription", lambda: self.subscription(letters), needs=("dead-letter topic",)),
            Check("dead letters", self.dead_letters, needs=("dead-letter subscription",)),
            Check("completions topic", lambda: self.topic(config.topics.completions)),
            Check("input files", self.input_files, needs=("bucket",)),
            Check("Vertex AI", self.vertex),
            Check("source models", self.source_models, needs=("Vertex AI",)),
            Check("models' ends", self.ends_of_models),
            *([Check("BigQuery", self.bigquery, needs=("bucket",))] if config.tables.dataset else ()),
            Check("shared documents", self.shared_documents, needs=("bucket",)),
            Check("sweep", self.sweep, needs=("bucket",)),
            Check("clock", self.clock),
        )
        for one in checks:
            yield Check(one.name, self._explained(one.look), one.needs)

    def bucket(self) -> Finding:
        """Look whether the bucket is there, and what this account may do in it."""
        from google.api_core.exceptions import NotFound

        bucket = self._bucket()
        with google_call(f"look at gs://{bucket.name}"):
            try:
                granted = bucket.test_iam_permissions(requirements.OBJECT_PERMISSIONS, timeout=CALL_SECONDS, retry=None)
                if "storage.objects.list" in granted:
                    next(iter(bucket.list_blobs(max_results=1, timeout=CALL_SECONDS, retry=None)), None)
            except NotFound:
                return failed(
                    f"There is no bucket {bucket.name}.",
                    "The bucket was never created, it was deleted, or genops.yaml names another one (`bucket`).",
                    *self.remedies.provision(),
                )
        return rules.judge_permissions(granted, self.remedies)

    @_forgiving("roles/storage.legacyBucketReader")
    def bucket_settings(self) -> Finding:
        """Look for settings that would hold the record back, or delete it."""
        bucket = self._bucket()
        with google_call(f"look at the settings of gs://{bucket.name}"):
            bucket.reload(timeout=CALL_SECONDS, retry=None)
        facts = rules.Bucket(
            retention_seconds=bucket.retention_period,
            holds_new_objects=bool(bucket.default_event_based_hold),
            lifecycle=tuple(dict(rule) for rule in bucket.lifecycle_rules),
        )
        return rules.judge_bucket_settings(facts, self.remedies)

    @_forgiving("roles/storage.legacyBucketReader")
    def notification(self) -> Finding:
        """Look whether what is uploaded under every watched prefix is announced."""
        found = existing.notifications(self._bucket(), timeout_seconds=CALL_SECONDS)
        return rules.judge_notifications(found, self.remedies)

    @_forgiving("roles/pubsub.viewer")
    def topic(self, name: str) -> Finding:
        """Look whether a topic is there."""
        client = publisher_client()
        try:
            is_there = existing.topic_exists(client, self._config.project, name, timeout_seconds=CALL_SECONDS)
        finally:
            client.stop()
            client.transport.close()
        if is_there:
            return ok(f"{name} is there")
        return failed(
            f"There is no topic {name}.",
            "The topic was never created, or it was deleted, which cuts its subscriptions off, too: a new topic of the same "
            "name needs them created anew.",
            *self.remedies.provision(),
        )

    @_forgiving("roles/pubsub.viewer")
    def subscription(self, name: str) -> Finding:
        """Look whether a subscription keeps every message until it is pulled."""
        with subscriber_client() as client:
            found = existing.subscription(client, self._config.project, name, timeout_seconds=CALL_SECONDS)
        return rules.judge_subscription(name, found, self.remedies)

    def dead_letters(self) -> Finding:
        """Count the dead letters that wait for a person; none is taken."""
        return rules.judge_dead_letters(count_dead_letters(self._config), COUNTED)

    def input_files(self) -> Finding:
        """Look whether the files that genops.yaml names are in the bucket, with something in them."""
        bucket = self._bucket()
        missing: list[str] = []
        remedy: list[str] = []
        seen: set[str] = set()
        for dataset, entry in self._config.datasets.items():
            for key, name in entry.inputs():
                seen.add(name)
                with google_call(f"look at gs://{bucket.name}/{name}"):
                    blob = bucket.get_blob(name, timeout=CALL_SECONDS, retry=None)
                if blob is None or not blob.size:
                    missing.append(f"{name} ({dataset}: {'.'.join(key)}) is {'missing' if blob is None else 'empty'}")
                    remedy += self.remedies.input_file(dataset, key, name)
        if missing:
            text = "Candidates of these datasets are tuned and paid for, and then fail."
            return failed(f"In gs://{bucket.name}, {'; '.join(missing)}.", text, *dict.fromkeys(remedy))
        return ok(f"{', '.join(sorted(seen))}")

    def vertex(self) -> Finding:
        """Look whether Vertex AI answers in the configured region."""
        from google.genai import types

        config = self._config
        what = f"list the tuning jobs of {config.project} in {config.location}"
        with google_call(what), genai_client(config.project, config.location, attempts=1) as client:
            pages = client.tunings.list(config=types.ListTuningJobsConfig(page_size=1))
            next(iter(pages), None)
        return ok(f"answers in {config.location}")

    def source_models(self) -> Finding:
        """Look whether Vertex AI knows the models that are to be tuned."""
        config = self._config
        unknown = []
        models = sorted({dataset.source_model for dataset in config.datasets.values()})
        for model in models:
            place = config.places.of(model)
            try:
                with (
                    google_call(f"look at the model {model}"),
                    genai_client(config.project, place, attempts=1) as client,
                ):
                    client.models.get(model=model)
            except CloudRefused as error:
                if _status(error) != 404:  # noqa: PLR2004 - HTTP
                    raise
                unknown.append(f"{model} in {place}")
        if unknown:
            return failed(
                f"Vertex AI knows no {', '.join(unknown)}.",
                "Tuning it would be refused: the model is retired, misspelt, or in another region or project.",
                "genops config check",
            )
        return ok(f"{', '.join(models)} known")

    def ends_of_models(self) -> Finding:
        """Look whether Google has announced the end of a model that genops.yaml names."""
        found = model_notices(self._config.catalogue, models_of(self._config), datetime.now(UTC).date())
        if found:
            text = "A tuned model ends with the model that it was tuned from. Only Google refuses: the cascade goes on until then."
            return warning(" ".join(map(str, found)), text, "genops config check")
        return ok("none of the models in genops.yaml retires within 90 days, by the catalogue")

    def bigquery(self) -> Finding:
        """Look whether this account may load the tables, as far as that shows without a change."""
        name = f"{self._config.project}.{self._config.tables.dataset}"
        try:
            is_there = self._may_load(name)
        except CloudRefused as error:
            if _status(error) != _FORBIDDEN:
                raise
            return warning(error.message, _NOT_LOADED, *self.remedies.tables())
        if is_there:
            return ok(f"the dataset {name} is there, and jobs may be run")
        with google_call(f"look what this account may do with gs://{self._config.bucket}"):
            granted = self._bucket().test_iam_permissions([requirements.BUCKET_LOOK], timeout=CALL_SECONDS, retry=None)
        if not granted:
            told = f"The dataset {name} is not there, and this account, without {requirements.BUCKET_LOOK}, does not see where to create it."
            return warning(told, _NOT_LOADED, *self.remedies.tables())
        return ok(f"the next run of genops_tables creates the dataset {name}; jobs may be run")

    def _may_load(self, name: str) -> bool:
        """Return whether a dataset is there; raises where this account may not run jobs, or may not change its tables."""
        from google.api_core.exceptions import NotFound
        from google.cloud.bigquery import QueryJobConfig

        client = bigquery_client(self._config)
        try:
            with google_call(f"look at the dataset {name} of BigQuery"):
                try:
                    client.get_dataset(name, retry=None, timeout=CALL_SECONDS)
                    is_there = True
                except NotFound:
                    is_there = False
            # A dry run changes nothing, and takes the rights of what it only tries.
            with google_call(f"try a job of BigQuery in the dataset {name}"), suppress(NotFound):
                client.query(
                    f"DELETE FROM `{name}.candidates` WHERE FALSE",  # noqa: S608 - a checked name
                    job_config=QueryJobConfig(dry_run=True),
                    retry=None,
                    job_retry=None,
                    timeout=CALL_SECONDS,
                )
        finally:
            client.close()
        return is_there

    def shared_documents(self) -> Finding:
        """Look whether the champions and the month's ledger can be read."""
        store = RecordStore(self._bucket())
        month = month_of(datetime.now(UTC))
        kinds: dict[str, type[BaseModel]] = {
            record_paths.champion_path(name): Champion for name in self._config.datasets
        }
        ledgers = record_paths.ledger_paths(month)
        kinds |= dict.fromkeys(ledgers, Ledger)
        broken = []
        for path, kind in kinds.items():
            try:
                store.read(path, kind)
            except Unreadable:
                broken.append(path)
        if broken:
            # One of a ledger's objects alone would leave what was posted after it, and no total of it.
            whole = (
                store.generations(record_paths.ledger_prefix(month), delimiter="/") if {*broken} & {*ledgers} else ()
            )
            aside = [one for one in broken if one not in ledgers] + [one for one in whole if one in ledgers]
            return failed(
                f"gs://{self._config.bucket}/{', '.join(broken)} cannot be read.",
                "Something else than genops-events wrote there. Promotion and budget fail until it is fixed; put aside, "
                "a champion is forgotten, and a ledger with all that was spent this month.",
                *(command for path in aside for command in self.remedies.unreadable_document(path)),
            )
        return ok(f"champions and the ledger of {month} can be read")

    def sweep(self) -> Finding:
        """Look when the last sweep ended."""
        try:
            last = RecordStore(self._bucket()).read(record_paths.sweep_path(), Sweep)
        except Unreadable as error:
            return failed(error.message, "The next sweep writes it anew.", *self.remedies.sweep_now())
        return rules.judge_sweep(last, self._config.intake, self.remedies, now=datetime.now(UTC))

    def clock(self) -> Finding:
        """Compare this machine's clock with Cloud Storage's."""
        import requests

        url = os.environ.get("STORAGE_EMULATOR_HOST", "https://storage.googleapis.com")
        began = time.monotonic()
        try:
            # Any answer will do, an error as well: each has a date, and needs no credentials.
            answer = requests.get(url, timeout=CALL_SECONDS, allow_redirects=False)
        except requests.RequestException:
            return skipped("cannot be judged: Cloud Storage does not answer")
        date = answer.headers.get("Date")
        if date is None:
            return skipped("cannot be judged: Cloud Storage's answer has no date")
        ours = datetime.now(UTC) - timedelta(seconds=(time.monotonic() - began) / 2)
        return rules.judge_clock(parsedate_to_datetime(date), ours)

    def _bucket(self) -> Bucket:
        return storage_client(self._config).bucket(self._config.bucket)

    def _explained(self, look: Callable[[], Finding]) -> Callable[[], Finding]:
        """Return the check with an answer to what Google's side raises."""

        def explained() -> Finding:
            _import_clients()
            try:
                return look()
            except CloudUnavailable as error:
                where = "`genops status` shows what is down, and which faults are on." if self.remedies.is_local else ""
                text = f"The service does not answer, or asks to be called later. {where}".rstrip()
                return failed(error.message, text, *self.remedies.no_answer())
            except CloudRefused as error:
                return failed(error.message, error.hint, *self.remedies.refused(_status(error), error.message))

        return explained


def _import_clients() -> None:
    """Import Google's clients in one thread, while the others wait: two that begin at once may see a module half done."""
    with _importing:
        import google.cloud.pubsub_v1
        import google.cloud.storage
        import google.genai.types  # noqa: F401


def _status(error: CloudRefused) -> int | None:
    code = getattr(error.__cause__, "code", None)
    return None if code is None else int(code)
