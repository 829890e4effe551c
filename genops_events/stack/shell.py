"""What of a shell must not reach a local stack, the demo or the tests: they are about themselves, whatever it points at."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping

# Variables of these kinds belong to another Airflow, another stack, another cloud or another Python.
_FOREIGN_PREFIXES = (
    *("AIRFLOW", "_AIRFLOW", "GENOPS_", "PYTHON", "PG", "OTEL_"),
    *("GOOGLE_", "GCLOUD_", "GCP_", "CLOUDSDK_", "GCE_METADATA", "GRPC_", "GEMINI_", "VERTEX"),
)
# All that is talked to is on loopback: a proxy has no business there.
_FOREIGN_SUFFIXES = ("_EMULATOR_HOST", "_PROXY")
_FOREIGN = {"FORCE_COLOR", "CLICOLOR_FORCE", "COLUMNS", "LINES", "VIRTUAL_ENV"}
# PYTHONDONTWRITEBYTECODE is not kept: to compile Airflow anew in each process takes longer than all the rest of a start.
_KEPT = {"PYTHONPYCACHEPREFIX"}
_KEPT_PREFIXES = ("GENOPS_TEST_",)


def is_foreign(name: str) -> bool:
    """Tell whether a variable of this name could lead a component astray."""
    if name in _KEPT or name.startswith(_KEPT_PREFIXES):
        return False
    upper = name.upper()
    return name in _FOREIGN or upper.startswith(_FOREIGN_PREFIXES) or upper.endswith(_FOREIGN_SUFFIXES)


def forget(environment: MutableMapping[str, str]) -> list[str]:
    """Take all that is foreign out of an environment, here; return the names, sorted."""
    names = sorted(filter(is_foreign, environment))
    for name in names:
        del environment[name]
    return names


def clean_environment(outer: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without what would lead a component astray; all else of the user's shell stays."""
    kept = {name: value for name, value in outer.items() if not is_foreign(name)}
    kept |= {
        "NO_COLOR": "1",
        "NO_PROXY": "127.0.0.1,localhost",
        "PYTHONUNBUFFERED": "1",
        "PYTHONNOUSERSITE": "1",
        "PYTHONUTF8": "1",
    }
    return kept
