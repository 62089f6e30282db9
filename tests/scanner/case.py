"""What is a case of the corpus: files, and the finding that must refuse them."""

import json
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

MARKER = "/tmp/lockgate-scanner-marker"  # what a payload would touch, if anybody ever executed one
COMMAND = f"touch {MARKER}"

Content = bytes | Callable[[Path], object]


@dataclass(frozen=True)
class Case:
    """Files, one of which is to be refused by a rule, with words that say why."""

    name: str
    files: Mapping[str, Content]
    rule: str
    why: str

    def write(self, folder: Path) -> None:
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                path.write_bytes(content)
            else:
                content(path)


def one(name: str, file: str, content: Content, rule: str, why: str) -> Case:
    return Case(name, {file: content}, rule, why)


def tensors(header: object = None, body: bytes = bytes(16), raw: bytes | None = None) -> bytes:
    """Write safetensors: a good file, but for what is given."""
    good = {"w": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}
    written = json.dumps(good if header is None else header, separators=(",", ":")).encode() if raw is None else raw
    return struct.pack("<Q", len(written)) + written + body


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def proto(*fields: tuple[int, int | bytes]) -> bytes:
    """Write a message of protocol buffers: numbers as varints, bytes as they are."""
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            out += varint(number << 3 | 2) + varint(len(value)) + value
    return out


def text(value: str, kind: int = 8) -> bytes:
    """Write a GGUF text, with its type before it if it is a value."""
    raw = value.encode()
    return (struct.pack("<I", kind) if kind else b"") + struct.pack("<Q", len(raw)) + raw


def gguf(keys: Mapping[str, bytes] | None = None, *, body: bytes | None = None, **but: int) -> bytes:
    """Write GGUF with one tensor of 8 numbers: a good file, but for what is given."""
    told = {"general.architecture": text("llama"), **(keys or {})}
    version, offset, kind = but.get("version", 3), but.get("offset", 0), but.get("kind", 0)
    out = b"GGUF" + struct.pack("<IQQ", version, but.get("tensors", 1), but.get("count", len(told)))
    for key, value in told.items():
        out += text(key, 0) + value
    out += text("w", 0) + struct.pack("<IQIQ", 1, but.get("size", 8), kind, offset)
    out += bytes(-len(out) % 32)
    return out + (bytes(32) if body is None else body)


def zipped(*members: "Member", prefix: bytes = b"", suffix: bytes = b"", count: int | None = None) -> bytes:
    """Write a zip by hand, so that its headers may disagree."""
    out, central = prefix, b""
    for member in members:
        at = len(out) if member.at is None else member.at
        local, entry = member.headers(at)
        out += local
        central += entry
    counted = len(members) if count is None else count
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, counted, counted, len(central), len(out), 0)
    return out + central + end + suffix


@dataclass(frozen=True)
class Member:
    """One member of a zip, and what its headers say."""

    name: str
    content: bytes = b"x"
    local: str | None = None
    flags: int = 0
    method: int = 0
    crc: int | None = None
    size: int | None = None
    mode: int = 0o100644
    at: int | None = None
    gap: bytes = b""

    def headers(self, at: int) -> tuple[bytes, bytes]:
        packed = self.content
        if self.method == 8:
            machine = zlib.compressobj(9, zlib.DEFLATED, -15)
            packed = machine.compress(self.content) + machine.flush()
        crc = zlib.crc32(self.content) if self.crc is None else self.crc
        size = len(self.content) if self.size is None else self.size
        sums = struct.pack("<3L", crc, len(packed), size)
        name, local = self.name.encode(), (self.local or self.name).encode()
        head = struct.pack("<5H", 20, self.flags, self.method, 0, 0)
        first = b"PK\x03\x04" + head + sums + struct.pack("<2H", len(local), 0) + local + packed + self.gap
        rest = struct.pack("<5H2L", len(name), 0, 0, 0, 0, self.mode << 16, at)
        return first, b"PK\x01\x02" + struct.pack("<H", 0x0314) + head + sums + rest + name
