"""Give the benchmark's stack the usual way: the Google provider, a Dag on its trigger, and a topic of its own."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.bench_stack import CHECKOUT, StackFailed

if TYPE_CHECKING:
    from genops_events.config import Config

SOURCES = CHECKOUT / "benchmarks" / "usual_way"
REQUIREMENTS = SOURCES / "requirements.txt"
INSTALL_TIMEOUT_SECONDS = 300.0
NAME = "usual-way"
PREFIX = "usual-way/"
"""Watched by nothing else, and announced on a topic of its own: neither way sees the other's uploads."""


@dataclass(frozen=True, slots=True)
class TriggerSettings:
    """Arguments of `PubsubPullTrigger`.

    The documentation's example has `max_messages=1` and `poke_interval=60.0`.
    """

    project_id: str
    max_messages: int
    poke_interval: float
    subscription: str = NAME
    ack_messages: bool = True
    gcp_conn_id: str = "google_cloud_default"
    return_immediately: bool = True
    """The provider's default; given so that it does not warn."""


def install() -> Path:
    """Install the provider into a cache folder of the checkout, once for each content of the requirements.

    Raises:
        StackFailed: it could not be installed.
    """
    cache = CHECKOUT / ".genops" / "bench"
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    digest = hashlib.sha256(REQUIREMENTS.read_bytes() + python.encode()).hexdigest()[:12]
    site = cache / f"usual-way-{digest}"
    if site.is_dir():
        return site
    # Installed beside and then renamed: a broken installation is never taken for a whole one.
    draft = cache / f"usual-way-{digest}.{os.getpid()}"
    uv = shutil.which("uv")
    installer = [uv, "pip", "install", "--python", sys.executable] if uv else [sys.executable, "-m", "pip", "install"]
    command = [*installer, "--quiet", "--no-deps", "--target", str(draft), "--requirement", str(REQUIREMENTS)]
    try:
        subprocess.run(command, check=True, timeout=INSTALL_TIMEOUT_SECONDS)
        draft.replace(site)
    except (subprocess.SubprocessError, OSError) as error:
        raise StackFailed(
            f"The Google provider could not be installed: {error}. "
            "Look at the package index, or measure without it: --ways ours"
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return site


def provider_version() -> str:
    """Return the pinned version of the Google provider."""
    lines = REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    return next(line.partition("==")[2] for line in lines if line.startswith("apache-airflow-providers-google=="))


def place(folder: Path, site: Path, settings: TriggerSettings) -> None:
    """Put the Dag into the stack's Dags folder, and its trigger with the provider where Airflow finds modules.

    Airflow adds its plugins folder to every process's module path. So nothing of the product changes for this.

    Args:
        folder: the benchmark's own folder, before its stack is started.
        site: where the provider is installed.
        settings: of the trigger.
    """
    place_modules(folder, site, "usual_way_trigger.py")
    shutil.copy(SOURCES / "usual_way_tuning.py", folder / "dags")
    (folder / "dags" / "usual_way.json").write_text(json.dumps(asdict(settings)))


def place_modules(folder: Path, site: Path | None, *modules: str) -> None:
    """Put modules of the usual way, and the provider, where Airflow finds modules.

    Args:
        folder: the benchmark's own folder, before its stack is started.
        site: where the provider is installed; None leaves it out.
        modules: names of files.
    """
    plugins = folder / "home" / "airflow" / "plugins"
    plugins.mkdir(parents=True)
    if site is not None:
        (plugins / "usual_way_site").symlink_to(site)
    placed = ("usual_way_provider.py", *modules)
    for module in placed:
        shutil.copy(SOURCES / module, plugins)
    # None of it is a plugin: Airflow must not import it all to find out.
    (plugins / ".airflowignore").write_text("\n".join(("usual_way_site", "usual_way_site/**", *placed, "")))


def provision(config: Config) -> None:
    """Create topic, subscription and notification of the usual way, with the same lease as ours."""
    from genops_events.gcp.clients import CALL_TIMEOUT_SECONDS, publisher_client, storage_client, subscriber_client
    from genops_events.provisioning.provision import ACK_DEADLINE_SECONDS

    publisher = publisher_client()
    topic = publisher.topic_path(config.project, NAME)
    publisher.create_topic(name=topic, timeout=CALL_TIMEOUT_SECONDS)
    publisher.stop()
    with subscriber_client() as subscriber:
        name = subscriber.subscription_path(config.project, NAME)
        request = {"name": name, "topic": topic, "ack_deadline_seconds": ACK_DEADLINE_SECONDS}
        subscriber.create_subscription(request=request, timeout=CALL_TIMEOUT_SECONDS)
    notification = (
        storage_client(config)
        .bucket(config.bucket)
        .notification(
            topic_name=NAME,
            topic_project=config.project,
            event_types=["OBJECT_FINALIZE"],
            blob_name_prefix=PREFIX,
            payload_format="JSON_API_V1",
        )
    )
    notification.create(timeout=CALL_TIMEOUT_SECONDS)
