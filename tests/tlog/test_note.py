"""Is a text opened only when a known key has signed exactly it?"""

import re
from base64 import b64encode
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lockgate.errors import VerificationError
from lockgate.tlog.note import MAX_NAME, MAX_NOTE, NoteVerifier, decode_base64, open_note, sign_note
from tests.tlog.cases import cases, judge
from tests.tlog.keys import ORIGIN, signer

LOG, WITNESS = signer(), signer("witness.example", second=True)
KEY = LOG.verifier.encode()
GOOD = sign_note("one\n\ntwo\n", [LOG])


@pytest.mark.parametrize("case", cases("note-good.txt"))
def test_good_notes_open(case):
    opened = open_note(case.content, case.keys)

    assert opened.text.encode() == case.content.rpartition(b"\n\n")[0] + b"\n"
    assert set(opened.signed_by) == set(case.keys)


@pytest.mark.parametrize("case", cases("note-bad.txt"))
def test_bad_notes_are_refused(case):
    judge(case, lambda: open_note(case.content, case.keys))


def test_note_opens_from_text_and_from_bytes():
    assert open_note(GOOD, [LOG.verifier]) == open_note(GOOD.encode(), [LOG.verifier])


def test_only_known_keys_are_said_to_have_signed():
    note = sign_note("text\n", [LOG, WITNESS])

    assert open_note(note, [WITNESS.verifier]).signed_by == (WITNESS.verifier,)
    assert open_note(note, [WITNESS.verifier, LOG.verifier]).signed_by == (LOG.verifier, WITNESS.verifier)


def test_altering_any_one_byte_is_refused():
    note = GOOD.encode()
    for at in range(len(note)):
        for bit in (0x01, 0x20, 0x80):
            altered = note[:at] + bytes([note[at] ^ bit]) + note[at + 1 :]
            with pytest.raises(VerificationError):
                open_note(altered, [LOG.verifier])


def test_every_shortening_is_refused():
    note = GOOD.encode()
    for end in range(len(note)):
        with pytest.raises(VerificationError):
            open_note(note[:end], [LOG.verifier])


@given(st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]) | st.just("\n"), max_size=50))
@example("\n\n")
@example("— log.example AAAA\n\n")
def test_what_is_signed_reads_back(text):
    assert open_note(sign_note(text + "\n", [LOG]), [LOG.verifier]).text == text + "\n"


@given(st.binary(max_size=200) | st.text(max_size=200))
@example("\ud800")
@example("a\n\n— \ud800 AAAAAAAA\n")
def test_whatever_is_no_note_is_refused_in_one_way(junk):
    with pytest.raises(VerificationError):
        open_note(junk, [LOG.verifier])


def test_largest_note_opens_and_one_byte_more_does_not():
    rest = len(sign_note("\n", [LOG]).encode())
    largest = sign_note("x" * (MAX_NOTE - rest) + "\n", [LOG])

    assert len(largest.encode()) == MAX_NOTE
    open_note(largest, [LOG.verifier])
    with pytest.raises(VerificationError, match=f"{MAX_NOTE + 1} bytes"):
        open_note("x" + largest, [LOG.verifier])


@pytest.mark.parametrize("text", ["", "no newline", "one\r\n", "a\x00b\n", "\ud800\n"])
def test_a_text_that_would_not_read_back_is_not_signed(text):
    with pytest.raises(VerificationError):
        sign_note(text, [LOG])


def test_a_note_without_signers_is_not_signed():
    with pytest.raises(VerificationError):
        sign_note("text\n", [])


def test_a_signer_that_signs_with_another_key_is_found_out():
    wrong = replace(LOG, sign=WITNESS.sign)

    with pytest.raises(VerificationError, match="does not verify"):
        sign_note("text\n", [wrong])


def test_signer_does_not_show_what_it_signs_with():
    assert "sign" not in repr(LOG)


def test_verifier_key_of_rfc_8032_test_1():
    assert f"{ORIGIN}+98c42bee+AddamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea" == KEY
    assert NoteVerifier.parse(KEY) == LOG.verifier


def test_verifier_key_with_a_plus_in_its_base64_reads_back():
    assert "+" in KEY.split("+", 2)[2], "this key shows the pitfall"
    assert NoteVerifier.parse(KEY).public_key == LOG.public_key


@given(st.binary(min_size=32, max_size=32))
def test_each_verifier_key_reads_back(public_key):
    verifier = NoteVerifier("log.example", public_key)

    assert NoteVerifier.parse(verifier.encode()) == verifier


NAME, KEY_ID, ENCODED = KEY.split("+", 2)


@pytest.mark.parametrize(
    ("vkey", "why"),
    [
        ("", "name+id+key"),
        (f"{NAME}+{KEY_ID}", "name+id+key"),
        (f"+{KEY_ID}+{ENCODED}", "key name"),
        (f"other.example+{KEY_ID}+{ENCODED}", "has not the id"),
        (f"a b+{KEY_ID}+{ENCODED}", "key name"),
        (f"a\nb+{KEY_ID}+{ENCODED}", "key name"),
        (f"a\x00b+{KEY_ID}+{ENCODED}", "key name"),
        (f"a\ud800b+{KEY_ID}+{ENCODED}", "UTF-8"),
        (f"{'x' * (MAX_NAME + 1)}+{KEY_ID}+{ENCODED}", "key name"),
        (f"{'x' * MAX_NOTE}+{KEY_ID}+{ENCODED}", "at most 315 characters"),
        (f"{NAME}+{KEY_ID.upper()}+{ENCODED}", "has not the id"),
        (f"{NAME}+{KEY_ID[:-1]}+{ENCODED}", "has not the id"),
        (f"{NAME}+{KEY_ID}0+{ENCODED}", "has not the id"),
        (f"{NAME}++{ENCODED}", "has not the id"),
        (f"{NAME}+00000000+{ENCODED}", "has not the id"),
        (f"{NAME}+{KEY_ID}+", "type none"),
        (f"{NAME}+{KEY_ID}+{ENCODED[:-1]}", "not base64"),
        (f"{NAME}+{KEY_ID}+{ENCODED}\n", "not base64"),
        (f"{NAME}+{KEY_ID}+{ENCODED} ", "not base64"),
        (f"{NAME}+{KEY_ID}+BA==", "type 04"),
        (f"{NAME}+{KEY_ID}+AQ==", "32 bytes, not 0"),
    ],
)
def test_spoiled_verifier_keys_are_refused(vkey, why):
    with pytest.raises(VerificationError, match=re.escape(why)):
        NoteVerifier.parse(vkey)


def test_longest_name_is_accepted():
    verifier = NoteVerifier("x" * MAX_NAME, LOG.public_key)

    assert NoteVerifier.parse(verifier.encode()) == verifier


@pytest.mark.parametrize("size", [0, 31, 33])
def test_public_key_of_another_size_is_refused(size):
    with pytest.raises(VerificationError, match=f"32 bytes, not {size}"):
        NoteVerifier("log.example", bytes(size))


@given(st.binary(max_size=40))
def test_base64_has_one_spelling(decoded):
    encoded = b64encode(decoded).decode()

    assert decode_base64(encoded) == decoded
    for spoiled in (encoded + "=", encoded + "\n", " " + encoded, encoded + "é", encoded[:-1] if encoded else "="):
        with pytest.raises(VerificationError):
            decode_base64(spoiled)
