"""What does a model server see of its bindings? A file for each in a private folder, written anew with each lease.

    {bindings}/NAME.json    access/v1: what it takes to get in, and until when

It is a mount of its own, in the mount namespace of the run: no other program sees it, and it is never on a disk.
"""

from pathlib import Path

from lockgate.errors import UnavailableError
from lockgate.formats import plain
from lockgate.loader.control import Access
from lockgate.loader.hand_over import Handed
from lockgate.loader.namespace import Room
from lockgate.loader.whole_file import write_whole

_ROOM = 4 << 20


class BoundFolder:
    """The folder of one run."""

    def __init__(self, files: Handed) -> None:
        """Make it beside the files of a release; raise `UnavailableError` where a run cannot be private."""
        if files.room is None:
            raise UnavailableError("this host has no private mounts, so a model server that holds bindings cannot run")
        self._room = Room.mount(_ROOM)
        self._sockets: set[Path] = set()

    @property
    def path(self) -> Path:
        """Where it is, for the model server alone."""
        return self._room.path

    @property
    def shown(self) -> tuple[Path, ...]:
        """List what the model server is to see: this, and the folders of sockets that were granted."""
        return (self.path, *sorted(self._sockets))

    def put(self, access: Access) -> None:
        """Write a file in place of the one before; whoever reads sees one or the other."""
        if (host := str(access.means.get("host", ""))).startswith("/"):
            self._sockets.add(Path(host))
        write_whole(self._room.path / f"{access.name}.json", plain.encode(access), 0o600)

    def close(self) -> None:
        """Take it away."""
        self._room.close()
