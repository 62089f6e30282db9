"""How does a byte get from a port inside to a socket outside, and back?

Pairs of sockets in one loop without threads. What is read is bytes, never descriptors: whatever is sent along with them
the kernel throws away. A pair holds at most `_ROOM` bytes on each way, and there are at most `MOST` pairs.
"""

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
    """The pairs of a sandbox, and the doors at which new ones begin.

    `doors` are listening sockets inside, each with its port; `dial` gets what leads outside from there. `front` is the
    listening socket outside that leads to `port` inside: a call waits until somebody listens there.
    """

    def __init__(
        self,
        doors: dict[int, socket.socket],
        dial: Callable[[int], socket.socket | None],
        front: socket.socket | None,
        port: int | None,
    ) -> None:
        self._doors, self._dial, self._front, self._port = doors, dial, front, port
        self._pairs: list[Pair] = []
        self._waiting: list[socket.socket] = []

    def register(self, poll: "select.poll") -> None:
        """Say what to wait for."""
        masks: dict[int, int] = {}
        for pair in self._pairs:
            for descriptor, mask in pair.wants():
                masks[descriptor] = masks.get(descriptor, 0) | mask
        if len(self._pairs) + len(self._waiting) < MOST:
            fronts = [self._front] if self._front else []
            masks.update((each.fileno(), select.POLLIN) for each in (*self._doors.values(), *fronts))
        for descriptor, mask in masks.items():
            poll.register(descriptor, mask)

    def work(self, ready: set[int]) -> None:
        """Begin and move what is ready."""
        for port, door in self._doors.items():
            if door.fileno() in ready:
                self._begin(door, port)
        if self._front and self._front.fileno() in ready:
            self._waiting.append(self._front.accept()[0])
        self._waiting = [caller for caller in self._waiting if not self._connected(caller)]
        self._pairs = [pair for pair in self._pairs if pair.move()]

    def _begin(self, door: socket.socket, port: int) -> None:
        caller = door.accept()[0]
        if (outside := self._dial(port)) is None:
            caller.close()
        else:
            self._pairs.append(Pair(caller, outside))

    def _connected(self, caller: socket.socket) -> bool:
        assert self._port is not None
        if _gave_up(caller):
            caller.close()
            return True
        inside = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            inside.connect(("127.0.0.1", self._port))
        except OSError:
            inside.close()
            return False
        self._pairs.append(Pair(caller, inside))
        return True


def _gave_up(caller: socket.socket) -> bool:
    try:
        return not caller.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
