"""The model registry: versions, their aliases, and the endpoints that serve them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from gcp_stand_ins.vertex.base_models import other_places, publisher_model, served_parent
from gcp_stand_ins.vertex.documents import Database, Shelf
from gcp_stand_ins.vertex.errors import ApiError, invalid, not_found
from gcp_stand_ins.vertex.job import timestamp
from gcp_stand_ins.vertex.listing import page
from gcp_stand_ins.vertex.tuning_jobs import TuningJob, checkpoints_of
from gcp_stand_ins.vertex.tuning_requests import check_labels, method_of

_ALIAS = re.compile(r"[a-z][a-zA-Z0-9-]{0,126}[a-z0-9]")
_TUNE_TYPES = {
    "supervisedTuningSpec": "sft",
    "preferenceOptimizationSpec": "preference-optimization",
    "distillationSpec": "distillation",
}
_MODEL_FIELDS = {
    "displayName": "display_name",
    "description": "description",
    "versionDescription": "version_description",
}
_OF_ALL_VERSIONS = ("displayName", "description")


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version of a model; `job_id` says what it has learned."""

    parent: str
    model_id: str
    version: str
    aliases: tuple[str, ...]
    job_id: str
    base_model: str
    created: float
    updated: float
    display_name: str
    labels: dict[str, str]
    checkpoints: list[dict[str, str]]
    default_checkpoint: str
    description: str = ""
    version_description: str = ""

    @property
    def key(self) -> str:
        """Return what it is kept under."""
        return f"{self.parent}/models/{self.model_id}@{self.version}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address that answers with one checkpoint of one model version."""

    parent: str
    id: str
    model_key: str
    checkpoint: str
    created: float
    display_name: str
    labels: dict[str, str]
    deployed: bool = True
    """False once its model was undeployed: it is there, and answers nothing."""

    @property
    def name(self) -> str:
        """Return the resource name, which it is also kept under."""
        return f"{self.parent}/endpoints/{self.id}"


class Registry:
    """Models and endpoints, as the tuning jobs that succeeded have left them."""

    def __init__(self, database: Database) -> None:
        self._versions = Shelf(database, "model", ModelVersion)
        self._endpoints = Shelf(database, "endpoint", Endpoint)
        self._keys: dict[tuple[str, str], list[str]] = {}
        for one in self._versions:
            self._keys.setdefault((one.parent, one.model_id), []).append(one.key)

    def register(self, job: TuningJob, at: float) -> str:
        """Add the model that `job` has made, with its endpoints, and return the version; at `at`, the job's end."""
        known = self._versions_of(job.parent, job.model_id)
        version = str(max((int(one.version) for one in known), default=0) + 1)
        checkpoints = checkpoints_of(job)
        tuned = ModelVersion(
            parent=job.parent,
            model_id=job.model_id,
            version=version,
            aliases=() if known else ("default",),
            job_id=job.id,
            base_model=job.base_model,
            created=at,
            updated=at,
            display_name=job.request.get("tunedModelDisplayName", f"tuned-{job.id}"),
            description=job.request.get("description", ""),
            # These three are the service's own, and what `models.list(query_base=False)` asks for.
            labels={
                **job.labels,
                "google-vertex-llm-tuning-base-model-id": publisher_model(job.base_model).replace(".", "-"),
                "google-vertex-llm-tuning-job-id": job.id,
                "tune-type": _TUNE_TYPES[method_of(job.request)[0].field],
            },
            checkpoints=checkpoints,
            default_checkpoint=checkpoints[-1]["checkpointId"],
        )
        # The version last: a kill in between is made good by registering once more.
        for endpoint_id, checkpoint in zip(job.endpoint_ids, checkpoints, strict=True):
            endpoint = Endpoint(
                parent=served_parent(job.base_model, job.parent),
                id=endpoint_id,
                model_key=tuned.key,
                checkpoint=checkpoint["checkpointId"],
                created=at,
                display_name=tuned.display_name,
                labels=job.labels,
            )
            self._endpoints.put(endpoint.name, endpoint)
        self._versions.put(tuned.key, tuned)
        self._keys.setdefault((tuned.parent, tuned.model_id), []).append(tuned.key)
        return version

    def has_version_of(self, job: TuningJob) -> str | None:
        """Return the version that `job` has made if it is registered already."""
        return next((one.version for one in self._versions_of(job.parent, job.model_id) if one.job_id == job.id), None)

    def model(self, parent: str, reference: str) -> ModelVersion:
        """Return the version that `ID`, `ID@VERSION` or `ID@ALIAS` names.

        Raises:
            ApiError: there is none.
        """
        model_id, _, wanted = reference.partition("@")
        for one in self._versions_of(parent, model_id):
            if (wanted or "default") in (one.version, *one.aliases):
                return one
        raise not_found(f"The Model {parent}/models/{reference} is not found.")

    def endpoint(self, parent: str, endpoint_id: str) -> Endpoint:
        """Return the endpoint of that id.

        Raises:
            ApiError: there is none.
        """
        places = (parent, *other_places(parent))
        found = next(
            (one for place in places if (one := self._endpoints.get(f"{place}/endpoints/{endpoint_id}"))), None
        )
        if found is None:
            raise not_found(f"The Endpoint {parent}/endpoints/{endpoint_id} is not found.")
        return found

    def served(self, parent: str, endpoint_id: str) -> ModelVersion:
        """Return the model version that answers at an endpoint.

        Raises:
            ApiError: there is no such endpoint, or its model was undeployed.
        """
        endpoint = self.endpoint(parent, endpoint_id)
        found = self._versions.get(endpoint.model_key)
        if found is None or not endpoint.deployed:
            raise not_found(f"The Endpoint {endpoint.name} has no deployed model: {endpoint.model_key} was undeployed.")
        return found

    def list_models(self, parent: str, query: Mapping[str, str]) -> dict[str, object]:
        """Return a page of the models, each in its default version."""
        own = [one for one in self._versions if one.parent == parent and "default" in one.aliases]
        return page(
            ((f"{one.created:020.6f}/{one.key}", partial(self.model_view, one)) for one in own),
            field="models",
            query=query,
            fields={"display_name": "displayName", "displayName": "displayName", "model": "name"},
        )

    def list_versions(self, parent: str, reference: str, query: Mapping[str, str]) -> dict[str, object]:
        """Return a page of the versions of one model."""
        versions = self._versions_of(parent, self.model(parent, reference).model_id)
        return page(
            ((f"{one.created:020.6f}/{one.key}", partial(self.model_view, one)) for one in versions),
            field="models",
            query=query,
            fields={"display_name": "displayName"},
        )

    def list_endpoints(self, parent: str, query: Mapping[str, str]) -> dict[str, object]:
        """Return a page of the endpoints."""
        own = [one for one in self._endpoints if one.parent == parent]
        return page(
            ((f"{one.created:020.6f}/{one.id}", partial(self.endpoint_view, one)) for one in own),
            field="endpoints",
            query=query,
            fields={"display_name": "displayName", "displayName": "displayName", "endpoint": "name"},
        )

    def merge_aliases(self, parent: str, reference: str, aliases: object, now: float) -> dict[str, Any]:
        """Give a version new aliases, and take those away that begin with `-`; an alias leads to one version only.

        Raises:
            ApiError: no such version, an alias that is not valid, or a model left without its default.
        """
        target = self.model(parent, reference)
        if not isinstance(aliases, list) or not aliases:
            raise invalid("version_aliases must name at least one alias.")
        for alias in aliases:
            if not isinstance(alias, str) or not _ALIAS.fullmatch(alias.removeprefix("-")):
                raise invalid(f"Invalid version alias {alias!r}: it must match [a-z][a-zA-Z0-9-]{{0,126}}[a-z0-9].")
        added = [alias for alias in aliases if not alias.startswith("-")]
        removed = {alias.removeprefix("-") for alias in aliases if alias.startswith("-")}
        if "default" in removed:
            raise invalid("The default alias cannot be removed; give it to another version instead.")
        for one in self._versions_of(parent, target.model_id):
            kept = tuple(alias for alias in one.aliases if alias not in added)
            if one.version == target.version:
                kept = tuple(alias for alias in kept if alias not in removed) + tuple(dict.fromkeys(added))
            if kept != one.aliases:
                self._versions.put(one.key, replace(one, aliases=kept, updated=now))
        return self.model_view(self.model(parent, f"{target.model_id}@{target.version}"))

    def patch(self, parent: str, reference: str, body: Mapping[str, Any], mask: str, now: float) -> dict[str, Any]:
        """Change display name, descriptions, labels or default checkpoint of a version.

        `mask` holds the fields to take from `body`, separated by commas; an empty one takes all that it has.

        Raises:
            ApiError: no such version, or a field that cannot be changed.
        """
        target = self.model(parent, reference)
        fields = [_camel(field) for field in mask.split(",") if field] or [field for field in body if field != "name"]
        changes: dict[str, Any] = {}
        for field in fields:
            if "@" in reference and field in _OF_ALL_VERSIONS:
                raise _not_now(f"The field {field!r} is the Model's, and {reference} names one of its versions.")
            if field in _MODEL_FIELDS:
                changes[_MODEL_FIELDS[field]] = str(body.get(field, ""))
            elif field == "labels":
                check_labels(body.get("labels", {}))
                changes["labels"] = dict(body.get("labels", {}))
            elif field == "defaultCheckpointId":
                wanted = body.get("defaultCheckpointId")
                if wanted not in [checkpoint["checkpointId"] for checkpoint in target.checkpoints]:
                    raise invalid(f"The Model {target.key} has no checkpoint {wanted!r}.")
                changes["default_checkpoint"] = wanted
            else:
                raise invalid(f"The field {field!r} of a Model cannot be updated.")
        return self.model_view(self._versions.put(target.key, replace(target, **changes, updated=now)))

    def delete_model(self, parent: str, reference: str) -> None:
        """Delete a model with all its versions.

        Raises:
            ApiError: no such model, or one of its versions is deployed at an endpoint.
        """
        versions = self._versions_of(parent, self.model(parent, reference).model_id)
        for one in versions:
            self._refuse_deployed(one)
        for one in versions:
            self._versions.drop(one.key)

    def delete_version(self, parent: str, reference: str) -> None:
        """Delete one version of a model that has several.

        Raises:
            ApiError: no such version, it is deployed, the only one, or the default.
        """
        model_id, _, version = reference.partition("@")
        if not version:
            raise invalid("The name must end with @ and the version to delete.")
        target = self.model(parent, reference)
        if len(self._versions_of(parent, model_id)) == 1:
            raise _not_now(f"{target.key} is the only version of its Model: use DeleteModel instead.")
        if "default" in target.aliases:
            raise _not_now(f"{target.key} is the default version: give the alias to another version first.")
        self._refuse_deployed(target)
        self._versions.drop(target.key)

    def undeploy(self, parent: str, endpoint_id: str, deployed_id: object) -> None:
        """Take the model from an endpoint, which stays and answers nothing.

        Raises:
            ApiError: no such endpoint, or no such deployed model at it.
        """
        endpoint = self.endpoint(parent, endpoint_id)
        if not endpoint.deployed or deployed_id != endpoint.id:
            raise not_found(f"The Endpoint {endpoint.name} has no DeployedModel of id {deployed_id!r}.")
        self._endpoints.put(endpoint.name, replace(endpoint, deployed=False))

    def delete_endpoint(self, parent: str, endpoint_id: str) -> None:
        """Delete an endpoint; its model stays.

        Raises:
            ApiError: no such endpoint, or its model was not undeployed.
        """
        endpoint = self.endpoint(parent, endpoint_id)
        if endpoint.deployed:
            raise _not_now(f"The Endpoint {endpoint.name} has a DeployedModel: undeploy it before.")
        self._endpoints.drop(endpoint.name)

    def _refuse_deployed(self, version: ModelVersion) -> None:
        serving = [one.name for one in self._endpoints if one.model_key == version.key and one.deployed]
        if serving:
            raise _not_now(f"The Model {version.key} is deployed at {', '.join(serving)}: undeploy it before.")

    def model_view(self, one: ModelVersion) -> dict[str, Any]:
        """Return a version as the API shows it."""
        serving = [endpoint for endpoint in self._endpoints if endpoint.model_key == one.key and endpoint.deployed]
        shown: dict[str, Any] = {
            "name": f"{one.parent}/models/{one.model_id}",
            "versionId": one.version,
            "versionAliases": list(one.aliases),
            "displayName": one.display_name,
            "description": one.description,
            "versionDescription": one.version_description,
            "labels": one.labels,
            "createTime": timestamp(one.created),
            "updateTime": timestamp(one.updated),
            "versionCreateTime": timestamp(one.created),
            "versionUpdateTime": timestamp(one.updated),
            "deployedModels": [{"endpoint": endpoint.name, "deployedModelId": endpoint.id} for endpoint in serving],
            "modelSourceInfo": {"sourceType": "GENIE"},
            "checkpoints": [
                {field: checkpoint[field] for field in ("checkpointId", "epoch", "step")}
                for checkpoint in one.checkpoints
            ],
            "defaultCheckpointId": one.default_checkpoint,
            "etag": f"{one.updated:.6f}",
        }
        return {field: value for field, value in shown.items() if value not in ("", [])}

    def endpoint_view(self, one: Endpoint) -> dict[str, Any]:
        """Return an endpoint as the API shows it."""
        model, _, version = one.model_key.partition("@")
        deployed = {
            "id": one.id,
            "model": model,
            "modelVersionId": version,
            "displayName": one.display_name,
            "createTime": timestamp(one.created),
            "checkpointId": one.checkpoint,
        }
        return {
            "name": one.name,
            "displayName": one.display_name,
            "deployedModels": [deployed] if one.deployed else [],
            "trafficSplit": {one.id: 100} if one.deployed else {},
            "labels": one.labels,
            "createTime": timestamp(one.created),
            "updateTime": timestamp(one.created),
            "etag": f"{one.created:.6f}",
        }

    def _versions_of(self, parent: str, model_id: str) -> list[ModelVersion]:
        found = (self._versions.get(key) for key in self._keys.get((parent, model_id), ()))
        return [one for one in found if one is not None]


def _not_now(message: str) -> ApiError:
    return ApiError("FAILED_PRECONDITION", message)


def _camel(field: str) -> str:
    head, *rest = field.strip().split("_")
    return head + "".join(part.capitalize() for part in rest)
