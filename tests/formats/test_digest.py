import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.errors import VerificationError
from lockgate.formats.digest import Digest, dir_hash

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # FIPS 180-4, the empty message
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-4, "abc"


def test_digest_is_sha_256():
    assert Digest.of(b"") == Digest(EMPTY)
    assert str(Digest.of(b"abc")) == f"sha256:{ABC}"
    assert Digest.of(b"abc").raw == hashlib.sha256(b"abc").digest()


@given(st.binary())
def test_digest_survives_its_text(data):
    assert Digest.parse(str(Digest.of(data))) == Digest.of(data)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256",
        "sha256:",
        EMPTY,
        f":{EMPTY}",
        f"sha256:{EMPTY[:-1]}",
        f"sha256:{EMPTY}0",
        f"sha256:{EMPTY}\n",
        f"sha256: {EMPTY[1:]}",
        f"sha256:{EMPTY.upper()}",
        f"SHA256:{EMPTY}",
        f"sha512:{EMPTY}",
        f"sha256:{EMPTY[:-1]}g",
        f"sha256:{EMPTY[:-1]}٣",
        f"sha256:sha256:{EMPTY}",
        f" sha256:{EMPTY}",
    ],
)
def test_near_miss_of_a_digest_is_refused(text):
    with pytest.raises(VerificationError, match="not a"):
        Digest.parse(text)


def test_directory_hash_is_that_of_its_sorted_lines():
    lines = f"{ABC}  a/b\n{EMPTY}  a0\n"  # "/" sorts before "0"

    assert dir_hash([("a0", EMPTY), ("a/b", ABC)]) == Digest.of(lines.encode())
    assert dir_hash([]) == Digest(EMPTY)


@given(
    st.dictionaries(st.text(st.characters(codec="utf-8", exclude_characters="\n")), st.binary(), min_size=1), st.data()
)
def test_directory_hash_depends_on_names_and_bytes_but_not_on_order(tree, data):
    files = [(name, Digest.of(content).hex) for name, content in tree.items()]

    assert dir_hash(data.draw(st.permutations(files))) == dir_hash(files)
    spoiled = data.draw(st.integers(0, len(files) - 1))
    name, digits = files[spoiled]
    rest = files[:spoiled] + files[spoiled + 1 :]
    assert dir_hash([*rest, (name + "\0", digits)]) != dir_hash(files)
    assert dir_hash([*rest, (name, Digest.of(tree[name] + b"\0").hex)]) != dir_hash(files)
    assert dir_hash(rest) != dir_hash(files)


def test_directory_hash_sorts_by_bytes_not_by_letters():
    files = [("\ue000", EMPTY), ("\U00010000", ABC), ("Z", EMPTY), ("a", ABC)]

    lines = f"{EMPTY}  Z\n{ABC}  a\n{EMPTY}  \ue000\n{ABC}  \U00010000\n"
    assert dir_hash(files) == Digest.of(lines.encode())


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([(f"a\n{ABC}  b", EMPTY)], "holds a newline"),
        ([("a\n", EMPTY)], "holds a newline"),
        ([("\udcff", EMPTY)], "not UTF-8"),
        ([("a", f"{EMPTY}  b\n{ABC}")], "holds a newline"),
    ],
)
def test_directory_that_could_be_read_in_two_ways_is_refused(files, words):
    with pytest.raises(VerificationError, match=words):
        dir_hash(files)
