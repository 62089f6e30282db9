"""Who calls a gateway at a steady rate, whether it answers or not? `python -m bench.open_loop PORT PATH RATE SECONDS`

A process of its own. For each request it writes when it was sent and answered (CLOCK_MONOTONIC), by which release, and
the status; 0 for none.
"""

import selectors
import socket
import sys
import time
from dataclasses import dataclass

CONNECTIONS = 64
PATIENCE = 10.0  # seconds after which what has no answer is lost


@dataclass
class Line:
    """One kept connection: what it waits for since when, and what came of it so far."""

    door: socket.socket
    sent: float = 0.0
    said: bytes = b""


def main(port: int, path: str, rate: int, seconds: int) -> None:
    """Send what is due on lines that are free, and write everything down at the end."""
    request = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{{}}".encode()
    waiting, written, sent = selectors.DefaultSelector(), list[str](), 0
    free = [_open(port, waiting) for _ in range(CONNECTIONS)]
    busy: set[int] = set()
    print("ready", flush=True)
    began = time.monotonic()
    while (now := time.monotonic()) < began + seconds + PATIENCE and (sent < rate * seconds or busy):
        while free and sent < rate * seconds and began + sent / rate <= now:
            line = free.pop()
            line.sent, line.said = time.monotonic(), b""
            line.door.sendall(request)
            busy.add(id(line))
            sent += 1
        for key, _ in waiting.select(max(0.0, began + sent / rate - now) if free else 0.1):
            if (found := _answer(key.data)) is not None:
                written.append(found)
                busy.discard(id(key.data))
                if found.endswith(" 0"):
                    waiting.unregister(key.data.door)
                    free.append(_open(port, waiting))
                else:
                    free.append(key.data)
    written += ["0 0 - 0"] * (rate * seconds - len(written))
    print("\n".join(written), flush=True)


def _open(port: int, waiting: selectors.BaseSelector) -> Line:
    line = Line(socket.create_connection(("127.0.0.1", port)))
    line.door.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    waiting.register(line.door, selectors.EVENT_READ, line)
    return line


def _answer(line: Line) -> str | None:
    """Read on; return what is to be written down when the answer is whole, or will never be."""
    try:
        piece = line.door.recv(1 << 16)
    except OSError:
        piece = b""
    if not piece:
        return f"{line.sent:.6f} {time.monotonic():.6f} - 0"
    line.said += piece
    head, found, body = line.said.partition(b"\r\n\r\n")
    fields = dict(each.split(b": ", 1) for each in head.lower().split(b"\r\n")[1:])
    if not found or len(body) < int(fields[b"content-length"]):
        return None
    release = fields.get(b"x-release", b"-").decode()
    return f"{line.sent:.6f} {time.monotonic():.6f} {release} {head[9:12].decode()}"


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
