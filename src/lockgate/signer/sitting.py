"""How does the signer sit at its socket? One question at a time, from whom the kernel says may ask.

    connect ──▶ which user is it? (SO_PEERCRED, unix(7)) ──▶ one line ──▶ remember, sign ──▶ one line ──▶ closed

A caller that says nothing has two seconds, and then the next one comes. Whoever kills this process at any point finds,
when it starts again, a memory that holds every head that it gave a signature for.
"""

import logging
import os
import select
import socket
import struct
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from lockgate.app.ports import Heads
from lockgate.drivers.signer_socket import PATIENCE, addressed, read_line
from lockgate.errors import LockgateError, UnavailableError
from lockgate.tlog.anchor import AskLast, AskSign, Refused, Reply, Signed, encode_line, read_question

_log = logging.getLogger(__name__)
_BACKLOG = 64
_PEER = struct.Struct("3i")  # pid, uid, gid


def listen(path: Path, users: Collection[int]) -> socket.socket:
    """Take the place of the socket. We are alone in our home, so whatever is there is left from before."""
    if not hasattr(socket, "SO_PEERCRED"):
        raise UnavailableError("this system does not say who asks at a socket; the signer needs Linux")
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    strangers = bool(set(users) - {os.geteuid()})
    before = os.umask(0o111 if strangers else 0o177)
    try:
        with addressed(path) as address:
            with suppress(FileNotFoundError):
                path.unlink()
            door.bind(address)
        door.listen(_BACKLOG)
    except OSError as e:
        door.close()
        raise UnavailableError(f"no signer can listen at {path}: {e.strerror}") from e
    finally:
        os.umask(before)
    return door


def sit(door: socket.socket, heads: Heads, users: Collection[int], tied_to: int | None = None) -> None:
    """Answer until `tied_to`, a file descriptor, is at its end; for ever without one."""
    watched = [door.fileno()] if tied_to is None else [door.fileno(), tied_to]
    while True:
        ready, _, _ = select.select(watched, [], [])
        if tied_to is not None and tied_to in ready and not os.read(tied_to, 1):
            return
        if door.fileno() in ready:
            caller, _ = door.accept()
            with caller, suppress(OSError):  # whoever goes away gets nothing
                _serve(caller, heads, users)


def _serve(caller: socket.socket, heads: Heads, users: Collection[int]) -> None:
    _, user, _ = _PEER.unpack(caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    if user not in users:
        _log.warning("user %d asked for a signature, and may not", user)
        return
    line = read_line(caller, time.monotonic() + PATIENCE)
    caller.settimeout(PATIENCE)
    caller.sendall(encode_line(answered(line, heads)))


def answered(line: bytes, heads: Heads) -> Reply:
    """Answer one question; whatever is wrong with it refuses it."""
    try:
        asked = read_question(line)
        match asked:
            case AskLast():
                return Signed(heads.last())
            case AskSign():
                return Signed(heads.sign(*asked.read()))
    except LockgateError as e:
        _log.warning("refused: %s", e)
        return Refused.of(e)
