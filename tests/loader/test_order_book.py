"""What does a host do with the orders that it keeps? It stays shut, whatever becomes of the files."""

from dataclasses import replace
from datetime import timedelta

import pytest

from lockgate.core.order import open_order
from lockgate.errors import DeniedError, UnavailableError
from lockgate.formats.names import Endpoint, Name
from lockgate.loader import order_book
from lockgate.loader.host import open_host
from lockgate.loader.order_book import OrderBook
from tests.core.test_order import OTHER, order
from tests.loader.test_host import Tiles, home  # noqa: F401 - a fixture
from tests.world import NOW, PROD, World, key, trust

pytestmark = pytest.mark.usefixtures("book")  # which has learnt what is in force


@pytest.fixture
def book(home):  # noqa: F811
    return OrderBook(open_host(home, NOW), NOW)


def again(home, now=NOW):  # noqa: F811
    """Read what another process would read."""
    return OrderBook(open_host(home, now, asking=False), now)


def take(book, given=None, now=NOW, recorded=None):
    kept = book.take(open_order(given or order(), trust(), NOW), now)
    book.keep(kept)
    if recorded is not None:
        book.record(kept.digest, recorded)
    return book.find(kept.digest)


def test_an_order_shuts_its_endpoint_and_no_other_for_this_process_and_the_next(home, book):  # noqa: F811
    book.check(PROD)

    kept = take(book)

    for found in (book, again(home)):
        with pytest.raises(DeniedError, match="prod/magika is shut on this host by order of olivia"):
            found.check(PROD)
        found.check(OTHER)
        assert list(found.kept()) == [kept]


def test_an_order_shuts_at_once_even_if_it_cannot_be_kept(home, book):  # noqa: F811
    (home / "orders").write_text("no folder")

    with pytest.raises(UnavailableError):
        take(book)

    with pytest.raises(DeniedError):
        book.check(PROD)


def test_an_order_that_is_given_twice_is_kept_once(home, book):  # noqa: F811
    first = take(book)

    assert take(book, now=NOW + timedelta(hours=1)) == first
    assert len(list((home / "orders").iterdir())) == 1


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"[" * 100_000, b"x" * (2 << 20)])
def test_an_order_that_was_spoilt_on_the_disk_shuts_all_the_same(home, book, content):  # noqa: F811
    take(book)
    (path,) = (home / "orders").iterdir()
    path.write_bytes(content)

    found = again(home)

    with pytest.raises(DeniedError, match=r"an order is kept in .* and "):
        found.check(PROD)
    found.check(OTHER)


def test_an_order_in_the_place_of_another_shuts_both(home, book):  # noqa: F811
    take(book)
    (path,) = (home / "orders").iterdir()
    other = take(book, order(object=str(OTHER)))
    path.write_bytes((home / "orders" / f"prod.other.{other.digest.hex}.json").read_bytes())

    with pytest.raises(DeniedError, match="does not bear its own name"):
        again(home).check(PROD)
    with pytest.raises(DeniedError, match="by order of olivia"):
        again(home).check(OTHER)


@pytest.mark.parametrize(
    "name", ["prod.json", "x", "prod.magika", f"PROD.a.{'0' * 64}.json", f"prod.a.{'0' * 63}.json"]
)
def test_a_file_that_nobody_understands_shuts_everything(home, name):  # noqa: F811
    path = home / "orders" / name
    path.parent.mkdir()
    path.write_bytes(b"?")

    with pytest.raises(DeniedError):
        again(home).check(PROD)


def test_a_folder_that_cannot_be_read_shuts_everything(home):  # noqa: F811
    (home / "orders").write_text("no folder")

    with pytest.raises(UnavailableError):
        again(home)


def test_a_link_in_the_place_of_an_order_shuts(home):  # noqa: F811
    (home / "orders").mkdir()
    (home / "orders" / f"prod.magika.{'0' * 64}.json").symlink_to("/nowhere")

    with pytest.raises(DeniedError):
        again(home).check(PROD)


def test_a_draft_that_a_crash_left_is_no_order(home):  # noqa: F811
    (home / "orders").mkdir()
    (home / "orders" / ".prod.magika.x.json.123").write_bytes(b"half")

    again(home).check(PROD)


def shut_and_resumed(world: World):
    """Serve, stop, resume; return at which entry it was stopped, and what a host judges then."""
    release = world.serve()
    entry = world.shut_down().first
    number = world.open(release, resumes=True)
    world.approve(number)
    world.activate(number)
    return entry, world.admit()


def test_a_change_that_resumes_lifts_the_order_for_good(home, book, world):  # noqa: F811
    entry, admission = shut_and_resumed(world)
    kept = take(book, recorded=entry)

    book.settle(admission)

    for found in (book, again(home)):
        found.check(PROD)
        assert found.find(kept.digest).lifted == admission.epoch
        with pytest.raises(DeniedError, match="this order was obeyed, and lifted by entry"):
            take(found)
        found.check(PROD)


def test_on_a_disk_that_takes_no_more_a_resumption_holds_until_the_next_start(home, book, world):  # noqa: F811
    entry, admission = shut_and_resumed(world)
    take(book, recorded=entry)
    folder, aside = home / "orders", home / "aside"
    folder.rename(aside)
    folder.write_text("no folder")

    book.settle(admission)

    book.check(PROD)
    folder.unlink()
    aside.rename(folder)
    with pytest.raises(DeniedError):
        again(home).check(PROD)


@pytest.mark.parametrize("later", [1, 2, 1000])
def test_a_resumption_from_before_the_order_does_not_lift_it(book, world, later):
    entry, admission = shut_and_resumed(world)
    take(book, recorded=entry + later)

    with pytest.raises(DeniedError, match=f"since entry {entry + later}"):
        book.settle(admission)


def test_an_order_that_the_log_does_not_hold_yet_is_not_lifted(home, book, world):  # noqa: F811
    entry, admission = shut_and_resumed(world)
    kept = take(book)

    for found in (book, again(home)):
        with pytest.raises(DeniedError, match="that the log does not hold yet"):
            found.settle(admission)
    book.record(kept.digest, entry)
    again(home).settle(admission)


def test_a_change_that_resumes_nothing_does_not_lift_it(book, world):
    world.serve()
    take(book, recorded=0)

    with pytest.raises(DeniedError, match="is shut"):
        book.settle(world.admit())


def test_an_order_for_another_endpoint_is_not_lifted(book, world):
    entry, admission = shut_and_resumed(world)
    take(book, order(object=str(OTHER)), recorded=entry)

    book.settle(admission)

    with pytest.raises(DeniedError):
        book.check(OTHER)


def test_every_order_must_be_lifted(book, world):
    entry, admission = shut_and_resumed(world)
    take(book, recorded=entry)
    second = take(book, order(nonce="m" * 32), recorded=entry + 1)

    with pytest.raises(DeniedError):
        book.settle(admission)
    assert [kept.digest for kept in book.kept()] == [second.digest]


def test_a_lifted_order_is_forgotten_when_it_can_not_be_given_any_more(home, book, world):  # noqa: F811
    entry, admission = shut_and_resumed(world)
    kept = take(book, recorded=entry)
    book.settle(admission)

    assert again(home, NOW + timedelta(days=7)).find(kept.digest)
    assert again(home, NOW + timedelta(days=8)).find(kept.digest) is None
    assert list((home / "orders").iterdir()) == []


def test_an_order_that_shuts_is_kept_when_its_intent_expired_long_ago(home, book):  # noqa: F811
    take(book)

    with pytest.raises(DeniedError):
        again(home, NOW + timedelta(days=900)).check(PROD)


def test_there_is_room_for_a_new_order_and_an_end_to_it(home, book, monkeypatch):  # noqa: F811
    for number in range(order_book.MAX_FOR_ONE + 2):
        newest = take(book, order(nonce=f"{number:032}"), now=NOW + timedelta(seconds=number))
    assert len(book.kept()) == len(list((home / "orders").iterdir())) == order_book.MAX_FOR_ONE
    assert newest in book.kept()

    monkeypatch.setattr(order_book, "MAX_OF_ONE", order_book.MAX_FOR_ONE)
    with pytest.raises(UnavailableError, match="keeps 16 orders of olivia already"):
        take(book, order(object=str(OTHER)))


def test_however_many_orders_somebody_gives_those_of_others_are_kept(home, book, monkeypatch):  # noqa: F811
    monkeypatch.setattr(order_book, "MAX_OF_ONE", 3)
    for number in range(3):
        take(book, order("dave", object=f"prod/x{number}"))
    with pytest.raises(UnavailableError, match="keeps 3 orders of dave already"):
        take(book, order("dave", object="prod/another"))

    take(book)

    for found in (book, again(home)):
        with pytest.raises(DeniedError, match="by order of olivia"):
            found.check(PROD)


def test_orders_that_were_lifted_and_can_not_be_given_again_take_no_room(book, world, monkeypatch):
    monkeypatch.setattr(order_book, "MAX_OF_ONE", 1)
    entry, admission = shut_and_resumed(world)
    take(book, recorded=entry)
    book.settle(admission)
    with pytest.raises(UnavailableError, match="keeps 1 orders of olivia already"):
        take(book, order(object=str(OTHER)))

    later = NOW + timedelta(days=8)
    kept = book.take(open_order(order(object=str(OTHER)), trust(), NOW), later)

    assert list(book.kept()) == [kept]


def test_what_was_kept_by_a_key_that_trust_does_not_know_shuts(home, book):  # noqa: F811
    take(book)
    host = open_host(home, NOW)
    signed = host.update.trust
    others = tuple(actor for actor in signed.document.actors if actor.name != Name("host-1"))
    spoken = replace(signed.document.actor(Name("host-1"), NOW), keys=(key("another").public,))
    document = replace(signed.document, actors=(*others, spoken))

    found = OrderBook(replace(host, update=replace(host.update, trust=replace(signed, document=document))), NOW)

    with pytest.raises(DeniedError, match="no key that is trusted"):
        found.check(PROD)
    found.check(Endpoint.parse("prod/other"))
