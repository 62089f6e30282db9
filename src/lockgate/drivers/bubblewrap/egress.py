"""Whom may a job reach outside? The hosts that it was allowed by name, through this, and every refusal is written down.

An HTTP proxy that knows CONNECT and nothing else (RFC 9110 §9.3.6). It resolves names outside, and connects to exactly
the address that it looked at: a public one, unless the job names an address itself. What flows through is not read.
"""

import ipaddress
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress

from lockgate.errors import LockgateError, UnavailableError, VerificationError
from lockgate.formats.public_address import check_address

_LONGEST_HEAD = 8192
_SECONDS = 15
_PIECE = 1 << 16
_MOST_CALLS, _MOST_REFUSALS = 32, 100


class Egress:
    """The proxy of one job."""

    def __init__(self, hosts: Sequence[str]) -> None:
        self._hosts, self._refused, self._lock = frozenset(hosts), dict[str, None](), threading.Lock()
        self._calls = threading.BoundedSemaphore(_MOST_CALLS)
        self._open: set[socket.socket] = set()
        self._closed = False

    @property
    def refused(self) -> tuple[str, ...]:
        """What was wanted and not given, each once, in order; a hundred of them."""
        with self._lock:
            return tuple(self._refused)

    def open(self) -> socket.socket:
        """Give one end of a new call; the proxy holds the other."""
        theirs, ours = socket.socketpair()
        threading.Thread(target=self._serve, args=(ours,), name="egress", daemon=True).start()
        return theirs

    def close(self) -> None:
        """End every call: the job is dead, and whoever it spoke to need not be waited for."""
        with self._lock:
            self._closed = True
            for remote in self._open:
                with suppress(OSError):
                    remote.shutdown(socket.SHUT_RDWR)

    def _serve(self, caller: socket.socket) -> None:
        with caller, suppress(OSError):
            if not self._calls.acquire(blocking=False):
                caller.sendall(b"HTTP/1.1 503 Busy\r\n\r\n")
                return
            try:
                caller.settimeout(_SECONDS)
                self._connect(caller)
            finally:
                self._calls.release()

    def _connect(self, caller: socket.socket) -> None:
        wanted = "something that is no CONNECT"
        try:
            wanted, rest = _wanted(caller)
            if wanted not in self._hosts:
                raise VerificationError("not listed")
            remote = _reach(wanted)
        except LockgateError as e:
            if not isinstance(e, UnavailableError):
                self._refuse(f"{wanted} ({e})")
            caller.sendall(b"HTTP/1.1 %d Refused\r\n\r\n" % (502 if isinstance(e, UnavailableError) else 403))
            return
        with remote:
            self._track(remote)
            caller.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
            remote.sendall(rest)
            for end in (caller, remote):
                end.settimeout(None)
            back = threading.Thread(target=_pump, args=(remote, caller), name="egress", daemon=True)
            back.start()
            _pump(caller, remote)
            back.join()
            with self._lock:
                self._open.discard(remote)

    def _track(self, remote: socket.socket) -> None:
        with self._lock:
            if self._closed:
                raise ConnectionAbortedError
            self._open.add(remote)

    def _refuse(self, what: str) -> None:
        with self._lock:
            if len(self._refused) < _MOST_REFUSALS:
                self._refused[what] = None


def _wanted(caller: socket.socket) -> tuple[str, bytes]:
    """Read the head of a request; return the `host:port` that it names, and what came behind."""
    head = b""
    while b"\r\n\r\n" not in head:
        piece = caller.recv(_LONGEST_HEAD - len(head)) if len(head) < _LONGEST_HEAD else b""
        if not piece:
            raise VerificationError("the head of a request has no end")
        head += piece
    head, _, rest = head.partition(b"\r\n\r\n")
    words = head.partition(b"\r\n")[0].split(b" ")
    if len(words) != 3 or words[0] != b"CONNECT" or not words[1].isascii():
        raise VerificationError("the proxy knows CONNECT only")
    return "".join(each if each.isprintable() else "?" for each in words[1].decode()[:300].lower()), rest


def _reach(wanted: str) -> socket.socket:
    name, _, port = wanted.rpartition(":")
    name = name.strip("[]")
    try:
        addresses = [str(address[0]) for *_, address in socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError) as e:
        raise UnavailableError(f"{name} has no address") from e
    if not _is_address(name):
        for address in addresses:
            check_address(address, private=False)
    for address in addresses:
        with suppress(OSError):
            return socket.create_connection((address, int(port)), timeout=_SECONDS)
    raise UnavailableError(f"{name} does not answer")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(_PIECE):
            target.sendall(piece)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
