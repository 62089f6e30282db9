"""What does the command line make of junk? One line that says what is wrong and an exit code, never a traceback."""

import io
import json
import shutil
import signal
import sys
import tracemalloc
import zipfile

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from lockgate.cli.main import COMMANDS, main
from lockgate.core.ceremony import Ceremony
from lockgate.core.policy import POLICY
from lockgate.core.trust import TRUST
from lockgate.drivers.ceremony_folder import write_ceremony
from lockgate.formats import dsse, plain
from tests.rogue import Rogue, listening
from tests.world import World, agreed, carried, host_home, key, policy, trust

WORDS = {3: "denied: ", 4: "not verified: ", 5: "conflict: ", 6: "unavailable: "}
PATIENCE = 20  # seconds, of a machine that others use too
DIGEST = "sha256:" + "0" * 64


@pytest.fixture
def say(monkeypatch, capsys):
    """Say something to the command line; return exit code, standard output and the lines of standard error."""

    def give_up(*_):
        raise HangsError

    def call(*words):
        words = [str(word) for word in words]
        monkeypatch.setattr(sys, "argv", ["lockgate", *words])
        signal.setitimer(signal.ITIMER_REAL, PATIENCE)
        try:
            with pytest.raises(SystemExit) as ended:
                main()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        out, err = capsys.readouterr()
        return ended.value.code, out, err.splitlines()

    before = signal.signal(signal.SIGALRM, give_up)
    yield call
    signal.signal(signal.SIGALRM, before)


class HangsError(BaseException):
    """The command line has not come to an end."""


@pytest.fixture
def here(tmp_path, junk, monkeypatch):
    """A folder of one's own, full of junk, and good keys; nobody listens at the server's address."""
    monkeypatch.chdir(tmp_path)
    for name in ("LOCKGATE_SERVER", "LOCKGATE_ACTOR", "LOCKGATE_KEY", "LOCKGATE_HOME", "SSH_AUTH_SOCK"):
        monkeypatch.delenv(name, raising=False)
    shutil.copytree(junk, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture
def rogue():
    with listening(Rogue()) as server:
        yield server


@pytest.fixture(scope="session")
def junk(tmp_path_factory):
    """A folder full of junk, and good keys: made once, for copies."""
    folder = tmp_path_factory.mktemp("junk")
    rsa_key = rsa.generate_private_key(65537, 1024)
    for name, content in {
        "empty": b"",
        "binary": bytes(range(256)),
        "text": b"junk\n",
        "deep.json": b"[" * 100_000,
        "deep.toml": b"a = " + b"[" * 100_000,
        "numbers.yaml": b"1: 2\nversion: 3\n",
        "number.yaml": b"1: 2\n",
        "date.yaml": b"environment: prod\nexpires: 2026-99-99\n",
        "turn.yaml": b"environment: &a {b: *a}\n",
        "list.yaml": b"- a\n",
        "tag.yaml": b"!!python/object/apply:os.system ['id']\n",
        "good.pem": key("alice").pem,
        "rsa.pem": rsa_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        "rsa.pub": rsa_key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        "envelope.json": dsse.sign(b"junk", "junk", [key("alice")]).encode(),
        "nul.toml": b'[components.a]\npath = "a\\u0000"\nsignature = "a\\u0000"\n',
        "mixed.toml": b'[components]\n[contract]\ninputs = [1, "a"]\n[serve]\n',
        "absent.toml": b'[components.a]\npath = "nowhere"\nsignature = "nowhere"\n',
        "short.toml": b"[components.a]\n",
        "flat.toml": b"components = 1\n",
        "trust.json": agreed(trust(), TRUST),
        "policy.json": agreed(policy(), POLICY),
        "root.json": plain.encode(trust().root),
        "trust.yaml": plain.encode(trust()),
    }.items():
        (folder / name).write_bytes(content)
    for name, content in {"checkpoint": b"junk\n", "tile/entries/000": b"junk"}.items():
        path = folder / "log" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (folder / "folder").mkdir()
    write_ceremony(folder / "ceremony", Ceremony(carried(trust(), policy()), None))
    World().feed(folder / "feed")
    (folder / "unreadable").write_bytes(b"")
    return folder


NOT_OK = (404, 500, 409, 302)
TAG, WHERE = "magika@1.0.0", "prod/magika"
WHO = ("--server", "http://127.0.0.1:1", "--as", "alice", "--key", "good.pem")
JUNK = (
    "empty", "binary", "text", "deep.json", "deep.toml", "numbers.yaml", "number.yaml", "date.yaml", "turn.yaml",
    "list.yaml", "tag.yaml", "good.pem", "rsa.pem", "rsa.pub", "envelope.json", "nul.toml", "mixed.toml",
    "absent.toml", "short.toml", "flat.toml",
)  # fmt: skip

FILE_TAKERS = {
    "sign --key": ("sign", "folder", "--key", "FILE", "--signature", "sig"),
    "sign --certificate": ("sign", "folder", "--key", "good.pem", "--certificate", "FILE", "--signature", "sig"),
    "verify": ("verify", "folder", "--signature", "FILE", "--public-key", "good.pem"),
    "verify --public-key": ("verify", "folder", "--signature", "envelope.json", "--public-key", "FILE"),
    "verify --root": ("verify", "folder", "--signature", "envelope.json", "--root", "FILE"),
    "verify --pinned": (
        "verify", "folder", "--signature", "text", "--trust", "feed", "--kind", "config", "--pinned", "FILE"
    ),
    "trust propose": ("trust", "propose", "FILE", "out"),
    "trust propose --policy": ("trust", "propose", "trust.yaml", "out", "--policy", "FILE"),
    "trust sign --key": ("trust", "sign", "ceremony", "--key", "FILE"),
    "policy propose": ("policy", "propose", "FILE", "out", *WHO),
    "policy check": ("policy", "check", "FILE"),
    "revoke": ("revoke", "FILE", "--reason", "lost", *WHO),
    "--key": ("release", "list", "--server", "http://127.0.0.1:1", "--as", "alice", "--key", "FILE"),
    "--key agent": ("release", "list", "--server", "http://127.0.0.1:1", "--as", "alice", "--key", "agent:FILE"),
    "release create": ("release", "create", "FILE", "--manifest-key", "good.pem", *WHO),
    "release create --manifest-key": ("release", "create", "absent.toml", "--manifest-key", "FILE", *WHO),
    "release import": ("release", "import", "FILE", *WHO),
    "attest provenance": (
        "attest", "provenance", TAG, "--signing-key", "good.pem", "--provenance", "FILE", "--digest", DIGEST, *WHO
    ),
    "attest result": (
        "attest", "result", TAG, "--signing-key", "good.pem", "--result", "FILE", "--digest", DIGEST, *WHO
    ),
    "attest file": ("attest", "file", TAG, "FILE", *WHO),
    "passport verify": (
        "passport", "verify", "FILE", "--endpoint", WHERE, "--trust", "trust.json", "--policy", "policy.json",
        "--root", "root.json",
    ),
    "passport verify --policy": (
        "passport", "verify", "text", "--endpoint", WHERE, "--trust", "trust.json", "--policy", "FILE",
        "--root", "root.json",
    ),
    "log verify --trust": ("log", "verify", "log", "--trust", "FILE", "--root", "root.json"),
    "log verify --root": ("log", "verify", "log", "--trust", "trust.json", "--root", "FILE"),
    "state": ("state", WHERE, "--log", "log", "--trust", "FILE", "--root", "FILE"),
}  # fmt: skip

WITHOUT_SERVER = (
    ("release", "list", *WHO), ("release", "show", TAG, *WHO), ("release", "diff", TAG, TAG, *WHO),
    ("release", "export", TAG, "--output", "out", *WHO), ("evidence", TAG, *WHO), ("trust", "show", *WHO),
    ("policy", "show", *WHO), ("change", "open", TAG, "--endpoint", WHERE, "--reason", "r", *WHO),
    ("resume", WHERE, "--release", TAG, "--reason", "r", *WHO), ("change", "list", *WHO), ("change", "show", "1", *WHO),
    ("change", "assess", "1", *WHO), ("change", "approve", "1", "--yes", *WHO), ("change", "reject", "1", *WHO),
    ("change", "withdraw", "1", *WHO), ("change", "activate", "1", *WHO), ("endpoint", "show", WHERE, *WHO),
    ("rollback", WHERE, *WHO), ("shutdown", WHERE, *WHO), ("log", "show", *WHO), ("log", "export", "out", *WHO),
    ("log", "prove", "0", "--output", "out", *WHO), ("log", "checkpoint", *WHO),
    ("passport", "export", WHERE, "--output", "out", *WHO),
)  # fmt: skip


def check(found):
    code, _, lines = found
    assert code in (2, *WORDS), found
    if code == 2:
        assert lines[-1].startswith("Error: "), found
    else:
        assert lines and all(line.startswith(WORDS[code]) for line in lines), found
    assert all(line.isprintable() for line in lines), found


def troubles(say, cases, *, may_succeed=False):
    """Say each of `cases`; tell of those that did not end as they should."""
    told = []
    for words in cases:
        try:
            found = say(*words)
            if found[0] or not may_succeed:
                check(found)
            assert "\x1b" not in found[1]
        except (Exception, HangsError) as e:  # noqa: BLE001 - every traceback is told, not only the first
            told.append(f"{' '.join(words)}: {type(e).__name__}: {e}"[:400])
    return "\n".join(told)


@pytest.mark.parametrize("name", FILE_TAKERS)
def test_a_junk_file_is_named_and_refused(say, here, name):
    cases = [[word.replace("FILE", junk) for word in FILE_TAKERS[name]] for junk in JUNK]
    assert not troubles(say, cases, may_succeed=True)  # what is junk for one command is a key for another


@pytest.mark.parametrize("words", WITHOUT_SERVER, ids=" ".join)
def test_without_a_server_every_command_says_so(say, here, words):
    code, _, lines = say(*words)
    assert code == 6, lines
    assert len(lines) == 1
    assert "is the server up?" in lines[0]


BAD_OUTPUTS = ("", "/", "text/x", "folder", "nowhere/x", "x" * 300)
WRITERS = {
    "key create": ("key", "create", "OUT"),
    "sign": ("sign", "folder", "--key", "good.pem", "--signature", "OUT"),
    "trust propose": ("trust", "propose", "trust.yaml", "OUT"),
    "release export": ("release", "export", TAG, "--output", "OUT", *WHO),
    "log export": ("log", "export", "OUT/x", *WHO),
    "log prove": ("log", "prove", "0", "--output", "OUT", *WHO),
    "passport export": ("passport", "export", WHERE, "--output", "OUT", *WHO),
    "init": ("init", "--environment", "prod", "--home", "OUT/x"),
    "signer": ("signer", "--origin", "x.example", "--home", "OUT/x"),
    "up": ("up", "--home", "OUT"),
    "run": ("run", "--endpoint", WHERE, "--home", "OUT"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_place_that_cannot_be_is_named_and_refused(say, here, rogue, name, monkeypatch):
    monkeypatch.setattr("lockgate.loader.namespace.enter_private_mounts", lambda: None)
    places = [
        place for place in BAD_OUTPUTS if name not in ("init", "signer") or place not in ("", "/")
    ]  # it would be made there
    cases = [[word.replace("OUT", place).replace(WHO[1], rogue.url) for word in WRITERS[name]] for place in places]
    assert not troubles(say, cases, may_succeed=name in ("init", "signer", "key create", "trust propose"))
    assert not [path for path in here.iterdir() if path.name.startswith(".")], "a draft was left behind"


ANSWERS = {
    "nothing": b"", "an object": b"{}", "a list": b"[]", "null": b"null", "binary": bytes(range(256)),
    "numbers": b'{"items":[1],"first":{},"token":1,"release":1,"slots":[{}],"policy":1,"content":1,"checkpoint":1}',
    "empty rows": b'{"items":[{}],"slots":[{"release":1}],"policy":{},"trust":{},"environment":1,"evidence":[1]}',
    "words": b'{"items":["junk","{}","[]"],"evidence":1,"reasons":"no","state":{},"content":{}}',
    "a note": b"origin\n99999999999999\nAAAA\n\nx\n",
    "escapes": b'{"title":"\\u001b]0;owned\\u0007\\nok"}',
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "status"),
    [*((kind, 200) for kind in ANSWERS), *((kind, status) for kind in ("words", "escapes") for status in NOT_OK)],
)
def test_a_server_that_talks_junk_is_not_believed(say, here, rogue, kind, status):
    rogue.status, rogue.content = status, ANSWERS[kind]
    asked = (*WITHOUT_SERVER, ("trust", "adopt", "envelope.json", *WHO), ("attest", "file", TAG, "text", *WHO))
    cases = [[word.replace(WHO[1], rogue.url) for word in words] for words in asked[:: 1 if status == 200 else 6]]
    assert not troubles(say, cases, may_succeed=status == 200)


@pytest.mark.parametrize("token", ["a\nb", "", "é", "x" * 100_000, "\u2028"])
def test_a_token_that_is_no_header_is_refused(say, here, rogue, token):
    rogue.token = token
    check(say("release", "list", "--server", rogue.url, "--as", "alice", "--key", "good.pem"))


@pytest.mark.parametrize(
    "server",
    ["", "junk", "ftp://x", "http://", "http://[::1", "http://a b", "http://x:99999", "http://é\n", "//"],
)
def test_a_server_that_is_no_address_is_unavailable(say, here, server):
    check(say("release", "list", "--server", server, "--as", "alice", "--key", "good.pem"))


def zipped(change=lambda data: data, **members):
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as bundle:
        for name, (content, how) in members.items():
            bundle.writestr(name.replace("_", "."), content, how, compresslevel=1)
    return change(held.getvalue())


STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
EMPTY = {"passport_json": (b"{}", STORED)}
SMALL = {"passport_json": (b"{}" * 90, DEFLATED)}
ZIPS = {
    "no passport": zipped(other=(b"x", STORED)),
    "a passport that is none": zipped(**EMPTY),
    "encrypted": zipped(lambda z: z.replace(b"PK\1\2\x14\3\x14\0\0", b"PK\1\2\x14\3\x14\0\1"), **EMPTY),
    "unknown compression": zipped(lambda z: z.replace(b"\x14\0\0\0\x08\0", b"\x14\0\0\0\x63\0"), **SMALL),
    "broken compression": zipped(lambda z: z[:43] + b"\xff" * 5 + z[48:], **SMALL),
    "a name that is not UTF-8": zipped(lambda z: z.replace("é".encode(), b"\xff\xff"), **EMPTY, é=(b"", STORED)),
    "cut off": zipped(lambda z: z[:-10], **EMPTY),
    "an offset out of the file": zipped(lambda z: z[:-6] + b"\xff\xff\xff\x7f" + z[-2:], **EMPTY),
}


@pytest.mark.parametrize("kind", ZIPS)
def test_a_bundle_that_is_no_whole_zip_is_not_verified(say, here, kind):
    (here / "bundle").write_bytes(ZIPS[kind])
    found = say("release", "import", "bundle", *WHO)
    assert found[0] == 4, found
    check(found)


def test_a_passport_that_is_compressed_is_refused_before_it_is_unpacked(say, here):
    bomb = zipped(passport_json=(b"{}" + b" " * (100 << 20), DEFLATED))
    said = (100 << 20) + 2
    (here / "bundle").write_bytes(bomb.replace(said.to_bytes(4, "little"), (100).to_bytes(4, "little")))
    tracemalloc.start()
    found = say("release", "import", "bundle", *WHO)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found[0] == 4
    check(found)
    assert most < 50 << 20


def test_an_export_that_is_none_is_refused(say, here):
    for content in (b"junk\n", b"", b"o\n1\n\n", b"o\n-1\n", b"o\n999999999999\n"):
        (here / "log" / "checkpoint").write_bytes(content)
        check(say("compliance", "--log", "log"))
    (here / "log" / "checkpoint").unlink()
    check(say("compliance", "--log", "log"))


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "junk", "2026-01-01", ""])
def test_an_instant_that_is_none_is_refused(say, here, at):
    for more in ((), ("--json",)):
        found = say("state", WHERE, "--at", at, "--log", "log", "--trust", "trust.json", "--root", "root.json", *more)
        assert found[0] in (2, 4, 6)


HOSTS = {
    "host.toml": (b"", b"\xff", b"a = " + b"[" * 100_000, b"node = 1", b'node = "h"\nserver = 1', None),
    "root.json": (b"", b"{}", None),
    "feed/timestamp.json": (b"", b"{}", b"\xff", None),
    "feed/1.root.json": (b"", None),
    "updates": (b"",),
    "updates/deny.json": (b"", b"{}", None),
    "keys/node.pem": (b"", b"junk", None),
    "seen.json": (b"", b"{}", b'{"policy":1,"root":"x","size":1,"trust":1}', None),
}


@pytest.mark.parametrize("name", HOSTS)
def test_a_serving_host_with_junk_at_home_does_not_start(say, here, name, monkeypatch):
    monkeypatch.setattr("lockgate.loader.namespace.enter_private_mounts", lambda: None)
    for content in HOSTS[name]:
        home = here / "home"
        host_home(home, updates=shutil.copytree(here / "feed", home / "feed"))
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).unlink(missing_ok=True)
        if content is None:
            (home / name).mkdir()
        else:
            (home / name).write_bytes(content)
        found = say("run", "--home", home, "--endpoint", WHERE)
        assert found[0] in (4, 6), found
        assert not any("is the server up?" in line for line in found[2]), found
        check(found)
        shutil.rmtree(home)


def test_an_error_is_one_json_object_where_json_was_asked_for(say, here):
    for words in (
        ("release", "list", *WHO), ("release", "show", "junk", *WHO), ("policy", "check", "nowhere"),
        ("policy", "check", "text"), ("no-such-command",),
    ):  # fmt: skip
        code, out, lines = say(*words, "--json")
        assert lines == [], words
        said = json.loads(out)
        assert said["exit"] == code
        assert said["reasons"] and said["error"]


def test_a_key_is_never_overwritten(say, here):
    assert say("key", "create", "new")[0] == 0
    before = (here / "new").read_bytes(), (here / "new.pub").read_bytes()
    (here / "other.pub").write_bytes(b"somebody's")
    for words in (("new",), ("a", "a"), ("other",), ("b", "b.pub"), ("./c", "c")):
        assert say("key", "create", *words)[0] == 5, words
    assert before == ((here / "new").read_bytes(), (here / "new.pub").read_bytes())
    assert (here / "other.pub").read_bytes() == b"somebody's"
    assert not (here / "a").exists()


def test_a_folder_that_was_there_keeps_its_mode(say, here):
    (here / "folder").chmod(0o755)
    say("init", "--home", "folder", "--environment", "prod")
    assert (here / "folder").stat().st_mode & 0o777 == 0o755
    assert (here / "folder" / "keys").stat().st_mode & 0o777 == 0o700


def test_every_command_refuses_an_option_that_it_does_not_have(say, here):
    for command in COMMANDS:
        check(say(command, "--no-such-option"))
