"""Choose the releases of Airflow to try, out of what the index has."""

from __future__ import annotations

from packaging.specifiers import SpecifierSet
from packaging.version import Version


def releases_to_try(published: list[str], allowed: SpecifierSet) -> list[str]:
    """Return the final releases in range, oldest first, and the newest pre-release where it is ahead of them all."""
    fitting = sorted(Version(one) for one in published if allowed.contains(one, prereleases=True))
    finals = [one for one in fitting if not one.is_prerelease]
    ahead = fitting[-1:] if fitting and fitting[-1].is_prerelease else []
    return [str(one) for one in [*finals, *ahead]]
