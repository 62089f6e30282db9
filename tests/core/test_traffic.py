"""Can traffic be written that nobody could obey?"""

from dataclasses import replace

import pytest

from lockgate.core.traffic import Address, Route, Traffic, check_whole
from lockgate.errors import VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Tag

ENDPOINT = Endpoint.parse("prod/magika")
STABLE = Route(Digest.of(b"a"), Tag.parse("magika@1.0.0"), Address("127.0.0.1", 8500), 90, 1)
CANDIDATE = Route(Digest.of(b"b"), Tag.parse("magika@1.1.0"), Address("127.0.0.1", 8501), 10, 1)
GOOD = Traffic(ENDPOINT, (CANDIDATE, STABLE), STABLE.release, "x-user")


@pytest.mark.parametrize(
    "good",
    [
        Traffic(ENDPOINT, ()),
        Traffic(ENDPOINT, (replace(STABLE, weight=100),)),
        Traffic(ENDPOINT, (replace(STABLE, weight=100), replace(CANDIDATE, weight=0))),
        Traffic(ENDPOINT, (replace(CANDIDATE, weight=0),)),
        Traffic(ENDPOINT, (CANDIDATE,)),
        Traffic(ENDPOINT, (CANDIDATE, replace(STABLE, weight=80))),
        Traffic(ENDPOINT, (CANDIDATE, STABLE), sticky_by="x-forwarded-for"),
    ],
)
def test_what_can_be_obeyed_can_be_written(good):
    check_whole([good, Traffic(Endpoint.parse("prod/other"), ())])


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        ({"routes": (CANDIDATE, replace(STABLE, weight=91))}, "add up to 101, which is more than 100"),
        ({"routes": (replace(CANDIDATE, release=STABLE.release), STABLE)}, f"{STABLE.release} is there twice"),
        ({"routes": (replace(CANDIDATE, address=STABLE.address), STABLE)}, "two releases at 127.0.0.1:8500"),
        ({"stable": Digest.of(b"c")}, "its stable release has no route"),
        ({"routes": ()}, "its stable release has no route"),
        *[
            ({"sticky_by": header}, "cannot be told apart")
            for header in ("", "X-User", "x user", "x-user\n", ":path", "x-release", "host", "x-envoy-a", "a" * 64)
        ],
    ],
)
def test_a_near_miss_cannot(spoil, why):
    with pytest.raises(VerificationError, match=why):
        replace(GOOD, **spoil)


def test_every_reason_is_given_at_once():
    with pytest.raises(VerificationError, match=r"add up to 110.*no route.*cannot be told apart"):
        Traffic(ENDPOINT, (CANDIDATE, replace(STABLE, weight=100)), Digest.of(b"c"), "Host")


@pytest.mark.parametrize("weight", [-1, 101])
def test_a_weight_is_a_percentage(weight):
    with pytest.raises(VerificationError, match="of the traffic"):
        replace(STABLE, weight=weight)


@pytest.mark.parametrize("text", ["127.0.0.1:8500", "127.5.0.1:1", "[::1]:65535"])
def test_an_address_of_this_machine_is_read_and_written(text):
    assert str(Address.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "127.0.0.1", "127.0.0.1:", ":8500", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:080", "127.0.0.1:-1"),
        *("localhost:8500", "127.1:8500", "2130706433:8500", "0.0.0.0:8500", "10.0.0.1:80", "169.254.169.254:80"),
        *("[::]:1", "[::1%lo]:1", "[::ffff:10.0.0.1]:1", "①27.0.0.1:80", "127.0.0.1:8500\n", "127.0.0.1:8\uff1500"),
    ],
)
def test_any_other_address_is_refused(text):
    with pytest.raises(VerificationError):
        Address.parse(text)


def test_an_endpoint_is_shown_once_and_an_address_is_one_run():
    elsewhere = replace(GOOD, endpoint=Endpoint.parse("prod/other"))

    with pytest.raises(VerificationError, match="prod/magika is there twice"):
        check_whole([GOOD, GOOD])
    with pytest.raises(VerificationError, match=r"127\.0\.0\.1:8500 is there twice: one address is one run"):
        check_whole([GOOD, elsewhere])
