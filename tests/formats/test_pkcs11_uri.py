"""Does a PKCS#11 URI mean one token and object, and is every other text refused?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.errors import VerificationError
from lockgate.formats.pkcs11_uri import Pkcs11Uri

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
GOOD = f"pkcs11:token=release;object=signer?module-path={MODULE}"

letters = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20)
paths = letters.map(lambda text: f"/{text}")
URIS = st.builds(
    Pkcs11Uri,
    token=letters,
    module_path=paths,
    label=st.none() | letters,
    id=st.none() | st.binary(min_size=1, max_size=20),
    pin_source=st.none() | letters.map(lambda text: f"/x{text}"),
    manufacturer=st.none() | letters,
    model=st.none() | letters,
    serial=st.none() | letters,
)


@given(URIS)
def test_a_uri_survives_its_text(uri):
    if len(text := str(uri)) <= 1024:
        assert Pkcs11Uri.parse(text) == uri
        assert text.isascii() and " " not in text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (GOOD, Pkcs11Uri("release", MODULE, "signer")),
        (f"pkcs11:token=release?module-path={MODULE}", Pkcs11Uri("release", MODULE)),
        (f"pkcs11:token=release;object=signer;module-path={MODULE}", Pkcs11Uri("release", MODULE, "signer")),
        (
            f"pkcs11:token=a%20b;id=%01%FF;type=private?module-path={MODULE}&pin-source=file:/etc/pin",
            Pkcs11Uri("a b", MODULE, id=b"\x01\xff", pin_source="/etc/pin"),
        ),
        (
            f"pkcs11:token=t;object=o;pin-source=/etc/pin;module-path={MODULE};",
            Pkcs11Uri("t", MODULE, "o", pin_source="/etc/pin"),
        ),
        (
            f"pkcs11:token=t;object=o?pin-source=file:///etc/pin&module-path={MODULE}",
            Pkcs11Uri("t", MODULE, "o", pin_source="/etc/pin"),
        ),
        (
            f"pkcs11:token=The%20Software%20PKCS%2311;manufacturer=M;model=1.0;serial=x;object=o?module-path={MODULE}",
            Pkcs11Uri("The Software PKCS#11", MODULE, "o", manufacturer="M", model="1.0", serial="x"),
        ),
    ],
)
def test_both_spellings_of_a_uri_are_read(text, wanted):
    assert Pkcs11Uri.parse(text) == wanted


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not a PKCS#11 URI"),
        ("token=release;object=signer", "not a PKCS#11 URI"),
        ("PKCS11:token=release", "not a PKCS#11 URI"),
        (GOOD + "x" * 1024, "not a PKCS#11 URI"),
        ("pkcs11:", "says no token"),
        ("pkcs11:token=release;object=signer", "says no module-path"),
        (f"pkcs11:object=signer?module-path={MODULE}", "says no token"),
        (f"{GOOD}&pin-value=1234", "holds a PIN"),
        (GOOD.replace("?", ";pin-value=1234?"), "holds a PIN"),
        (GOOD.replace("?", ";object=other?"), "says object twice"),
        (f"{GOOD}&module-path={MODULE}", "says module-path twice"),
        (GOOD.replace("?", ";slot-id=3?"), "'slot-id', which is not understood"),
        (GOOD.replace("?", ";x-vendor=3?"), "'x-vendor', which is not understood"),
        (GOOD.replace("?", ";type=cat?"), "a type of object that there is not"),
        (GOOD.replace("signer", "sig ner"), "must be written as %XX"),
        (GOOD.replace("signer", "sig%2"), "must be written as %XX"),
        (GOOD.replace("signer", "sig%zz"), "must be written as %XX"),
        (GOOD.replace("signer", "schlüssel"), "must be written as %XX"),
        (GOOD.replace("signer", "%FF"), "object is not UTF-8"),
        (GOOD.replace("signer", "%00"), "object is empty, or holds a NUL"),
        (GOOD.replace("signer", ""), "object is empty, or holds a NUL"),
        (GOOD.replace("object=", "object"), "'objectsigner', which is not understood"),
        (f"{GOOD}&pin-source=pin", "pin-source is an absolute path"),
        (f"{GOOD}&pin-source=%7C/usr/bin/getpin", "pin-source is an absolute path"),
        (f"{GOOD}&pin-source=https:/host/pin", "pin-source is an absolute path"),
    ],
)
def test_what_means_no_one_object_is_refused(text, reason):
    with pytest.raises(VerificationError, match=reason):
        Pkcs11Uri.parse(text)


@given(st.text(max_size=60).map(lambda text: f"pkcs11:{text}") | st.text(max_size=30))
def test_any_text_is_a_uri_or_is_refused(text):
    try:
        found = Pkcs11Uri.parse(text)
    except VerificationError:
        return
    assert Pkcs11Uri.parse(str(found)) == found
