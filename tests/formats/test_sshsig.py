import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from lockgate.errors import VerificationError
from lockgate.formats.keys import PrivateKey
from lockgate.formats.sshsig import (
    BEGIN,
    END,
    Reader,
    SshKey,
    armor,
    from_signer,
    message_to_sign,
    open_sshsig,
    parse,
    sign_sshsig,
)
from tests.formats.records import records

GOOD = records("sshsig/good.txt")
BAD = records("sshsig/bad.txt")


def generated(curve):
    key = ec.generate_private_key(curve)
    return PrivateKey.from_pem(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


KEYS = [PrivateKey.from_seed(b"7" * 32), generated(ec.SECP256R1()), generated(ec.SECP384R1())]


def opened(record, armored=None):
    armored = armored or base64.b64decode(record["signature"])
    return open_sshsig(armored, base64.b64decode(record["message"]), record["namespace"], trusted(record))


def trusted(record):
    try:
        return [SshKey.parse(record["key"]).public]
    except VerificationError:
        return []


@pytest.mark.parametrize("record", GOOD, ids=lambda record: record["case"])
def test_good_signature_is_by_its_key(record):
    assert [opened(record)] == trusted(record)


@pytest.mark.parametrize("record", BAD, ids=lambda record: record["case"])
def test_near_miss_is_refused_for_the_right_reason(record):
    with pytest.raises(VerificationError) as refused:
        opened(record)

    assert any(words in str(refused.value) for words in record["error"].split("|"))


@pytest.mark.parametrize("record", GOOD, ids=lambda record: record["case"])
def test_signature_is_written_as_openssh_wrote_it(record):
    armored = base64.b64decode(record["signature"]).decode()
    found = parse(armored)

    assert armor(found).replace("\n", "") == armored.replace("\n", "")
    assert f"{found.key}" == record["key"]
    assert parse(armor(found)) == found
    assert max(map(len, armor(found).split("\n"))) == 70


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.public.algorithm)
@given(message=st.binary(max_size=64))
def test_what_is_signed_verifies(key, message):
    armored = sign_sshsig(key, message, "intent@lockgate")

    assert open_sshsig(armored, message, "intent@lockgate", [KEYS[0].public, key.public]) == key.public
    with pytest.raises(VerificationError, match="not trusted"):
        open_sshsig(armored, message, "intent@lockgate", [])
    with pytest.raises(VerificationError, match="not by key"):
        open_sshsig(armored, message + b"\n", "intent@lockgate", [key.public])


@pytest.mark.parametrize("record", GOOD, ids=lambda record: record["case"])
@given(st.data())
def test_altered_byte_is_refused(record, data):
    blob = bytearray(parse(base64.b64decode(record["signature"])).blob)
    at = data.draw(st.integers(0, len(blob) - 1))
    blob[at] ^= data.draw(st.integers(1, 255))
    body = base64.b64encode(blob).decode()
    lines = [BEGIN, *(body[at : at + 70] for at in range(0, len(body), 70)), END]

    with pytest.raises(VerificationError):
        opened(record, "\n".join(lines))


@given(st.binary(max_size=300) | st.text(max_size=300))
def test_junk_is_refused(junk):
    with pytest.raises(VerificationError):
        parse(junk)


@given(st.text(alphabet="ABCDefg+/=\n", max_size=300))
def test_junk_in_armor_is_refused(junk):
    with pytest.raises(VerificationError):
        parse(f"{BEGIN}\n{junk}\n{END}\n")


@given(st.binary(max_size=200))
def test_junk_after_the_magic_is_refused(junk):
    with pytest.raises(VerificationError):
        parse(f"{BEGIN}\n" + base64.encodebytes(b"SSHSIG\0\0\0\1" + junk).decode() + f"{END}\n")


@given(st.binary(max_size=200))
def test_junk_is_no_key(junk):
    with pytest.raises(VerificationError):
        SshKey.from_wire(junk)


@pytest.mark.parametrize("record", GOOD, ids=lambda record: record["case"])
def test_key_survives_its_line(record):
    key = SshKey.parse(record["key"])

    assert str(key) == record["key"]
    assert SshKey.parse(f"{record['key']} somebody@somewhere with words\n") == key
    assert SshKey.from_wire(key.wire) == key


def test_lines_may_have_1_to_76_characters_and_the_whole_8192():
    found = parse(base64.b64decode(GOOD[0]["signature"]))
    body = base64.b64encode(found.blob).decode()

    assert parse("\n".join([BEGIN, *body, END, ""])) == found
    with pytest.raises(VerificationError, match="does not begin"):
        parse("A" * 8192)
    with pytest.raises(VerificationError, match="more than 8192"):
        parse("A" * 8193)


def test_zero_is_no_part_of_a_signature():
    for zero in (b"\0\0\0\0", b"\0\0\0\1\0"):
        with pytest.raises(VerificationError, match="not above zero"):
            Reader(zero).natural()


ED25519 = GOOD[0]["key"]
KIND, _, BODY = ED25519.partition(" ")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "too early"),
        (KIND, "too early"),
        (BODY, "too early"),
        (f"ssh-rsa {BODY}", "says 'ssh-rsa', but is ssh-ed25519"),
        (f"ecdsa-sha2-nistp256 {BODY}", "but is ssh-ed25519"),
        (f"{KIND}  {BODY}", "too early"),
        (f"{KIND}\t{BODY}", "too early"),
        (f'command="true" {ED25519}', "not base64"),
        (f"{KIND} {BODY[:-4]}", "too early"),
        (f"{KIND} {BODY}AAAA", "3 bytes too many"),
        (f"{KIND} {BODY[:-1]}é", "not base64"),
    ],
)
def test_near_miss_of_a_key_line_is_refused(line, words):
    with pytest.raises(VerificationError, match=words):
        SshKey.parse(line)


def test_key_of_a_security_key_keeps_its_application():
    held = SshKey.parse(next(r["key"] for r in GOOD if r["case"].startswith("security key, P-256")))

    assert held.application == "ssh:lockgate"
    assert SshKey(held.public).kind == "ecdsa-sha2-nistp256"
    assert SshKey(held.public).wire != held.wire


def test_message_to_sign_is_what_the_specification_says():
    found = message_to_sign(b"", "file", "sha256")

    empty = bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    assert found == b"SSHSIG\0\0\0\4file\0\0\0\0\0\0\0\6sha256\0\0\0\x20" + empty
    assert b"\0\0\0\6sha512\0\0\0\x40" in message_to_sign(b"", "file")


def test_signature_of_a_signer_must_be_of_the_keys_kind():
    found = parse(base64.b64decode(GOOD[0]["signature"]))
    wire = b"\0\0\0\x0bssh-ed25519\0\0\0\x40" + found.signature

    assert from_signer(found.key, found.namespace, wire) == found
    for near_miss in (wire[:-1], wire + b"\0", wire.replace(b"ssh-ed", b"ssh-ee"), wire[15:], b""):
        with pytest.raises(VerificationError):
            from_signer(found.key, found.namespace, near_miss)


@given(st.integers(1, 2**400))
def test_natural_number_has_one_form(value):
    plain = value.to_bytes((value.bit_length() + 7) // 8, "big")
    right = b"\0" + plain if plain[0] & 0x80 else plain
    wrong = plain if plain[0] & 0x80 else b"\0" + plain

    assert Reader(len(right).to_bytes(4, "big") + right).natural() == value
    with pytest.raises(VerificationError, match="padded"):
        Reader(len(wrong).to_bytes(4, "big") + wrong).natural()
