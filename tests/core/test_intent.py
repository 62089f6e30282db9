"""Who said so? Whoever's key signed exactly these words, and only until they expire."""

import base64
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.core.intent import (
    MAX_TEXT,
    NAMESPACE,
    Head,
    Intent,
    KeyProof,
    SignedIntent,
    SshProof,
    attribute_intent,
    check_intent,
    open_intent,
    sign_intent,
)
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats import dsse, plain, sshsig
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name
from tests.core.dossiers import TICK, trusting
from tests.world import NOW, key, trust

A, B = Digest.of(b"a"), Digest.of(b"b")
HOUR = timedelta(hours=1)
SAID = Intent("change.approve", "change/7", A, B, Name("bob"), "0123456789abcdef", NOW + HOUR, Head(5, A))
SPOILT = [
    {"act": "change.reject"},
    {"object": "change/8"},
    {"before": None},
    {"before": B},
    {"after": None},
    {"after": A},
    {"nonce": "fedcba9876543210"},
    {"expires": NOW + 2 * HOUR},
    {"head": None},
    {"head": Head(6, A)},
    {"head": Head(5, B)},
]


def by_key(intent=SAID, who="bob"):
    return sign_intent(intent, key(who))


def by_agent(intent=SAID, who="bob", namespace=NAMESPACE):
    return SignedIntent(intent, SshProof(sshsig.sign_sshsig(key(who), plain.encode(intent), namespace)))


@pytest.mark.parametrize("sign", [by_key, by_agent])
def test_what_somebody_signed_they_said(sign):
    said = open_intent(sign(), trust(), NOW)

    assert (said.intent, said.actor.name, said.key) == (SAID, Name("bob"), key("bob").public)


@pytest.mark.parametrize("sign", [by_key, by_agent])
@pytest.mark.parametrize("spoilt", [*SPOILT, {"actor": Name("carol")}], ids=str)
def test_a_proof_is_for_every_word_of_the_intent(sign, spoilt):
    with pytest.raises(VerificationError):
        open_intent(replace(sign(), intent=replace(SAID, **spoilt)), trust(), NOW)


@pytest.mark.parametrize("spoilt", SPOILT, ids=str)
def test_every_word_of_the_intent_is_in_its_digest(spoilt):
    assert replace(SAID, **spoilt).digest != SAID.digest and by_key(replace(SAID, **spoilt)).digest != by_key().digest


@pytest.mark.parametrize("sign", [by_key, by_agent])
@pytest.mark.parametrize("who", ["carol", "mallory", "components", "root1"])
def test_nobody_speaks_for_somebody_else(sign, who):
    with pytest.raises(VerificationError):
        open_intent(sign(who=who), trust(), NOW)


def proof(signature):
    return SignedIntent(SAID, KeyProof(signature))


PLAIN = base64.b64encode(key("bob").sign(plain.encode(SAID))).decode()
OTHER_TYPE = base64.b64encode(key("bob").sign(dsse.pae("text/plain", plain.encode(SAID)))).decode()


@pytest.mark.parametrize(
    ("signed", "reason"),
    [
        (proof(""), "no key that is trusted"),
        (proof("!"), "signature is not base64"),
        (proof("é"), "signature is not base64"),
        (proof(PLAIN), "no key that is trusted"),
        (proof(OTHER_TYPE), "no key that is trusted"),
        (by_agent(namespace="file"), "SSH signature is for 'file', not for intent@lockgate"),
        (SignedIntent(SAID, SshProof("")), "."),
        (SignedIntent(SAID, SshProof(by_key().proof.signature)), "."),
        (SignedIntent(SAID, KeyProof(by_agent().proof.signature)), "not base64"),
    ],
)
def test_a_proof_of_another_kind_proves_nothing(signed, reason):
    with pytest.raises(VerificationError, match=reason):
        open_intent(signed, trust(), NOW)


def test_a_word_holds_until_it_expires_and_is_remembered_after():
    for sign in (by_key, by_agent):
        open_intent(sign(), trust(), NOW + HOUR - TICK)
        with pytest.raises(DeniedError, match=r"the word of bob to change.approve change/7 expired at 2026"):
            open_intent(sign(), trust(), NOW + HOUR)
        assert attribute_intent(sign(), trust(), NOW + HOUR).actor.name == Name("bob")


def test_who_left_cannot_speak_any_more():
    trusted = trusting("bob", until=NOW)

    with pytest.raises(VerificationError, match="nobody called bob"):
        open_intent(by_key(), trusted, NOW)
    open_intent(by_key(), trusted, NOW - TICK)


@pytest.mark.parametrize(
    "spoilt", [{"nonce": "0" * 15}, {"nonce": "0" * 257}, {"act": "x" * 257}, {"object": "x" * 257}], ids=str
)
def test_a_short_nonce_and_long_words_are_refused(spoilt):
    with pytest.raises(VerificationError, match="intent holds text longer than 256, or a nonce shorter than 16"):
        attribute_intent(by_key(replace(SAID, **spoilt)), trust(), NOW)


@pytest.mark.parametrize("words", [{"nonce": "0" * 16}, {"nonce": "0" * MAX_TEXT}, {"act": "x" * MAX_TEXT}], ids=str)
def test_words_just_short_enough_are_heard(words):
    attribute_intent(by_key(replace(SAID, **words)), trust(), NOW)


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (("change.reject", "change/7", A, B), "the intent says act change.approve, this is act change.reject"),
        (("change.approve", "change/8", A, B), "the intent says object change/7, this is object change/8"),
        (("change.approve", "change/7", None, B), "the intent says before sha256:.*, this is before None"),
        (("change.approve", "change/7", A, None), "the intent says after sha256:.*, this is after None"),
        (("change.approve", "change/7", B, A), "the intent says before"),
    ],
)
def test_an_intent_asks_for_exactly_one_thing(wanted, reason):
    said = open_intent(by_key(), trust(), NOW)
    act, object_, before, after = wanted

    check_intent(said, "change.approve", "change/7", before=A, after=B)
    with pytest.raises(DeniedError, match=reason):
        check_intent(said, act, object_, before=before, after=after)


@given(
    st.builds(
        Intent,
        st.text(max_size=20, alphabet="abc.-"),
        st.text(max_size=20, alphabet="abc/é🦀"),
        st.sampled_from([None, A, B]),
        st.sampled_from([None, A, B]),
        st.just(Name("bob")),
        st.text(min_size=16, max_size=20, alphabet="abc"),
        st.just(NOW + HOUR),
        st.sampled_from([None, Head(0, A), Head(2**40, B)]),
    )
)
def test_what_was_signed_reads_back_and_still_verifies(intent):
    for signed in (by_key(intent), by_agent(intent)):
        again = plain.decode(SignedIntent, plain.encode(signed))
        assert again == signed and open_intent(again, trust(), NOW).intent == intent
