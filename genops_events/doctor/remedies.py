"""The commands that mend what `genops doctor` finds, with the real names filled in.

On the local stack `genops up` puts everything right; elsewhere it is `genops provision`, `gcloud` and `airflow`. Source of the options: https://cloud.google.com/sdk/gcloud/reference
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from genops_events.config import Config
from genops_events.gcp import requirements

UP = ("genops up --detach",)
PROVISION = ("genops provision --apply",)
_UNAUTHENTICATED = 401
_FORBIDDEN = 403
ANEW = ("genops down", *UP)
STATUS = ("genops status",)

Component = Literal["scheduler", "dag-processor", "triggerer"]


@dataclass(frozen=True, slots=True)
class Remedies:
    """What mends something in the project, bucket and Airflow that are looked at."""

    config: Config
    is_local: bool
    """The stand-ins of a local stack are looked at, not Google Cloud."""
    airflow: str
    """Where Airflow's REST is, or words in its place."""

    @property
    def _project(self) -> str:
        return f"--project={self.config.project}"

    @property
    def _bucket(self) -> str:
        return f"gs://{self.config.bucket}"

    def no_answer(self) -> tuple[str, ...]:
        """See why a service does not answer."""
        return STATUS if self.is_local else ("genops doctor",)

    def refused(self, status: int | None, message: str) -> tuple[str, ...]:
        """Give this account what a service refuses it.

        Args:
            status: of the answer, as in HTTP; None where there are no credentials to ask with.
            message: what was said.
        """
        if status is None or status == _UNAUTHENTICATED:
            return UP if self.is_local else ("gcloud auth application-default login",)
        if self.is_local:
            return STATUS
        if status != _FORBIDDEN:
            return ("genops config check",)
        if "gs://" in message:
            return self.bucket_role("roles/storage.objectUser")
        if "subscription" in message:
            return self.project_role("roles/pubsub.subscriber")
        return self.vertex()

    def provision(self) -> tuple[str, ...]:
        """Create the bucket, topics, subscriptions, rights and notification that are missing, and mend those that are wrong."""
        return UP if self.is_local else PROVISION

    def bucket_role(self, role: str) -> tuple[str, ...]:
        """Grant a role on the bucket."""
        return (requirements.bucket_grant(self.config, role),)

    def project_role(self, role: str) -> tuple[str, ...]:
        """Grant a role on the project."""
        return (requirements.project_grant(self.config, role),)

    def bucket_setting(self, option: str, statement: str) -> tuple[str, ...]:
        """Change a setting of the bucket.

        Args:
            option: of `gcloud storage buckets update`.
            statement: the same in Python, about the bucket `b`.
        """
        if self.is_local:
            return self._with_client(f"{statement}; b.patch()")
        return (f"gcloud storage buckets update {self._bucket} {option}",)

    def surplus_notifications(self, ids: Sequence[str]) -> tuple[str, ...]:
        """Remove notifications that announce what others do."""
        if self.is_local:
            return tuple(
                command for one in ids for command in self._with_client(f"b.get_notification('{one}').delete()")
            )
        folder = f"projects/_/buckets/{self.config.bucket}/notificationConfigs"
        return tuple(f"gcloud storage buckets notifications delete {folder}/{one}" for one in ids)

    def input_file(self, dataset: str, key: Sequence[str], name: str) -> tuple[str, ...]:
        """Upload a file that genops.yaml names."""
        roles = {("evaluation", "file"): "evaluation", ("inference", "prompts"): "prompts"}
        role = roles.get((key[0], key[1]))
        if role is not None:
            return (f"genops upload FILE --dataset {dataset} --as {role}",)
        if self.is_local:
            return self._with_client(f"b.blob('{name}').upload_from_filename('FILE')")
        return (f"gcloud storage cp FILE {shlex.quote(f'{self._bucket}/{name}')}",)

    def unreadable_document(self, path: str) -> tuple[str, ...]:
        """Put a shared document that cannot be read aside; it is not removed."""
        if self.is_local:
            return self._with_client(f"b.rename_blob(b.blob('{path}'), '{path}.unreadable')")
        return (f"gcloud storage mv {self._bucket}/{path} {self._bucket}/{path}.unreadable",)

    def vertex(self) -> tuple[str, ...]:
        """Let this account use Vertex AI."""
        return (
            f"gcloud services enable aiplatform.googleapis.com {self._project}",
            *self.project_role("roles/aiplatform.user"),
        )

    def tables(self) -> tuple[str, ...]:
        """Let this account load the tables into BigQuery."""
        if self.is_local:
            return STATUS
        enable = f"gcloud services enable bigquery.googleapis.com {self._project}"
        return (enable, *requirements.tables_grants(self.config))

    def sweep_now(self) -> tuple[str, ...]:
        """Run the sweep now: a run that a person starts sweeps."""
        if self.is_local:
            return (self._rest("POST", "dags/genops_intake/dagRuns", '{"logical_date": null}'),)
        return ("airflow dags trigger genops_intake",)

    def airflow_down(self) -> tuple[str, ...]:
        """Start Airflow's API server."""
        return UP if self.is_local else ("airflow api-server",)

    def airflow_url(self) -> tuple[str, ...]:
        """Say where Airflow is."""
        if self.is_local:
            return ('eval "$(genops env)"',)
        return ("export GENOPS_AIRFLOW_URL=https://AIRFLOW_HOST",)

    def airflow_access(self) -> tuple[str, ...]:
        """Give this command what Airflow wants to see of a user."""
        login = '-d \'{"username": "USER", "password": "PASSWORD"}\''
        read = "python -c 'import json, sys; print(json.load(sys.stdin)[\"access_token\"])'"
        ask = f"curl -fsS -H 'Content-Type: application/json' {login} {self.airflow}/auth/token"
        return (f'export GENOPS_AIRFLOW_TOKEN="$({ask} | {read})"',)

    def airflow_job(self, component: Component) -> tuple[str, ...]:
        """Start a component of Airflow again."""
        return ANEW if self.is_local else (f"airflow {component}",)

    def airflow_database(self) -> tuple[str, ...]:
        """See why Airflow's database does not answer."""
        return ANEW if self.is_local else ("airflow db check",)

    def missing_dags(self) -> tuple[str, ...]:
        """See why a Dag is not there, or bring it there."""
        return ("genops logs dag-processor", *ANEW) if self.is_local else ("airflow dags list-import-errors",)

    def paused_dag(self, dag: str) -> tuple[str, ...]:
        """Unpause a Dag."""
        if self.is_local:
            return (self._rest("PATCH", f"dags/{dag}", '{"is_paused": false}'),)
        return (f"airflow dags unpause {dag}",)

    def missing_watcher(self) -> tuple[str, ...]:
        """Let Airflow read the asset's watcher out of the Dag file again."""
        return ANEW if self.is_local else ("airflow dags reserialize",)

    def pool(self, name: str, description: str, *, slots: int) -> tuple[str, ...]:
        """Create an Airflow pool that counts deferred tasks, or change it to that."""
        return UP if self.is_local else (f'airflow pools set {name} {slots} "{description}" --include-deferred',)

    def broken_installation(self) -> tuple[str, ...]:
        """Install what is missing here."""
        return ("pip install --force-reinstall --no-deps genops-events",)

    def _rest(self, method: str, path: str, body: str) -> str:
        """Return a command that asks the local stack's Airflow, as its one user."""
        login = '-H "Authorization: Bearer $(genops env --token)"'
        return f"curl -fsS -X {method} {login} -H 'Content-Type: application/json' -d '{body}' {self.airflow}/api/v2/{path}"

    def _with_client(self, statement: str) -> tuple[str, ...]:
        """Return a command that does something with the local bucket `b`, which gcloud does not reach."""
        client = f"from google.cloud import storage; b = storage.Client().get_bucket('{self.config.bucket}')"
        return ('eval "$(genops env)"', f'python -c "{client}; {statement}"')
