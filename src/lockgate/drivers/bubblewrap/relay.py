"""How does a byte get from a port inside to a socket outside, and back?

Pairs of sockets in one loop without threads. What is read is bytes, never descriptors: whatever is sent along with them
the kernel throws away. A pair holds at most `_ROOM` bytes on each way, and there are at most `MOST` pairs.
"""

import errno
import select
import socket
from collections.abc import Callable, Iterator

MOST = 64
_ROOM = 1 << 16


class Pair:
    """Two sockets; what comes in at one goes out at the other."""

    def __init__(self, one: socket.socket, other: socket.socket) -> None:
        self.ways = (_Way(one, other), _Way(other, one))
        for end in (one, other):
            end.setblocking(False)  # noqa: FBT003 - its only argument

    def wants(self) -> Iterator[tuple[int, int]]:
        """Say what to wait for."""
        for way in self.ways:
            if not way.ended and len(way.held) < _ROOM:
                yield way.source.fileno(), select.POLLIN
            if way.held:
                yield way.target.fileno(), select.POLLOUT

    def move(self) -> bool:
        """Move what can be moved; False when nothing will come any more, and both ends are closed."""
        try:
            for way in self.ways:
                way.move()
        except OSError:
            self.close()
            return False
        if all(way.over for way in self.ways):
            self.close()
            return False
        return True

    def close(self) -> None:
        """Close both ends."""
        for way in self.ways:
            way.source.close()


class _Way:
    def __init__(self, source: socket.socket, target: socket.socket) -> None:
        self.source, self.target, self.held = source, target, bytearray()
        self.ended = self.over = False

    def move(self) -> None:
        try:
            if not self.ended and len(self.held) < _ROOM:
                piece = self.source.recv(_ROOM)
                self.held += piece
                self.ended = not piece
        except BlockingIOError:
            pass
        try:
            if self.held:
                del self.held[: self.target.send(self.held)]
        except BlockingIOError:
            pass
        if self.ended and not self.held and not self.over:
            self.over = True
            self.target.shutdown(socket.SHUT_WR)


class Relay:
    """The pairs of a sandbox, and the doors at which new ones begin. Nothing here ever waits: pid 1 has a job to watch.

    `doors` are listening sockets inside, each with its port; `dial` asks the outside for what leads out from there, and
    answers come to `join`, in order. `front` is the listening socket outside that leads to `port` inside: a call waits
    until somebody listens there.
    """

    def __init__(
        self,
        doors: dict[int, socket.socket],
        dial: Callable[[int], None],
        front: socket.socket | None,
        port: int | None,
    ) -> None:
        self._doors, self._dial, self._front, self._port = doors, dial, front, port
        self._pairs: list[Pair] = []
        self._asked: list[socket.socket] = []
        self._waiting: list[_Knock] = []
        for door in (*doors.values(), *([front] if front else [])):
            door.setblocking(False)  # noqa: FBT003 - its only argument

    def register(self, poll: "select.poll") -> None:
        """Say what to wait for."""
        masks: dict[int, int] = {knock.inside.fileno(): select.POLLOUT for knock in self._waiting if knock.inside}
        for pair in self._pairs:
            for descriptor, mask in pair.wants():
                masks[descriptor] = masks.get(descriptor, 0) | mask
        if len(self._pairs) + len(self._asked) + len(self._waiting) < MOST:
            fronts = [self._front] if self._front else []
            masks.update((each.fileno(), select.POLLIN) for each in (*self._doors.values(), *fronts))
        for descriptor, mask in masks.items():
            poll.register(descriptor, mask)

    def work(self, ready: set[int]) -> None:
        """Begin and move what is ready."""
        for port, door in self._doors.items():
            if door.fileno() in ready and (caller := _accepted(door)):
                self._asked.append(caller)
                self._dial(port)
        if self._front and self._front.fileno() in ready and (caller := _accepted(self._front)):
            self._waiting.append(_Knock(caller))
        self._waiting = [knock for knock in self._waiting if not self._opened(knock)]
        self._pairs = [pair for pair in self._pairs if pair.move()]

    def join(self, outside: socket.socket | None) -> None:
        """Take what the outside answers to the oldest question; None for a no."""
        caller = self._asked.pop(0)
        if outside is None:
            caller.close()
        else:
            self._pairs.append(Pair(caller, outside))

    def _opened(self, knock: "_Knock") -> bool:
        """Ask whether a call needs no more waiting: it is through, or nobody calls any more."""
        assert self._port is not None
        if _gave_up(knock.caller):
            knock.close()
            return True
        if (inside := knock.knock(self._port)) is None:
            return False
        self._pairs.append(Pair(knock.caller, inside))
        return True


class _Knock:
    """A call from outside, and the attempt to get through to the port inside."""

    def __init__(self, caller: socket.socket) -> None:
        self.caller = caller
        self.inside: socket.socket | None = None

    def knock(self, port: int) -> socket.socket | None:
        """Go on; return the connection when it stands. A refused one is begun anew at the next look."""
        if self.inside is None:
            self.inside = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        failed = self.inside.connect_ex(("127.0.0.1", port))
        if failed in (0, errno.EISCONN):
            return self.inside
        if failed not in (errno.EINPROGRESS, errno.EALREADY):
            self.inside.close()
            self.inside = None
        return None

    def close(self) -> None:
        """Give up."""
        self.caller.close()
        if self.inside:
            self.inside.close()


def _accepted(door: socket.socket) -> socket.socket | None:
    try:
        return door.accept()[0]
    except OSError:
        return None


def _gave_up(caller: socket.socket) -> bool:
    try:
        return not caller.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
