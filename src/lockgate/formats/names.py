"""What may things be called? ASCII slugs, so that no two names look alike and none is a path."""

import re
from dataclasses import dataclass
from typing import Self

from lockgate.errors import VerificationError

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_VERSION = re.compile(r"(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})")


@dataclass(frozen=True, slots=True, order=True)
class Name:
    """The name of a release, an environment, an endpoint or a signer: `[a-z0-9][a-z0-9-]{0,62}`."""

    text: str

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.text):
            raise VerificationError(f"not a name ([a-z0-9][a-z0-9-]{{0,62}}): {self.text[:80]!a}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a name."""
        return cls(text)

    def __str__(self) -> str:
        """Write the name."""
        return self.text


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """What serves in an environment: `ENV/NAME`."""

    environment: Name
    name: Name

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `ENV/NAME`."""
        environment, slash, name = text.partition("/")
        if not slash:
            raise VerificationError(f"not an endpoint like prod/magika: {text[:130]!a}")
        return cls(Name(environment), Name(name))

    def __str__(self) -> str:
        """Write `ENV/NAME`."""
        return f"{self.environment}/{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """MAJOR.MINOR.PATCH (Semantic Versioning 2.0.0 §2), without pre-release or build tags."""

    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `X.Y.Z`."""
        found = _VERSION.fullmatch(text)
        if not found:
            raise VerificationError(f"not a version like 1.2.3: {text[:40]!a}")
        return cls(*(int(part) for part in found.groups()))

    def __str__(self) -> str:
        """Write `X.Y.Z`."""
        return f"{self.major}.{self.minor}.{self.patch}"


@dataclass(frozen=True, slots=True, order=True)
class Tag:
    """A release by its tag, `NAME@X.Y.Z`. Bound once, never recycled."""

    name: Name
    version: Version

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `NAME@X.Y.Z`."""
        name, at, version = text.partition("@")
        if not at:
            raise VerificationError(f"not a release like magika@1.0.0: {text[:110]!a}")
        return cls(Name(name), Version.parse(version))

    def __str__(self) -> str:
        """Write `NAME@X.Y.Z`."""
        return f"{self.name}@{self.version}"
