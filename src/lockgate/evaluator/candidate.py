"""What is tested? A release whose every byte is the one that was signed, laid out where nobody else writes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lockgate.core.release import Kind, Manifest
from lockgate.errors import VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.oms import FileDigest

MOST_TEXT = 16 << 20


@dataclass(frozen=True, slots=True)
class Candidate:
    """A release, and its files as `folder/COMPONENT/NAME`. Whoever makes one has compared every byte of them."""

    manifest: Manifest
    release: Digest
    folder: Path
    files: Mapping[str, tuple[FileDigest, ...]]

    def of_kind(self, *kinds: Kind) -> Iterator[str]:
        """List the files of all components of these kinds, as COMPONENT/NAME."""
        for component, part in sorted(self.manifest.components.items()):
            if part.kind in kinds:
                yield from (f"{component}/{file.name}" for file in self.files[component])

    def has(self, *kinds: Kind) -> bool:
        """Tell whether the release has a component of one of these kinds."""
        return any(part.kind in kinds for part in self.manifest.components.values())

    def read(self, where: str, most: int = MOST_TEXT) -> bytes:
        """Read a file; raise `VerificationError` for one that is larger than what anybody should read."""
        with (self.folder / where).open("rb") as file:
            content = file.read(most + 1)
        if len(content) > most:
            raise VerificationError(f"{where} has more than {most} bytes")
        return content

    def text(self, where: str) -> str:
        """Read a file as UTF-8."""
        try:
            return self.read(where).decode()
        except UnicodeDecodeError as e:
            raise VerificationError(f"{where} is not UTF-8") from e
