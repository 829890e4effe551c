"""Where a model is tuned, served, judged by and asked; and the host that answers there."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from config_texts import changed, problems_of

from genops_events.catalogue.locations import host_of, location_in, moved_to
from genops_events.config import Config, parse_config
from genops_events.gcp.clients import genai_client, vertex_endpoint

THREE, TWO = "gemini-3.5-flash", "gemini-2.5-flash"


def made(model: str, location: str = "us-central1", **keys: Any) -> Config:
    return Config.model_validate(changed(source_model=model) | {"location": location} | keys)


@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("us-central1", "us-central1-aiplatform.googleapis.com"),
        ("us", "aiplatform.us.rep.googleapis.com"),
        ("eu", "aiplatform.eu.rep.googleapis.com"),
        ("global", "aiplatform.googleapis.com"),
    ],
)
def test_each_location_has_its_host_in_every_client(
    location: str, host: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.delenv("GOOGLE_VERTEX_BASE_URL", raising=False)
    monkeypatch.setattr("google.auth.default", lambda **_: (None, "p"))
    assert host_of(location) == host
    assert vertex_endpoint(location) == f"https://{host}"
    with genai_client("p", location) as client:
        assert client._api_client._http_options.base_url == f"https://{host}/"
    monkeypatch.setenv("GOOGLE_VERTEX_BASE_URL", "http://127.0.0.1:9")
    assert vertex_endpoint(location) == "http://127.0.0.1:9"
    with genai_client("p", location) as client:
        assert client._api_client._http_options.base_url == "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("model", "location", "serving", "asking"),
    [
        (THREE, "us-central1", "us", "us"),
        (THREE, "europe-west4", "eu", "eu"),
        (TWO, "us-central1", "us-central1", "us-central1"),
        (TWO, "asia-east1", "asia-east1", "asia-east1"),
    ],
)
def test_by_the_catalogue_data_stay_on_the_continent_of_their_tuning(
    model: str, location: str, serving: str, asking: str
) -> None:
    config = made(model, location)
    assert config.places.serving(config.dataset("banking77")) == serving
    assert config.places.of(model) == asking
    assert config.places.judging == location
    assert config.places.of_judge(model) == asking


def test_a_model_of_today_is_asked_worldwide_where_there_is_no_multi_region_around() -> None:
    assert made(TWO, "asia-east1").places.of(THREE) == "global"


def test_genops_yaml_goes_before_the_catalogue_and_a_dataset_before_both() -> None:
    config = made(THREE, locations={"serving": "eu", "asking": "global", "judging": "europe-west4"})
    dataset = config.dataset("banking77")
    assert config.places.serving(dataset) == "eu"
    assert (config.places.of(THREE), config.places.of(TWO)) == ("global", "global")
    assert config.places.judging == "europe-west4"
    assert config.places.of_judge(TWO) == "europe-west4"
    assert config.places.of_judge(THREE) == "global"
    own = changed(source_model=THREE, locations__serving="us") | {"locations": {"serving": "eu"}}
    config = Config.model_validate(own)
    assert config.places.serving(config.dataset("banking77")) == "us"
    assert config.serving_location_of("banking77-0123456789abcdef") == "us"
    assert config.serving_location_of("gone-0123456789abcdef") == "us-central1"


def test_a_resource_is_asked_where_its_name_says() -> None:
    config = made(THREE)
    assert config.places.of("projects/p/locations/eu/endpoints/7") == "eu"
    assert config.places.of("projects/p/locations/asia-east1/cachedContents/7") == "asia-east1"
    assert location_in("gemini-3.5-flash") is None
    assert moved_to("projects/p/locations/us-central1/endpoints/7", "us") == "projects/p/locations/us/endpoints/7"


def test_an_endpoint_is_called_where_its_kind_of_model_is_served() -> None:
    named = "projects/p/locations/us-central1/endpoints/7"
    served = "projects/p/locations/us/endpoints/7"
    config = made(THREE)
    dataset = config.dataset("banking77")
    assert config.places.served_endpoint(dataset, named) == served
    assert config.places.served_endpoint(dataset, served) == served
    config = made(TWO)
    assert config.places.served_endpoint(config.dataset("banking77"), named) == named


@pytest.mark.parametrize(
    ("data", "key", "allowed"),
    [
        (changed(source_model=THREE, locations__serving="us-central1"), "locations.serving", "served in us or eu"),
        (changed(source_model=TWO, locations__serving="us"), "locations.serving", "served in us-central1"),
        (changed(source_model=THREE) | {"locations": {"serving": "global"}}, "source_model", "served in us or eu"),
        (changed(source_model=THREE) | {"location": "us-east1"}, "tuning.method", "in us-central1, europe-west4 only"),
    ],
)
def test_a_place_where_nobody_would_answer_is_refused_when_the_file_is_read(
    data: dict[str, Any], key: str, allowed: str
) -> None:
    found = problems_of(data)
    assert allowed in found[f"datasets.banking77.{key}"].allowed


def test_a_place_that_vertex_ai_does_not_have_is_refused() -> None:
    assert "locations.asking" in problems_of(changed() | {"locations": {"asking": "mars"}})
    assert parse_config(yaml.safe_dump(changed() | {"locations": {"asking": "eu"}})).locations.asking == "eu"
