"""What does a host learn from a feed, what does it remember, and what does it say when it learns nothing?"""

import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from lockgate.core.metadata import TIMESTAMP
from lockgate.core.revocation import Revocations
from lockgate.core.trust import Root
from lockgate.errors import UnavailableError, VerificationError
from lockgate.formats import plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name
from lockgate.loader.feed import FolderFeed, HttpFeed, read_whole
from tests.core.test_revocation import denied, of_key, of_release
from tests.loader.hostile import Hostile
from tests.world import World, key, policy, trust

NEW = Root(2, tuple(key(f"new{number}").public for number in (1, 2, 3)))
BOTH = ("root1", "root2", "new1", "new2")


def test_a_host_learns_what_is_in_force_and_until_when(learn, feed):
    found = learn()

    assert found.trust.document == trust() and found.policy.document == policy()
    assert found.trust.digest == Digest.of(plain.encode(trust()))
    assert found.revoked == Revocations(Name("prod"), ())
    assert timedelta(0) < found.fresh_until - datetime.now(UTC) <= timedelta(minutes=10)
    found.check_fresh(datetime.now(UTC))
    with pytest.raises(UnavailableError, match="fresh until"):
        found.check_fresh(found.fresh_until)


def test_what_is_known_is_not_fetched_again(learn, feed):
    learn()
    feed.asked.clear()

    learn()

    assert feed.asked == ["2.root.json", TIMESTAMP]


def test_a_revocation_reaches_the_host(learn, feed):
    learn()
    feed.publish(revoked=denied(of_release(Digest.of(b"x")), of_key("bob")))

    found = learn()

    assert found.revoked.keys == {key("bob").public.key_id}


def test_later_documents_reach_the_host(learn, feed):
    learn()
    later = replace(trust(), version=2), replace(policy(), version=2)
    feed.publish(*later)

    found = learn()

    assert (found.trust.document, found.policy.document) == later


def test_a_host_that_was_away_for_many_roots_follows_all_of_them(learn, feed):
    learn()
    roots = [Root(2, tuple(key(f"{era}{n}").public for n in (1, 2, 3))) for era in ("b", "c", "d")]
    names = ("root", "b", "c", "d")
    for number, root in enumerate(roots):
        signers = [f"{era}{n}" for era in names[number : number + 2] for n in (1, 2)]
        feed.publish(replace(trust(), version=number + 2, root=root), policy(), signers=signers)

    assert learn().trust.document.root == roots[-1]


def test_a_root_is_replaced_by_both_thresholds_and_a_lost_key_by_those_that_are_left(learn, feed):
    learn()
    recovered = Root(2, (*trust().root.keys[:2], key("new1").public))
    feed.publish(replace(trust(), version=2, root=recovered), policy())
    assert learn().trust.document.root == recovered

    feed.publish(replace(trust(), version=3, root=NEW), policy(), signers=("root1", "new1", "new2"))
    assert learn().trust.document.root == NEW


def test_a_host_that_pins_a_later_root_begins_with_it(learn, feed):
    feed.publish(replace(trust(), version=2, root=NEW), policy(), signers=BOTH)

    assert learn(root=NEW).trust.document.version == 2
    assert learn(memory="another").trust.document.version == 2
    with pytest.raises(VerificationError, match="signed nothing there"):
        learn(memory="third", root=Root(1, (key("stranger").public,)))


def test_another_pinned_root_is_taken_up_where_the_old_one_was_known(learn, feed):
    feed.publish(replace(trust(), version=2, root=NEW), policy(), signers=BOTH)
    learn()

    assert learn(root=NEW).trust.document.version == 2


@pytest.mark.parametrize(
    "pinned",
    [
        replace(trust().root, threshold=1),
        replace(trust().root, threshold=3),
        Root(2, trust().root.keys[:2]),
        Root(2, (*trust().root.keys, key("more").public)),
    ],
)
def test_a_root_that_is_not_exactly_the_pinned_one_is_no_beginning(learn, pinned):
    with pytest.raises(VerificationError, match="signed nothing there"):
        learn(root=pinned)


def test_the_order_of_pinned_keys_means_nothing(learn):
    assert learn(root=Root(2, trust().root.keys[::-1])).trust.document == trust()


def test_an_entry_that_was_seen_is_never_missing_again_even_with_a_new_online_key(learn, feed):
    feed.publish(revoked=denied(of_key("bob")))
    learn()
    signers = tuple(
        replace(one, key=key("fresh-updates").public) if one.purpose == "updates" else one for one in trust().signers
    )
    feed.online = key("fresh-updates")
    feed.publish(replace(trust(), version=2, signers=signers), policy(), denied(of_key("carol", 7)))

    with pytest.raises(VerificationError, match="has lost or changed an entry that was seen"):
        learn()


def test_one_memory_serves_two_at_once(learn, feed, tmp_path):
    feed.publish(revoked=denied(of_key("bob")))
    wrong = []

    def often():
        try:
            for _ in range(5):
                learn()
        except Exception as e:  # noqa: BLE001 - whatever it was
            wrong.append(e)

    threads = [threading.Thread(target=often) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not wrong


def test_a_folder_feeds_a_host_without_a_network(learn, tmp_path):
    world = World()
    world.serve()
    world.revoke("magika@1.0.0")
    folder = world.feed(tmp_path / "stick")

    found = learn(FolderFeed(folder))

    assert [str(entry.tag) for entry in found.revoked.entries] == ["magika@1.0.0"]


def test_a_folder_that_was_not_fed_lately_says_what_to_do(learn, tmp_path):
    folder = World().feed(tmp_path / "stick", datetime.now(UTC) - timedelta(hours=1))

    with pytest.raises(UnavailableError, match=r"out of date .*was the folder fed lately\?"):
        learn(FolderFeed(folder))


def test_nothing_there_and_no_policy_yet_are_said(learn, tmp_path, feed):
    with pytest.raises(UnavailableError, match=r"is it the right place\?"):
        learn(FolderFeed(tmp_path / "nowhere"))
    feed.publish(ruled=None)
    bare = Hostile()
    bare.held = bare.policy = None
    bare.files.clear()
    bare.publish()
    with pytest.raises(UnavailableError, match=r"no policy.json is published yet"):
        learn(bare)


def test_a_link_in_a_folder_is_not_followed(learn, tmp_path):
    folder = World().feed(tmp_path / "stick")
    (folder / TIMESTAMP).rename(tmp_path / "elsewhere")
    (folder / TIMESTAMP).symlink_to(tmp_path / "elsewhere")

    with pytest.raises(VerificationError, match=r"timestamp.json is not a regular file"):
        learn(FolderFeed(folder))


def answering(write):
    """Serve with a function that writes a raw answer to each request."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self.close_connection = True
            write(self.wfile)

        def log_message(self, *_):
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_address[1]}"


def drip(out):
    out.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    try:
        while True:
            out.write(b"x")
            out.flush()
            time.sleep(0.02)
    except OSError:
        return


def endless(out):
    out.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    try:
        while True:
            out.write(b"x" * 65536)
    except OSError:
        return


@pytest.mark.parametrize(
    ("write", "error", "reason"),
    [
        (drip, UnavailableError, "takes longer than 0.2 s"),
        (endless, VerificationError, "has more than"),
        (lambda out: out.write(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"),
         UnavailableError, "answered 302, and no file"),
        (lambda out: out.write(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"), UnavailableError, "answered 500"),
        (lambda out: out.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"), UnavailableError, "broke off"),
        (lambda out: out.write(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"), UnavailableError, "right place"),
        (lambda out: out.write(b"junk"), UnavailableError, "no answer from"),
    ],
)  # fmt: skip
def test_a_server_that_answers_badly_teaches_nothing_and_holds_nobody_up(learn, write, error, reason):
    server, url = answering(write)
    began = time.monotonic()

    with pytest.raises(error, match=reason):
        learn(HttpFeed(url, seconds=0.2))

    assert time.monotonic() - began < 5
    server.shutdown()
    server.server_close()


def test_nobody_answers(learn):
    with pytest.raises(UnavailableError, match="is the server up"):
        learn(HttpFeed("http://127.0.0.1:1"))


def test_a_file_is_read_up_to_its_limit(feed):
    feed.files["x"] = b"12345"

    assert read_whole(feed, "x", 5) == b"12345"
    assert read_whole(feed, "y", 5) is None
    with pytest.raises(VerificationError, match="has more than 4 bytes"):
        read_whole(feed, "x", 4)
