"""Does every catalog say what is true now, in order, and survive what it is asked?"""

from contextlib import suppress

import pytest

from lockgate.core.journal import Subject
from lockgate.errors import UnavailableError, VerificationError
from tests.contracts.samples import activated, append, at_endpoint, attested, digest, registered, suspended


def names(states):
    return [str(each.tag) for each in states]


@pytest.fixture
def stocked(log):
    for tag in ("b@1.0.0", "a@2.0.0", "a@1.0.0", "ab@1.0.0", "c@1.0.0"):
        append(log, registered(tag))
    append(log, attested("b@1.0.0"), suspended("a"))
    return log


def test_what_was_never_heard_of_is_not_found(log):
    assert log.find(at_endpoint("x")) is None
    assert log.listing("endpoint") == []


def test_what_is_true_is_found_at_once(log):
    append(log, activated("x"))
    assert not log.find(at_endpoint("x")).suspended
    append(log, suspended("x"))
    assert log.find(at_endpoint("x")).suspended


def test_a_listing_is_in_order_of_the_first_entry(stocked):
    assert names(stocked.listing("release")) == ["b@1.0.0", "a@2.0.0", "a@1.0.0", "ab@1.0.0", "c@1.0.0"]


def test_a_listing_is_of_one_kind(stocked):
    assert [str(each.endpoint) for each in stocked.listing("endpoint")] == ["prod/a"]
    assert stocked.listing("nothing") == []


def test_a_listing_can_be_narrowed_to_a_prefix(stocked):
    assert names(stocked.listing("release", prefix="a@")) == ["a@2.0.0", "a@1.0.0"]
    assert names(stocked.listing("release", prefix="a")) == ["a@2.0.0", "a@1.0.0", "ab@1.0.0"]


@pytest.mark.parametrize("prefix", ["%", "_@", "a%", ".*", "a_"])
def test_a_prefix_is_no_pattern(stocked, prefix):
    assert stocked.listing("release", prefix=prefix) == []


def test_a_listing_is_read_in_pages(stocked):
    pages, after = [], ""
    while page := names(stocked.listing("release", after=after, limit=2)):
        pages.append(page)
        after = page[-1]

    assert pages == [["b@1.0.0", "a@2.0.0"], ["a@1.0.0", "ab@1.0.0"], ["c@1.0.0"]]


def test_a_page_begins_after_a_key_that_the_prefix_leaves_out(stocked):
    assert names(stocked.listing("release", prefix="a", after="b@1.0.0")) == ["a@2.0.0", "a@1.0.0", "ab@1.0.0"]


def test_a_page_of_nothing_is_empty(stocked):
    assert list(stocked.listing("release", limit=0)) == []


def test_a_document_that_nobody_kept_is_not_here(log):
    with pytest.raises(UnavailableError, match="is not here"):
        log.document(digest("never"))


STRANGE = ["nul\x00", "\ud800", "x" * 100_000, "", "'; DROP TABLE entry; --", "%s", "\\", "☃"]


@pytest.mark.parametrize("text", STRANGE, ids=range(len(STRANGE)))
def test_strange_text_is_not_found_or_refused(stocked, text):
    questions = [
        lambda: stocked.find(Subject("release", text)),
        lambda: stocked.find(Subject(text, "a@1.0.0")),
        lambda: stocked.listing(text),
        lambda: text and stocked.listing("release", prefix=text),
    ]

    for question in questions:
        with suppress(VerificationError):
            assert not question()
