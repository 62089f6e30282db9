import pytest

from lockgate.core.scratch import ACCELERATORS, Scratch, parse_scratch
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats.digest import Digest
from tests.world import PROD

RELEASE = Digest.of(b"release")


def test_what_is_not_said_is_the_strictest():
    assert parse_scratch({"node": "host-1"}) == Scratch("only", None, (), ACCELERATORS)


def test_what_is_said_is_read():
    said = {
        "scratch": "own",
        "scratch_bytes": 1 << 20,
        "writable": ["/tmp/mps", "/var/cache/x/{release}"],
        "devices": [],
    }

    assert parse_scratch(said) == Scratch("own", 1 << 20, ("/tmp/mps", "/var/cache/x/{release}"), ())
    assert parse_scratch({"scratch": "host"}).kind == "host"
    assert parse_scratch({"devices": ["/dev/dri/card0"]}).devices == ("/dev/dri/card0",)


@pytest.mark.parametrize(
    ("spoilt", "because"),
    [
        ({"scratch": "mine"}, "only, own or host"),
        ({"scratch": True}, "only, own or host"),
        ({"scratch": ["only"]}, "only, own or host"),
        ({"scratch_bytes": "1 GiB"}, "is a number"),
        ({"scratch_bytes": True}, "is a number"),
        ({"scratch_bytes": (1 << 20) - 1}, "is a number"),
        ({"writable": "/srv"}, "no list"),
        ({"writable": [1]}, "no list"),
        ({"writable": ["/srv"], "scratch": "host"}, "means nothing"),
        ({"writable": ["srv"]}, "no absolute name"),
        ({"writable": [""]}, "no absolute name"),
        ({"writable": ["/srv/../etc"]}, "no absolute name"),
        ({"writable": ["/srv/"]}, "no absolute name"),
        ({"writable": ["/srv/\0"]}, "no absolute name"),
        ({"writable": ["/srv/{release}/cache"]}, "stands at its end"),
        ({"writable": ["/srv/a{release}"]}, "stands at its end"),
        ({"writable": ["/{release}/{release}"]}, "stands at its end"),
        ({"writable": ["/{release}"]}, "stands at its end"),
        ({"writable": ["/"]}, "name one below it"),
        ({"writable": ["/tmp"]}, "name one below it"),
        ({"writable": ["/dev/shm"]}, "name one below it"),
        ({"writable": ["/dev/sda"]}, "name one below it"),
        ({"writable": ["/proc/sys"]}, "name one below it"),
        ({"devices": "/dev/dri"}, "no list"),
        ({"devices": ["/etc/passwd"]}, "below /dev"),
        ({"devices": ["/dev"]}, "below /dev"),
        ({"devices": ["/dev/../etc"]}, "below /dev"),
        ({"devices": ["/device"]}, "below /dev"),
        ({"devices": ["/dev/shm"]}, "its own"),
        ({"devices": ["/dev/mqueue/a"]}, "its own"),
    ],
)
def test_what_means_nothing_is_refused(spoilt, because):
    with pytest.raises(VerificationError, match=because):
        parse_scratch(spoilt)


def test_a_folder_for_each_release_is_named_by_its_digest():
    scratch = Scratch(writable=("/a", "/b/{release}"))

    assert scratch.writable_for(RELEASE) == ("/a", f"/b/{RELEASE.hex}")
    assert scratch.folders_of_releases == ("/b",)


def test_a_candidate_comes_beside_a_stable_release_where_each_has_its_own_folder():
    Scratch(writable=("/b/{release}",)).check_beside(PROD)
    Scratch().check_beside(PROD)


def test_a_candidate_that_would_write_where_stable_writes_is_refused_and_told_where():
    with pytest.raises(DeniedError, match=r"both write /a, /c: name it …/\{release\}"):
        Scratch(writable=("/a", "/b/{release}", "/c")).check_beside(PROD)
