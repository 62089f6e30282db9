import base64
import json
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from lockgate.errors import VerificationError
from lockgate.formats import canonical, dsse
from lockgate.formats.keys import PrivateKey, PublicKey
from tests.formats.records import VECTORS, records

ADA, BEN = PrivateKey.from_seed(b"a" * 32), PrivateKey.from_seed(b"b" * 32)
CLEO = PrivateKey.from_pem(
    ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
)
KIND = "application/vnd.example+json"
GOOD = dsse.sign(b'{"a":1}', KIND, [ADA])
SIGNATURE = GOOD.signatures[0]


def opened(envelope, keys, kind=KIND):
    return dsse.open_envelope(envelope, kind, [key.public for key in keys])


def test_pae_is_what_the_specification_says():  # DSSE v1.0.2 protocol.md
    assert dsse.pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )
    assert dsse.pae("", b"") == b"DSSEv1 0  0 "
    assert dsse.pae("é", b"") == "DSSEv1 2 é 0 ".encode()


@given(st.text(max_size=8), st.binary(max_size=8), st.text(max_size=8), st.binary(max_size=8))
def test_pae_tells_any_two_apart(kind, payload, other_kind, other_payload):
    same = dsse.pae(kind, payload) == dsse.pae(other_kind, other_payload)

    assert same == ((kind, payload) == (other_kind, other_payload))


@pytest.mark.parametrize("record", records("dsse/envelopes.txt"), ids=lambda record: record["case"])
def test_vector_comes_out_as_it_says(record):
    def read():
        keys = [PublicKey.parse(key) for key in record["keys"].split()]
        return dsse.open_envelope(dsse.parse(record["envelope"].encode()), record["type"], keys)

    if error := record.get("error"):
        with pytest.raises(VerificationError) as refused:
            read()
        assert error in str(refused.value)
    else:
        assert read().payload == record["payload"].encode()
        assert [str(key) for key in read().keys] == record["signed by"].split()


@given(st.binary(max_size=64), st.text(st.characters(codec="utf-8"), max_size=16))
def test_envelope_survives_its_bytes(payload, kind):
    envelope = dsse.sign(payload, kind, [ADA, CLEO])

    assert dsse.parse(envelope.encode()) == envelope
    assert dsse.from_json(envelope.to_json()) == envelope
    assert opened(envelope, [CLEO, ADA], kind) == dsse.Opened(payload, (CLEO.public, ADA.public))


@pytest.mark.parametrize("named", [True, False])
@given(data=st.data())
def test_altered_byte_is_refused(named, data):
    envelope = GOOD if named else replace(GOOD, signatures=(replace(SIGNATURE, key_id=""),))
    written = bytearray(envelope.encode())
    written[data.draw(st.integers(0, len(written) - 1))] ^= data.draw(st.integers(1, 255))

    with pytest.raises(VerificationError):
        opened(dsse.parse(bytes(written)), [ADA, BEN])


@given(st.integers(0, len(GOOD.encode()) - 1))
def test_envelope_cut_short_is_refused(size):
    with pytest.raises(VerificationError):
        dsse.parse(GOOD.encode()[:size])


NEAR_MISSES = {
    "another payload": replace(GOOD, payload=b'{"a":2}'),
    "a longer payload": replace(GOOD, payload=b'{"a":1}\n'),
    "no payload": replace(GOOD, payload=b""),
    "signature of another payload": replace(GOOD, signatures=dsse.sign(b'{"a":2}', KIND, [ADA]).signatures),
    "signature for another type": replace(GOOD, signatures=dsse.sign(b'{"a":1}', dsse.IN_TOTO, [ADA]).signatures),
    "signature of the bare payload": replace(GOOD, signatures=(replace(SIGNATURE, signature=ADA.sign(b'{"a":1}')),)),
    "signature cut short": replace(GOOD, signatures=(replace(SIGNATURE, signature=SIGNATURE.signature[:-1]),)),
    "no signature": replace(GOOD, signatures=()),
    "empty signature": replace(GOOD, signatures=(replace(SIGNATURE, signature=b""),)),
    "another's signature under this key's id": replace(
        GOOD, signatures=(replace(SIGNATURE, signature=dsse.sign(b'{"a":1}', KIND, [BEN]).signatures[0].signature),)
    ),
    "this key's signature under another's id": replace(
        GOOD, signatures=(replace(SIGNATURE, key_id=BEN.public.key_id.hex),)
    ),
    "key id in capitals": replace(GOOD, signatures=(replace(SIGNATURE, key_id=SIGNATURE.key_id.upper()),)),
}


@pytest.mark.parametrize("near_miss", NEAR_MISSES.values(), ids=NEAR_MISSES)
def test_near_miss_is_signed_by_nobody(near_miss):
    assert opened(GOOD, [ADA]).keys == (ADA.public,)
    with pytest.raises(VerificationError, match="no key that is trusted"):
        opened(near_miss, [ADA])


def test_envelope_is_opened_only_as_what_it_is():
    with pytest.raises(VerificationError, match=r"'application/vnd\.example\+json', not application/vnd\.in-toto"):
        opened(GOOD, [ADA], dsse.IN_TOTO)
    with pytest.raises(VerificationError, match="no key that is trusted"):
        opened(replace(GOOD, payload_type=dsse.IN_TOTO), [ADA], dsse.IN_TOTO)


@pytest.mark.parametrize("keys", [[], [BEN], [BEN, CLEO]])
def test_key_that_is_not_trusted_signs_nothing(keys):
    with pytest.raises(VerificationError, match="no key that is trusted"):
        opened(GOOD, keys)


def test_key_counts_once_however_often_it_signed():
    again = replace(SIGNATURE, key_id="")
    both = replace(GOOD, signatures=(SIGNATURE, again, SIGNATURE))

    assert opened(both, [ADA, ADA, BEN]).keys == (ADA.public,)


def test_key_counts_once_under_two_key_ids():
    under_another_id = replace(SIGNATURE, key_id=BEN.public.key_id.hex)
    twice = replace(GOOD, signatures=(SIGNATURE, under_another_id))

    assert opened(twice, [ADA, BEN]).keys == (ADA.public,)


def test_all_who_signed_are_named_and_nobody_else():
    three = dsse.sign(b"x", KIND, [ADA, BEN, CLEO])
    spoiled = replace(three.signatures[1], signature=bytes(64))

    assert opened(three, [CLEO, BEN, ADA]).keys == (CLEO.public, BEN.public, ADA.public)
    assert opened(three, [BEN]).keys == (BEN.public,)
    without_ben = replace(three, signatures=(spoiled, three.signatures[0], three.signatures[2]))
    assert opened(without_ben, [ADA, BEN, CLEO]).keys == (ADA.public, CLEO.public)


def spoil(path, value):
    document = json.loads(GOOD.encode())
    where = document
    for step in path[:-1]:
        where = where[step]
    if value is None:
        del where[path[-1]]
    else:
        where[path[-1]] = value
    return document


SIG = base64.b64encode(SIGNATURE.signature).decode()
assert SIG[-3] in "AQgw", "two padding signs leave four unused bits"


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (spoil(["payload"], None), "not a DSSE envelope"),
        (spoil(["payloadType"], None), "not a DSSE envelope"),
        (spoil(["signatures"], None), "not a DSSE envelope"),
        (spoil(["extra"], 1), "not a DSSE envelope"),
        (spoil(["payload"], 1), "not text"),
        (spoil(["payload"], ["e30="]), "not text"),
        (spoil(["payload"], "e30"), "not base64"),
        (spoil(["payload"], "e31="), "canonical base64"),
        (spoil(["payload"], "e30=\n"), "base64"),
        (spoil(["payload"], " e30="), "base64"),
        (spoil(["payload"], "e30=e30="), "not base64"),
        (spoil(["payload"], "é30="), "not base64"),
        (spoil(["payload"], "-_-_"), "not base64"),
        (spoil(["payloadType"], 1), "no payload type"),
        (spoil(["signatures"], {}), "1 to 16 signatures"),
        (spoil(["signatures"], []), "1 to 16 signatures"),
        (spoil(["signatures"], [{"sig": ""}] * 17), "1 to 16 signatures"),
        (spoil(["signatures"], "sig"), "1 to 16 signatures"),
        (spoil(["signatures", 0], "sig"), "not a DSSE signature"),
        (spoil(["signatures", 0], {}), "not a DSSE signature"),
        (spoil(["signatures", 0, "sig"], None), "not a DSSE signature"),
        (spoil(["signatures", 0, "cert"], ""), "not a DSSE signature"),
        (spoil(["signatures", 0, "keyid"], 1), "keyid is not text"),
        (spoil(["signatures", 0, "keyid"], [""]), "keyid is not text"),
        (spoil(["signatures", 0, "sig"], 1), "not text"),
        (spoil(["signatures", 0, "sig"], SIG[:-1]), "not base64"),
        (spoil(["signatures", 0, "sig"], f"{SIG[:-3]}{chr(ord(SIG[-3]) + 1)}=="), "canonical base64"),
        ([], "not an object"),
        ("", "not an object"),
    ],
)
def test_document_that_is_no_envelope_is_refused(document, words):
    with pytest.raises(VerificationError, match=words):
        dsse.parse(canonical.encode(document))
    with pytest.raises(VerificationError):
        dsse.from_json(document)


def test_key_id_may_be_left_out_and_sixteen_may_sign():
    document = spoil(["signatures", 0, "keyid"], None)

    assert opened(dsse.from_json(document), [BEN, ADA]).keys == (ADA.public,)
    assert len(dsse.from_json(spoil(["signatures"], [{"sig": ""}] * 16)).signatures) == 16


def test_limit_is_kept():
    with pytest.raises(VerificationError, match="more than the 10 allowed"):
        dsse.parse(GOOD.encode(), limit=10)


def test_vectors_hold_both_verdicts():
    text = (VECTORS / "dsse/envelopes.txt").read_text()

    assert text.count("\nsigned by: ") >= 4
    assert text.count("\nerror: ") >= 8
