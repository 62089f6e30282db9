"""How is a file encrypted so that each part can be read alone, and none be moved, cut off or replaced?

    header 40               segment 0               segment 1                  segment n, the last
    40 ‖ salt 32 ‖ prefix 7 │ AES-256-GCM, up to 1 MiB │ AES-256-GCM, 1 MiB …      │ whatever is left
                              nonce = prefix ‖ 0 ‖ 0     nonce = prefix ‖ 1 ‖ 0      nonce = prefix ‖ n ‖ 1

The streaming format AES256_GCM_HKDF_1MB of Google Tink (Streaming AEAD wire format). The key of the segments is
HKDF-SHA256 of the file's data key, the salt, and the associated data: the digest of the plaintext. That a segment is
the last one is part of its nonce, so a file that was cut does not end in a good segment. The *length* proves nothing
before that segment was decrypted, which is why whoever opens a file for random access decrypts it first.
"""

from collections.abc import Callable, Iterable, Iterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from lockgate.errors import VerificationError
from lockgate.formats.digest import Digest

KEY = 32
RANDOM = 39  # bytes of a header that must be fresh for each file
HEADER = 1 + RANDOM
SEGMENT = 1 << 20
TAG = 16
AHEAD = 8  # segments that are decrypted at once; as many again while these are used

_SALT = 32
_MOST = 1 << 32

Decrypt = Callable[[int], memoryview]
Run = Callable[[Decrypt, Iterable[int]], Iterable[memoryview]]
ReadAt = Callable[[int, memoryview], None]
ReadInto = Callable[[memoryview], int | None]


class Cipher:
    """The key and the nonces of one encrypted file. A header is used for one file only."""

    def __init__(self, key: bytes, name: Digest, header: bytes) -> None:
        if len(key) != KEY:
            raise VerificationError(f"a data key has {KEY} bytes, not {len(key)}")
        if len(header) != HEADER or header[0] != HEADER:
            raise VerificationError(f"{name} does not begin with the header of an encrypted file")
        self.name, self.header, self._prefix = name, header, header[1 + _SALT :]
        salt, info = header[1 : 1 + _SALT], str(name).encode()
        self._aes = AESGCM(HKDF(SHA256(), KEY, salt, info).derive(key))

    def encrypt(self, number: int, plain: memoryview, into: memoryview, *, last: bool) -> int:
        """Encrypt a segment; return how long it became."""
        return self._aes.encrypt_into(self._nonce(number, last=last), plain, None, into[: len(plain) + TAG])

    def decrypt(self, number: int, found: memoryview, into: memoryview, *, last: bool) -> int:
        """Decrypt a segment; raise `VerificationError` unless it is this one of this file, the last one if so said."""
        if len(found) < TAG:
            raise VerificationError(f"{self.name} was cut off in segment {number}")
        try:
            return self._aes.decrypt_into(self._nonce(number, last=last), found, None, into[: len(found) - TAG])
        except InvalidTag:
            pass
        what = "the last segment" if last else "a segment"
        raise VerificationError(f"{self.name}: segment {number} is not {what} of this file under this key")

    def _nonce(self, number: int, *, last: bool) -> bytes:
        if number >= _MOST:
            raise VerificationError(f"{self.name} has more than {_MOST} segments")
        return self._prefix + number.to_bytes(4) + bytes([last])


def make_header(random: bytes) -> bytes:
    """Write the header of a file from `RANDOM` fresh random bytes."""
    assert len(random) == RANDOM
    return bytes([HEADER]) + random


def encrypted_size(size: int) -> int:
    """Say how long a file of `size` bytes becomes."""
    return HEADER + size + TAG * -(-(size + HEADER) // (SEGMENT - TAG))


def encrypt(
    pieces: Iterable[bytes], key: bytes, name: Digest, header: bytes, *, watch: Callable[[memoryview], object]
) -> Iterator[memoryview]:
    """Encrypt a file as it comes, piece by piece; each part that is given is good until the next is asked for.

    Args:
        pieces: the plaintext.
        key: the data key, fresh for each file.
        name: the digest that the plaintext is said to have; whoever decrypts must name the same.
        header: from `make_header`, fresh for each file.
        watch: sees every part of the plaintext; the part is good until the call after the next one.
    """
    cipher, into = Cipher(key, name, header), memoryview(bytearray(SEGMENT))
    yield memoryview(header)
    for number, (plain, last) in enumerate(_gather(pieces)):
        watch(plain)
        yield into[: cipher.encrypt(number, plain, into, last=last)]


class Decrypting:
    """An encrypted file, decrypted while it is read from its beginning to its end.

    Nothing is given that was not verified; but that it is all there is known only when `readinto` returns 0.
    """

    def __init__(self, read_into: ReadInto, key: bytes, name: Digest) -> None:
        self._read_into, self._key, self._name = read_into, key, name
        self._cipher: Cipher | None = None
        self._number, self._held = 0, 0
        self._found = memoryview(
            bytearray(SEGMENT + 1)
        )  # a segment, and one byte more that says whether it is the last
        self._plain, self._left = memoryview(bytearray(SEGMENT)), memoryview(b"")
        self._ended = False

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill the buffer, or a part of it; 0 is the end, and then the whole file was there."""
        if self._left or self._ended:
            return self._give(buffer)
        direct = len(buffer) >= _room(self._number)
        target = buffer if direct else self._plain
        count = self._next(target)
        if direct:
            return count
        self._left = self._plain[:count]
        return self._give(buffer)

    def _give(self, buffer: memoryview) -> int:
        count = min(len(buffer), len(self._left))
        buffer[:count], self._left = self._left[:count], self._left[count:]
        return count

    def _next(self, target: memoryview) -> int:
        if self._cipher is None:
            self._fill(HEADER)
            self._cipher = Cipher(self._key, self._name, bytes(self._found[: self._held]))
            self._held = 0
        length = _room(self._number) + TAG
        self._fill(length + 1)
        self._ended = self._held <= length
        count = self._cipher.decrypt(self._number, self._found[: min(self._held, length)], target, last=self._ended)
        self._number += 1
        self._held -= min(self._held, length)
        self._found[: self._held] = bytes(self._found[length : length + self._held])
        return count

    def _fill(self, length: int) -> None:
        while self._held < length:
            count = self._read_into(self._found[self._held : length])
            if not count:
                return
            self._held += count


class Opened:
    """An encrypted file that can be read anywhere. Its last segment was decrypted first, so its `size` is true.

    Args:
        read_at: fills the whole buffer with what is at an offset, or raises; may be called from several threads.
        length: how long the encrypted file says it is.
    """

    def __init__(self, read_at: ReadAt, length: int, key: bytes, name: Digest) -> None:
        header = memoryview(bytearray(HEADER))
        if length < HEADER + TAG:
            raise VerificationError(f"{name} has {length} bytes, too few for an encrypted file")
        read_at(0, header)
        self._read_at, self._length = read_at, length
        self._cipher = Cipher(key, name, bytes(header))
        self._count = -(-length // SEGMENT)
        self.size = length - HEADER - TAG * self._count
        self._slots: dict[int, tuple[memoryview, memoryview]] = {}
        self._segment(self._count - 1)

    def pieces(self, run: Run = map) -> Iterator[memoryview]:
        """Decrypt everything in order; with the `map` of an executor, several segments at once.

        A piece is good until the next one is asked for.
        """
        ahead = run(self._segment, range(min(AHEAD, self._count)))
        for start in range(AHEAD, self._count + AHEAD, AHEAD):
            now, ahead = ahead, run(self._segment, range(start, min(start + AHEAD, self._count)))
            yield from now

    def read(self, offset: int, length: int, run: Run = map) -> bytes:
        """Decrypt a part: up to `length` bytes from `offset`, fewer only where the file ends."""
        stop = min(offset + length, self.size)
        if offset >= stop:
            return b""
        first, last = _segment_at(offset), _segment_at(stop - 1)
        parts = bytearray()
        for start in range(first, last + 1, AHEAD):
            for piece in run(self._segment, range(start, min(start + AHEAD, last + 1))):
                parts += piece
        begin = offset - _offset_of(first)
        return bytes(memoryview(parts)[begin : begin + stop - offset])

    def _segment(self, number: int) -> memoryview:
        slot = number % (2 * AHEAD)
        found, plain = self._slots.get(slot) or self._slots.setdefault(slot, _buffers(min(SEGMENT, self._length)))
        start, stop = max(HEADER, number * SEGMENT), min((number + 1) * SEGMENT, self._length)
        self._read_at(start, found[: stop - start])
        last = number == self._count - 1
        return plain[: self._cipher.decrypt(number, found[: stop - start], plain, last=last)]


def _gather(pieces: Iterable[bytes]) -> Iterator[tuple[memoryview, bool]]:
    """Cut pieces of any length into segments, and say which is the last. Two buffers take turns."""
    buffers = [memoryview(bytearray(SEGMENT)) for _ in range(2)]
    number, held = 0, 0
    for piece in pieces:
        left = memoryview(piece)
        while left:
            room = _room(number)
            if held == room:
                yield buffers[number % 2][:held], False
                number, held = number + 1, 0
                continue
            taken = left[: room - held]
            buffers[number % 2][held : held + len(taken)] = taken
            held, left = held + len(taken), left[len(taken) :]
    yield buffers[number % 2][:held], True


def _room(number: int) -> int:
    """Say how much plaintext a whole segment holds; the header takes its place from the first."""
    return SEGMENT - TAG - (0 if number else HEADER)


def _segment_at(offset: int) -> int:
    return (offset + HEADER) // (SEGMENT - TAG)


def _offset_of(number: int) -> int:
    return max(0, number * (SEGMENT - TAG) - HEADER)


def _buffers(size: int) -> tuple[memoryview, memoryview]:
    return memoryview(bytearray(size)), memoryview(bytearray(size))
