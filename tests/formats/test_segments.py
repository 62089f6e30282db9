"""Is a file that was encrypted read back as it was, from any place, and is one that was touched never read at all?"""

import hashlib
import io
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.errors import VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.segments import (
    AHEAD,
    HEADER,
    RANDOM,
    SEGMENT,
    TAG,
    Cipher,
    Decrypting,
    Opened,
    encrypt,
    encrypted_size,
    make_header,
)
from tests.formats.records import records

GOOD = records("segments/good.txt")
BAD = records("segments/bad.txt")
KEY, OTHER_KEY = bytes(range(32)), bytes(32)
HEAD, OTHER_HEAD = make_header(bytes(range(RANDOM))), make_header(bytes(RANDOM))
FIRST, EACH = SEGMENT - TAG - HEADER, SEGMENT - TAG
BORDERS = [0, 1, FIRST - 1, FIRST, FIRST + 1, FIRST + EACH, FIRST + EACH + 1]


def plain(size):
    return (bytes(range(251)) * (size // 251 + 1))[:size]


def encrypted(content, name=None, header=HEAD, key=KEY, pieces=None, watch=lambda _part: None):
    name = name or Digest.of(content)
    return b"".join(bytes(part) for part in encrypt(pieces or [content], key, name, header, watch=watch))


def read_at(found):
    def read(offset, into):
        into[:] = found[offset : offset + len(into)]

    return read


def opened(found, name, key=KEY):
    return Opened(read_at(found), len(found), key, name)


def from_start(found, name, key=KEY, step=SEGMENT):
    reader, buffer, content = Decrypting(io.BytesIO(found).readinto, key, name), memoryview(bytearray(step)), b""
    while count := reader.readinto(buffer):
        content += buffer[:count]
    return content


def both(found, name, key=KEY):
    """Read in both ways, which must agree."""
    content = from_start(found, name, key)
    assert b"".join(bytes(piece) for piece in opened(found, name, key).pieces()) == content
    return content


@pytest.mark.parametrize("record", GOOD, ids=lambda record: record["case"])
def test_what_tink_encrypted_is_what_we_encrypt_and_decrypt(record):
    content, name = plain(int(record["size"])), Digest.parse(record["name"])
    found = encrypted(content, name, bytes.fromhex(record["header"]), bytes.fromhex(record["key"]))

    assert hashlib.sha256(found).hexdigest() == record["sha256"]
    assert found.hex() == record.get("ciphertext", found.hex())
    assert both(found, name, bytes.fromhex(record["key"])) == content


@pytest.mark.parametrize("record", BAD, ids=lambda record: record["case"])
def test_what_was_changed_is_refused(record):
    found, key = bytes.fromhex(record["ciphertext"]), bytes.fromhex(record["key"])

    for reading in (from_start, opened):
        with pytest.raises(VerificationError, match=record["error"]):
            reading(found, Digest.parse(record["name"]), key)


@pytest.mark.parametrize("size", BORDERS)
def test_a_file_has_the_size_that_was_said_and_reads_back(size):
    content = plain(size)
    found = encrypted(content)

    assert len(found) == encrypted_size(size)
    assert opened(found, Digest.of(content)).size == size
    assert both(found, Digest.of(content)) == content


CONTENT = plain(FIRST + 2 * EACH + 1000)
NAME = Digest.of(CONTENT)
FOUND = encrypted(CONTENT)
PARTS = [FOUND[:SEGMENT], FOUND[SEGMENT : 2 * SEGMENT], FOUND[2 * SEGMENT : 3 * SEGMENT], FOUND[3 * SEGMENT :]]
A, B, C, D = PARTS
ELSEWHERE = encrypted(CONTENT, header=OTHER_HEAD)


def with_bit(at):
    found = bytearray(FOUND)
    found[at] ^= 1
    return bytes(found)


SPOILT = {
    "nothing": b"",
    "only the header": FOUND[:HEADER],
    "cut inside of the first segment": FOUND[:1000],
    "cut inside of a segment": FOUND[: 2 * SEGMENT + 1000],
    "cut by a byte": FOUND[:-1],
    "cut inside of the last tag": FOUND[: 3 * SEGMENT + 8],
    "cut at a border": A + B + C,
    "cut at the first border": A,
    "a middle segment left out": A + C + D,
    "the first segment left out": FOUND[:HEADER] + B + C + D,
    "two segments swapped": A + C + B + D,
    "the last one earlier": A + B + D,
    "a segment twice": A + B + B + C + D,
    "the last segment twice": A + B + C + D + D,
    "a byte more": FOUND + b"\0",
    "a segment more": FOUND + bytes(SEGMENT),
    "another file behind it": FOUND + ELSEWHERE,
    "the header of another file": ELSEWHERE[:HEADER] + FOUND[HEADER:],
    "a segment of another file with the same key": A + ELSEWHERE[SEGMENT : 2 * SEGMENT] + C + D,
    "the last segment of another file": A + B + C + ELSEWHERE[3 * SEGMENT :],
    "a bit of the salt": with_bit(1),
    "a bit of the prefix": with_bit(HEADER - 1),
    "a bit of the first segment": with_bit(HEADER),
    "a bit in the middle": with_bit(SEGMENT + 5),
    "the last bit": with_bit(len(FOUND) - 1),
}


@pytest.mark.parametrize("found", SPOILT.values(), ids=SPOILT)
def test_near_misses_are_refused_in_both_ways_of_reading(found):
    with pytest.raises(VerificationError):
        from_start(found, NAME)
    with pytest.raises(VerificationError):
        list(opened(found, NAME).pieces())


@pytest.mark.parametrize("found", [A + B + C, A, FOUND[:-1], A + B + C + D + D, FOUND[: 2 * SEGMENT + 1000]])
def test_a_file_of_another_length_cannot_even_be_opened(found):
    with pytest.raises(VerificationError, match="is not the last segment of this file"):
        opened(found, NAME)


@pytest.mark.parametrize(("name", "key"), [(Digest.of(b"other"), KEY), (NAME, OTHER_KEY)], ids=["name", "key"])
def test_another_name_or_key_opens_nothing(name, key):
    for reading in (from_start, opened):
        with pytest.raises(VerificationError, match="of this file under this key"):
            reading(FOUND, name, key)


def test_a_key_or_header_of_another_length_is_none():
    with pytest.raises(VerificationError, match="a data key has 32 bytes, not 16"):
        Cipher(bytes(16), NAME, HEAD)
    with pytest.raises(VerificationError, match="does not begin with the header"):
        Cipher(KEY, NAME, bytes([24]) + HEAD[1:])


def test_the_same_bytes_come_out_whatever_pieces_go_in():
    pieces = [CONTENT[:1], b"", CONTENT[1:FIRST], CONTENT[FIRST:FIRST], CONTENT[FIRST:], b""]

    assert encrypted(CONTENT, pieces=pieces) == FOUND


def test_the_whole_plaintext_is_seen_once_and_stays_until_the_call_after_the_next():
    seen = []

    encrypted(CONTENT, watch=seen.append)
    last = [bytes(part) for part in seen[-2:]]
    assert [len(part) for part in seen] == [FIRST, EACH, EACH, 1000]
    assert b"".join(last) == CONTENT[-EACH - 1000 :]


@pytest.mark.parametrize("step", [1000, SEGMENT - TAG - 1, SEGMENT - TAG, SEGMENT, 3 * SEGMENT])
def test_a_reader_may_ask_for_as_much_as_it_likes(step):
    assert from_start(FOUND, NAME, step=step) == CONTENT


def test_a_source_that_gives_little_at_a_time_is_read_to_its_end():
    source = io.BytesIO(FOUND)
    reader = Decrypting(lambda into: source.readinto(into[:70_001]), KEY, NAME)
    buffer, content = memoryview(bytearray(SEGMENT)), b""
    while count := reader.readinto(buffer):
        content += buffer[:count]

    assert content == CONTENT
    assert reader.readinto(buffer) == 0


@given(data=st.data())
def test_any_part_can_be_read_by_itself(data):
    offset = data.draw(st.integers(0, len(CONTENT) + 5))
    length = data.draw(st.integers(0, len(CONTENT) + 5))

    assert opened(FOUND, NAME).read(offset, length) == CONTENT[offset : offset + length]


LARGE = plain(3 * AHEAD * SEGMENT + 12_345)


def test_many_segments_are_decrypted_at_once_and_given_in_order():
    name, found = Digest.of(LARGE), encrypted(LARGE)
    with ThreadPoolExecutor(3) as pool:
        file = opened(found, name)
        whole = hashlib.sha256()
        for piece in file.pieces(pool.map):
            whole.update(piece)

        assert whole.hexdigest() == name.hex
        assert file.read(SEGMENT - 5, 11 * SEGMENT, pool.map) == LARGE[SEGMENT - 5 : 12 * SEGMENT - 5]
        assert len(file._slots) <= 2 * AHEAD


def test_a_bad_segment_is_found_by_whichever_thread_reads_it():
    found = bytearray(encrypted(LARGE))
    found[13 * SEGMENT + 7] ^= 1
    with ThreadPoolExecutor(3) as pool, pytest.raises(VerificationError, match="segment 13 is not a segment"):
        list(opened(bytes(found), Digest.of(LARGE)).pieces(pool.map))


@given(content=st.binary(max_size=300), random=st.binary(min_size=RANDOM, max_size=RANDOM), data=st.data())
def test_no_byte_can_be_changed_dropped_or_added(content, random, data):
    name = Digest.of(content)
    found = bytearray(encrypted(content, header=make_header(random)))
    at = data.draw(st.integers(0, len(found) - 1))
    match data.draw(st.sampled_from(["change", "drop", "add"])):
        case "change":
            found[at] ^= data.draw(st.integers(1, 255))
        case "drop":
            del found[at]
        case _:
            found.append(data.draw(st.integers(0, 255)))

    for reading in (from_start, opened):
        with pytest.raises(VerificationError):
            reading(bytes(found), name)


def test_a_file_with_more_segments_than_can_be_counted_is_refused():
    with pytest.raises(VerificationError, match="more than 4294967296 segments"):
        Cipher(KEY, NAME, HEAD).encrypt(1 << 32, memoryview(b""), memoryview(bytearray(TAG)), last=True)
