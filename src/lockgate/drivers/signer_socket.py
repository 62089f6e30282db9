"""How is a signer asked that is a process of its own? One question for each connection to its socket.

The answer is a signed note, which whoever asked verifies: so a stranger at the socket can be silent, and no more.
"""

import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lockgate.errors import UnavailableError
from lockgate.tlog.anchor import MAX_LINE, AskLast, AskSign, Question, encode_line, read_reply
from lockgate.tlog.checkpoint import Checkpoint
from lockgate.tlog.merkle import Hash

PATIENCE = 2.0  # seconds for a whole answer

_LONGEST = 100  # sun_path has 108 bytes on Linux, 104 elsewhere (unix(7))


@dataclass(frozen=True, slots=True)
class SignerSocket:
    """Port `Heads`, behind a unix socket."""

    path: Path
    patience: float = PATIENCE

    def last(self) -> str:
        """Return the note of the largest head that was signed."""
        return self._ask(AskLast())

    def sign(self, head: Checkpoint, proof: Sequence[Hash]) -> str:
        """Have a head remembered and signed."""
        return self._ask(AskSign.of(head, proof))

    def _ask(self, question: Question) -> str:
        until = time.monotonic() + self.patience
        try:
            with addressed(self.path) as address, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
                door.settimeout(self.patience)
                door.connect(address)
                door.sendall(encode_line(question))
                line = read_line(door, until)
        except OSError as e:
            raise UnavailableError(f"the signer at {self.path} does not answer: {e.strerror or e}") from e
        if not line.endswith(b"\n"):
            raise UnavailableError(f"the signer at {self.path} broke off after {len(line)} bytes")
        return read_reply(line)


def read_line(door: socket.socket, until: float) -> bytes:
    """Read up to the end of a line, of the connection, of the limit, or of the time (`TimeoutError`)."""
    line = bytearray()
    while not line.endswith(b"\n") and len(line) <= MAX_LINE:
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError("it takes too long")
        door.settimeout(left)
        piece = door.recv(MAX_LINE)
        if not piece:
            break
        line += piece
    return bytes(line)


@contextmanager
def addressed(path: Path) -> Iterator[str]:
    """Give the address of a socket; one whose path is too long goes by its open folder."""
    if len(os.fsencode(path)) <= _LONGEST:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
