"""Where this process finds its configuration and keeps its state: the only settings that come from the environment."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """GENOPS_CONFIG, GENOPS_HOME and GENOPS_AIRFLOW_…, read anew at each `Settings()` and never at import."""

    model_config = SettingsConfigDict(env_prefix="GENOPS_", frozen=True)

    config: Path = Path("genops.yaml")
    """The file that the user writes."""
    home: Path = Path(".genops")
    """State of the local stack: one folder per stack."""
    airflow_url: str | None = None
    """Where Airflow's pages and REST are; `genops env` sets it for the local stack."""
    airflow_token: SecretStr | None = None
    """Bearer token for Airflow's REST, in place of a user and a password."""
    airflow_username: str | None = None
    """With `airflow_password`, exchanged for a token at Airflow's /auth/token."""
    airflow_password: SecretStr | None = None
