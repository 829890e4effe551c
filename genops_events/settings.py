"""Where this process finds its configuration and keeps its state: the only settings that come from the environment."""

from __future__ import annotations

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """GENOPS_CONFIG and GENOPS_HOME, read anew at each `Settings()` and never at import."""

    model_config = SettingsConfigDict(env_prefix="GENOPS_", frozen=True)

    config: Path = Path("genops.yaml")
    """The file that the user writes."""
    home: Path = Path(".genops")
    """State of the local stack: one folder per stack."""
