"""Taking tuned models away: in the order that the real service asks for, endpoint first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from google.api_core import exceptions
from google.genai import errors

if TYPE_CHECKING:
    from vertex_stand_in import VertexStandIn

pytestmark = pytest.mark.filterwarnings("ignore:The SDK's tuning implementation is experimental")


def undeploy_all(vertex: VertexStandIn, model: str) -> list[str]:
    """Undeploy a model everywhere, and return the endpoints."""
    served = list(vertex.models.get_model(name=model).deployed_models)
    for one in served:
        vertex.endpoints.undeploy_model(endpoint=one.endpoint, deployed_model_id=one.deployed_model_id).result()
    return [one.endpoint for one in served]


def test_a_model_goes_once_it_is_undeployed_and_its_endpoint_before_it(vertex: VertexStandIn) -> None:
    tuned = vertex.ended(vertex.tune()).tuned_model
    assert tuned
    assert tuned.model
    assert tuned.endpoint
    name = tuned.model.removesuffix("@1")
    with pytest.raises(exceptions.BadRequest, match="undeploy it before"):
        vertex.models.delete_model(name=name)
    with pytest.raises(exceptions.BadRequest, match="undeploy it before"):
        vertex.endpoints.delete_endpoint(name=tuned.endpoint)
    assert vertex.client.models.generate_content(model=tuned.endpoint, contents="phone stolen").text == "lost_phone"
    endpoints = undeploy_all(vertex, tuned.model)
    assert tuned.endpoint in endpoints
    assert len(endpoints) == len(tuned.checkpoints or [])
    assert list(vertex.models.get_model(name=name).deployed_models) == []
    endpoint = vertex.endpoints.get_endpoint(name=tuned.endpoint)
    assert (list(endpoint.deployed_models), dict(endpoint.traffic_split)) == ([], {})
    with pytest.raises(errors.ClientError, match="no deployed model"):
        vertex.client.models.generate_content(model=tuned.endpoint, contents="hi")
    for one in endpoints:
        vertex.endpoints.delete_endpoint(name=one).result()
    with pytest.raises(exceptions.NotFound):
        vertex.endpoints.get_endpoint(name=tuned.endpoint)
    vertex.models.delete_model(name=name).result()
    with pytest.raises(exceptions.NotFound):
        vertex.models.get_model(name=name)


def test_undeploying_names_what_is_deployed(vertex: VertexStandIn) -> None:
    tuned = vertex.ended(vertex.tune()).tuned_model
    assert tuned
    assert tuned.model
    (first, *_) = vertex.models.get_model(name=tuned.model).deployed_models
    undeploy = vertex.endpoints.undeploy_model
    with pytest.raises(exceptions.NotFound):
        undeploy(endpoint=first.endpoint, deployed_model_id="404")
    undeploy(endpoint=first.endpoint, deployed_model_id=first.deployed_model_id).result()
    with pytest.raises(exceptions.NotFound):
        undeploy(endpoint=first.endpoint, deployed_model_id=first.deployed_model_id)


def test_of_several_versions_one_is_deleted_and_the_default_and_the_last_are_not(vertex: VertexStandIn) -> None:
    first = vertex.ended(vertex.tune()).tuned_model
    assert first
    assert first.model
    name = first.model.removesuffix("@1")
    delete = vertex.models.delete_model_version
    undeploy_all(vertex, first.model)
    with pytest.raises(exceptions.BadRequest, match="only version"):
        delete(name=f"{name}@1")
    vertex.ended(vertex.tune(base_model=first.model))
    with pytest.raises(exceptions.BadRequest, match="default version"):
        delete(name=f"{name}@1")
    vertex.models.merge_version_aliases(name=f"{name}@2", version_aliases=["default"])
    delete(name=f"{name}@1").result()
    assert [one.version_id for one in vertex.models.list_model_versions(name=name)] == ["2"]
    with pytest.raises(exceptions.BadRequest, match="undeploy it before"):
        vertex.models.delete_model(name=name)


def test_what_the_registry_does_not_have_is_not_implemented(vertex: VertexStandIn) -> None:
    with pytest.raises(exceptions.MethodNotImplemented, match="deployModel"):
        vertex.endpoints.deploy_model(
            endpoint=f"{vertex.parent}/endpoints/1",
            deployed_model={"model": f"{vertex.parent}/models/1"},
        )
