"""Where may a model server write on its host, and does the release beside it write there too?

    only    nowhere but in a place of its own, in memory, bounded, gone with it: /tmp, /var/tmp, /dev/shm and HOME
    own     there, and wherever else its user may write on the host
    host    wherever its user may write; only /dev/shm is its own

The host says which, and names what else is written. `{release}` in such a name is the digest of the release, so that
each has a folder of its own; where it is left out, stable and candidate would share one, so that candidate is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal, TypeAlias, get_args

from lockgate.errors import DeniedError, VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint

ScratchKind: TypeAlias = Literal["only", "own", "host"]

OWN_HOME = "/tmp/home"  # noqa: S108 - of the program, in its own /tmp
OWN_PLACES = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - that is what they are called
ACCELERATORS = ("/dev/nvidia*", "/dev/dri", "/dev/kfd", "/dev/accel*")
LEAST_BYTES = 1 << 20
RELEASE = "{release}"


@dataclass(frozen=True, slots=True)
class Scratch:
    """What a host lets model servers write: `size` in bytes, None for a quarter of its memory."""

    kind: ScratchKind = "only"
    size: int | None = None
    writable: tuple[str, ...] = ()
    devices: tuple[str, ...] = ACCELERATORS

    def writable_for(self, release: Digest) -> tuple[str, ...]:
        """List the folders that a release may write, besides its own place."""
        return tuple(folder.replace(RELEASE, release.hex) for folder in self.writable)

    @property
    def folders_of_releases(self) -> tuple[str, ...]:
        """List the folders in which each release has one: it sees no other there."""
        return tuple(folder.removesuffix(f"/{RELEASE}") for folder in self.writable if RELEASE in folder)

    def check_beside(self, endpoint: Endpoint) -> None:
        """Raise `DeniedError` if a candidate would write where the stable release at `endpoint` writes too.

        Enforces: isolated_parallel_versions
        """
        both = [folder for folder in self.writable if RELEASE not in folder]
        if both:
            named = ", ".join(both)
            raise DeniedError(f"stable and candidate at {endpoint} would both write {named}: name it …/{RELEASE}")


def parse_scratch(settings: Mapping[str, object]) -> Scratch:
    """Read what host.toml says of it; raise `VerificationError` for what means nothing."""
    said = settings.get("scratch", "only")
    kind: ScratchKind | None = next((known for known in get_args(ScratchKind) if known == said), None)
    if kind is None:
        raise VerificationError(f"scratch is only, own or host, not {str(said)[:40]!a}")
    size = settings.get("scratch_bytes")
    if size is not None and (type(size) is not int or size < LEAST_BYTES):
        raise VerificationError(f"scratch_bytes is a number from {LEAST_BYTES}")
    writable = tuple(map(_checked_folder, _texts(settings, "writable", ())))
    if writable and kind == "host":
        raise VerificationError('with scratch = "host" a model server writes what its user may: writable means nothing')
    devices = tuple(map(_checked_device, _texts(settings, "devices", ACCELERATORS)))
    return Scratch(kind, size, writable, devices)


def _texts(settings: Mapping[str, object], name: str, default: tuple[str, ...]) -> list[str]:
    found = settings.get(name, list(default))
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise VerificationError(f"{name} is no list of texts")
    return found


def _checked_folder(folder: str) -> str:
    path = PurePosixPath(folder)
    if not path.is_absolute() or str(path) != folder or ".." in path.parts or "\0" in folder:
        raise VerificationError(f"writable: {folder[:200]!a} is no absolute name of a folder")
    if RELEASE in folder and (folder.count(RELEASE) > 1 or path.name != RELEASE or len(path.parts) < 3):
        raise VerificationError(f"writable: {folder[:200]!a}: {RELEASE} stands at its end, in a folder")
    if folder == "/" or path.is_relative_to("/dev") or path.is_relative_to("/proc") or folder in OWN_PLACES:
        raise VerificationError(f"writable: {folder[:200]!a} is no folder that can be shared: name one below it")
    return folder


def _checked_device(device: str) -> str:
    path = PurePosixPath(device)
    if not path.is_relative_to("/dev/") or len(path.parts) < 3 or ".." in path.parts or str(path) != device:
        raise VerificationError(f"devices: {device[:200]!a} is no name below /dev")
    if path.parts[2] in ("shm", "mqueue"):
        raise VerificationError(f"devices: {device[:200]!a} is no device, and each run has its own")
    return device
