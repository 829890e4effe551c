"""Conditions that a call sets on the generation it expects, decided without I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from gcp_stand_ins.storage.wire import ApiError, Call


class Version(Protocol):
    """What a condition looks at, of an object or a bucket."""

    @property
    def generation(self) -> int: ...  # noqa: D102
    @property
    def metageneration(self) -> int: ...  # noqa: D102
    @property
    def etag(self) -> str: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Preconditions:
    """The conditions of one call on one object; None means not set.

    `generation` 0 stands for "there is no such object".
    """

    generation: int | None = None
    generation_not: int | None = None
    metageneration: int | None = None
    metageneration_not: int | None = None
    etag: str | None = None
    etag_not: str | None = None

    @classmethod
    def of_call(cls, call: Call) -> Preconditions:
        """Return the conditions on the object that the call names."""
        return cls(
            generation=call.number("ifGenerationMatch"),
            generation_not=call.number("ifGenerationNotMatch"),
            metageneration=call.number("ifMetagenerationMatch"),
            # Google's Python client spells it with a capital G when it uploads.
            metageneration_not=call.number(
                "ifMetaGenerationNotMatch" if "ifMetaGenerationNotMatch" in call.query else "ifMetagenerationNotMatch"
            ),
            etag=call.headers.get("if-match"),
            etag_not=call.headers.get("if-none-match"),
        )

    @classmethod
    def of_source(cls, call: Call) -> Preconditions:
        """Return the conditions on the object that a copy reads from."""
        return cls(
            generation=call.number("ifSourceGenerationMatch"),
            generation_not=call.number("ifSourceGenerationNotMatch"),
            metageneration=call.number("ifSourceMetagenerationMatch"),
            metageneration_not=call.number("ifSourceMetagenerationNotMatch"),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return what is set, to be kept with an upload session."""
        return {name: getattr(self, name) for name in self.__slots__ if getattr(self, name) is not None}

    def check_write(self, found: Version | None) -> None:
        """Let a change pass, or stop it.

        Args:
            found: the version that would be changed, None when there is none.

        Raises:
            ApiError: 412.
        """
        if not (self._expected_holds(found) and self._unexpected_holds(found)):
            raise _failed()

    def check_read(self, found: Version) -> None:
        """Let a read pass, or stop it.

        Raises:
            ApiError: 412 when it is not the version expected, 304 when it is the one the caller has.
        """
        if not self._expected_holds(found):
            raise _failed()
        if not self._unexpected_holds(found):
            raise ApiError(304, "Not Modified", reason="notModified", headers={"etag": found.etag})

    def _expected_holds(self, found: Version | None) -> bool:
        if self.generation is not None and self.generation != (found.generation if found else 0):
            return False
        if self.metageneration is not None and (found is None or found.metageneration != self.metageneration):
            return False
        return self.etag is None or (found is not None and _etag_among(found.etag, self.etag))

    def _unexpected_holds(self, found: Version | None) -> bool:
        if self.generation_not is not None and self.generation_not == (found.generation if found else 0):
            return False
        if self.metageneration_not is not None and (found is None or found.metageneration == self.metageneration_not):
            return False
        return self.etag_not is None or found is None or not _etag_among(found.etag, self.etag_not)


def _etag_among(etag: str, header: str) -> bool:
    given = {one.strip().removeprefix("W/").strip('"') for one in header.split(",")}
    return etag in given or "*" in given


def _failed() -> ApiError:
    return ApiError(412, "At least one of the pre-conditions you specified did not hold.")
