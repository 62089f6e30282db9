"""Which named socket is at the other end of a local connection? The kernel says so (sock_diag(7), linux/unix_diag.h).

Only the end that was bound has a name; the end that a program connected is known by its inode, as in /proc/PID/fd.
"""

import socket
import struct
from collections.abc import Iterator, Mapping

_NETLINK_SOCK_DIAG, _BY_FAMILY, _REQUEST_DUMP = 4, 20, 0x301
_DONE, _ERROR, _ANSWER = 3, 2, 20
_SHOW_NAME_AND_PEER, _ALL = 0x5, 0xFFFFFFFF
_NAME, _PEER = 0, 2
_HEADER, _UNIX = struct.Struct("=IHHII"), struct.Struct("=BBBBIII")
_MOST = 1 << 20


def unix_peers() -> Mapping[str, str]:
    """Return the name at the other end of each connection, by the inode of this end; `OSError` if that is hidden."""
    names: dict[int, str] = {}
    peers: dict[int, int] = {}
    for inode, kind, value in _attributes():
        if kind == _NAME:
            names[inode] = value.rstrip(b"\0").replace(b"\0", b"@").decode(errors="replace")
        elif kind == _PEER and len(value) == 4:
            (peers[inode],) = struct.unpack("=I", value)
    return {str(inode): names[peer] for inode, peer in peers.items() if inode not in names and peer in names}


def _attributes() -> Iterator[tuple[int, int, bytes]]:
    for message in _messages():
        _, _, _, _, inode, _, _ = _UNIX.unpack_from(message)
        at = _UNIX.size
        while at + 4 <= len(message):
            length, kind = struct.unpack_from("=HH", message, at)
            yield inode, kind, message[at + 4 : at + length]
            at += max(4, (length + 3) & ~3)


def _messages() -> Iterator[bytes]:
    asked = struct.pack("=BBHIIIII", socket.AF_UNIX, 0, 0, _ALL, 0, _SHOW_NAME_AND_PEER, _ALL, _ALL)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG) as line:
        line.settimeout(1)
        line.send(_HEADER.pack(_HEADER.size + len(asked), _BY_FAMILY, _REQUEST_DUMP, 1, 0) + asked)
        while True:
            rest = line.recv(_MOST)
            while len(rest) >= _HEADER.size:
                length, kind, *_ = _HEADER.unpack_from(rest)
                if kind == _DONE:
                    return
                if kind == _ERROR:
                    raise PermissionError("the kernel does not say who is connected to whom")
                if kind == _ANSWER:
                    yield rest[_HEADER.size : length]
                rest = rest[(length + 3) & ~3 :]
