"""What stops an endpoint on a host without the server, and what takes it back? Nothing that looks almost like it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from lockgate.core.change import Content
from lockgate.core.endpoint import Suspended
from lockgate.core.intent import Head, Intent, sign_intent
from lockgate.core.journal import Denied
from lockgate.core.order import (
    KEPT,
    MAX_REASON,
    RECEIPT,
    Kept,
    Order,
    Receipt,
    Stopped,
    check_not_shut,
    is_lifted_by,
    open_kept,
    open_order,
    open_receipt,
    open_recorded,
    reason_digest,
    sign_kept,
    sign_receipt,
)
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats import dsse, plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name, Tag
from tests.core.passports import NOW as NOW_LOGGED
from tests.core.passports import entry, logged
from tests.core.test_binding import SEVERED
from tests.world import NOW, PROD, key, trust

A = Digest.of(b"a")
WEEK = timedelta(days=7)
OTHER = Endpoint.parse("prod/other")
HOST = Name("host-1")
REASON = "it answers with other people's letters"
HEAD = Head(12, A)


def intent(who="olivia", reason=REASON, **changes):
    said = Intent("endpoint.suspend", str(PROD), None, reason_digest(reason), Name(who), "n" * 32, NOW + WEEK, HEAD)
    return replace(said, **changes)


def order(who="olivia", reason=REASON, signer=None, **changes):
    return Order(sign_intent(intent(who, reason, **changes), key(signer or who)), reason)


ORDER = order()
KEPT_ORDER = Kept(HOST, PROD, ORDER, NOW, recorded=15)
STOPPED = Stopped(Tag.parse("magika@1.0.0"), A, ended=True, seconds_left=0)
ANSWER = Receipt(HOST, ORDER.intent.intent.digest, PROD, (STOPPED,), NOW, NOW)


@pytest.mark.parametrize("who", ["olivia", "dave", "ann"])
@pytest.mark.parametrize("reason", [None, REASON, "x" * MAX_REASON])
def test_whoever_may_shut_down_may_order_it(who, reason):
    given = order(who, reason)

    shutdown = open_order(given, trust(), NOW)

    assert (shutdown.endpoint, shutdown.by) == (PROD, Name(who))
    assert (shutdown.order, shutdown.digest) == (given, given.intent.intent.digest)


@pytest.mark.parametrize(
    ("bad", "error", "why"),
    [
        (order(signer="mallory"), VerificationError, "no key"),
        (order(signer="dave"), VerificationError, "no key"),
        (order("mallory"), VerificationError, "nobody called mallory"),
        (order("alice"), DeniedError, "alice has no right to endpoint.suspend"),
        (order("bob"), DeniedError, "bob has no right"),
        (order("host-1"), DeniedError, "host-1 has no right"),
        (order("ci"), DeniedError, "ci has no right"),
        (order(expires=NOW), DeniedError, "expired"),
        (order(object="dev/magika"), DeniedError, "dev/magika is not of this installation"),
        (order(object="prod"), VerificationError, "not an endpoint"),
        (order(act="endpoint.roll-back"), DeniedError, "act endpoint.roll-back"),
        (order(act="change.activate"), DeniedError, "act change.activate"),
        (order(before=A), DeniedError, "before"),
        (order(after=None), DeniedError, "after"),
        (order(after=A), DeniedError, "after"),
        (replace(ORDER, reason=None), DeniedError, "after"),
        (replace(ORDER, reason="another"), DeniedError, "after"),
        (order(reason=""), VerificationError, "a reason has"),
        (order(reason="x" * (MAX_REASON + 1)), VerificationError, "a reason has"),
        (replace(ORDER, intent=replace(ORDER.intent, intent=intent(object=str(OTHER)))), VerificationError, "no key"),
    ],
)
def test_what_is_almost_an_order_is_none(bad, error, why):
    with pytest.raises(error, match=why):
        open_order(bad, trust(), NOW)


def test_what_a_host_keeps_it_reads_again():
    for kept in (KEPT_ORDER, replace(KEPT_ORDER, lifted=20), replace(KEPT_ORDER, recorded=None)):
        assert open_kept(sign_kept(kept, key("host-1")), HOST, (key("host-1").public,)) == kept


@pytest.mark.parametrize(
    "spoilt",
    [
        sign_kept(KEPT_ORDER, key("mallory")),
        sign_kept(replace(KEPT_ORDER, node=Name("host-2")), key("host-1")),
        sign_kept(replace(KEPT_ORDER, endpoint=OTHER), key("host-1")),
        dsse.sign(plain.encode(KEPT_ORDER), RECEIPT, [key("host-1")]).encode(),
        sign_receipt(ANSWER, key("host-1")),
        plain.encode(KEPT_ORDER),
        b"",
        b"{",
    ],
)
def test_what_the_node_did_not_keep_is_not_read(spoilt):
    with pytest.raises(VerificationError):
        open_kept(spoilt, HOST, (key("host-1").public,))


def test_an_altered_byte_of_what_is_kept_is_found():
    document = sign_kept(KEPT_ORDER, key("host-1"))
    for place in range(0, len(document), 7):
        altered = document[:place] + bytes([document[place] ^ 1]) + document[place + 1 :]
        with pytest.raises(VerificationError):
            open_kept(altered, HOST, (key("host-1").public,))


def test_what_is_kept_shuts_until_it_is_lifted():
    with pytest.raises(DeniedError, match=f"is shut on this host by order of olivia \\({REASON}\\), since entry 15"):
        check_not_shut(KEPT_ORDER)
    with pytest.raises(DeniedError, match="that the log does not hold yet"):
        check_not_shut(replace(KEPT_ORDER, recorded=None))
    check_not_shut(replace(KEPT_ORDER, lifted=20))


def content(**changes):
    good = Content("normal", PROD, Tag.parse("magika@1.0.0"), A, A, 15, resumes=True, policy=A, reason="fixed")
    return replace(good, **changes)


def test_a_change_that_resumes_what_the_order_left_lifts_it():
    assert is_lifted_by(KEPT_ORDER, content())
    assert is_lifted_by(KEPT_ORDER, content(epoch=16))


@pytest.mark.parametrize("spoilt", [{"resumes": False}, {"epoch": 14}, {"epoch": -1}, {"endpoint": OTHER}], ids=str)
def test_no_other_change_lifts_an_order(spoilt):
    assert not is_lifted_by(KEPT_ORDER, content(**spoilt))


def test_nothing_lifts_an_order_that_the_log_is_not_known_to_hold():
    assert not is_lifted_by(replace(KEPT_ORDER, recorded=None), content(epoch=10**6))


def suspended(**changes):
    """Write into the log that an order was carried out, spoilt where a test asks."""
    event = Suspended(PROD, Name("olivia"), ORDER.intent.digest)
    return entry(replace(event, **changes), 12, NOW_LOGGED)


@pytest.fixture
def recorded():
    def prove(fact=None, **more):
        return logged({12: fact or suspended()}, **more)[12]

    return prove


def test_the_log_is_proved_to_hold_an_order(recorded):
    assert open_recorded(recorded(), ORDER, trust(), NOW_LOGGED) == 12


@pytest.mark.parametrize(
    "fact",
    [
        suspended(endpoint=OTHER),
        suspended(by=Name("dave")),
        suspended(order=A),
        suspended(order=ORDER.intent.intent.digest),
        entry(Denied("read", "x", A), 12, NOW_LOGGED),
    ],
)
def test_another_entry_is_no_proof(recorded, fact):
    with pytest.raises(VerificationError):
        open_recorded(recorded(fact), ORDER, trust(), NOW_LOGGED)


def test_a_proof_under_a_head_that_nobody_signed_is_none(recorded):
    for more in ({"signer": "mallory"}, {"origin": "elsewhere"}):
        with pytest.raises(VerificationError):
            open_recorded(recorded(**more), ORDER, trust(), NOW_LOGGED)
    good = recorded()
    with pytest.raises(VerificationError):
        open_recorded(replace(good, entry=good.entry.replace("olivia", "oliver")), ORDER, trust(), NOW_LOGGED)


def test_a_receipt_of_the_node_counts():
    assert open_receipt(sign_receipt(ANSWER, key("host-1")), HOST, ORDER, trust(), NOW) == ANSWER


@pytest.mark.parametrize(
    ("receipt", "signer", "node"),
    [
        (ANSWER, "mallory", "host-1"),
        (ANSWER, "olivia", "host-1"),
        (ANSWER, "prod-lease", "host-1"),
        (replace(ANSWER, node=Name("host-2")), "host-1", "host-1"),
        (replace(ANSWER, order=A), "host-1", "host-1"),
        (replace(ANSWER, endpoint=OTHER), "host-1", "host-1"),
        (replace(ANSWER, node=Name("olivia")), "olivia", "olivia"),
        (replace(ANSWER, bindings=(replace(SEVERED, probed_at=None),)), "host-1", "host-1"),
        (replace(ANSWER, bindings=(SEVERED, SEVERED)), "host-1", "host-1"),
        (ANSWER, "host-1", "host-2"),
    ],
)
def test_any_other_receipt_is_none(receipt, signer, node):
    with pytest.raises(VerificationError):
        open_receipt(sign_receipt(receipt, key(signer)), Name(node), ORDER, trust(), NOW)


def test_what_is_kept_is_no_receipt():
    document = dsse.sign(plain.encode(ANSWER), KEPT, [key("host-1")]).encode()
    with pytest.raises(VerificationError):
        open_receipt(document, HOST, ORDER, trust(), NOW)
