import os
import stat

import pytest

from lockgate.drivers.local_vault import LocalVault
from lockgate.errors import ConflictError, UnavailableError, VerificationError
from lockgate.formats.keys import PrivateKey
from lockgate.formats.names import Name
from lockgate.formats.pkcs11_uri import Pkcs11Uri
from lockgate.loader.tls import listening
from lockgate.settings import settings
from lockgate.wiring import KEYS, _vault, create

PROD = Name("prod")


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_an_installation_is_made_private_and_its_keys_work(tmp_path):
    home = tmp_path / "home"

    public = create(home, PROD)

    assert [mode(home / name) for name in (".", "keys", "blobs")] == [0o700] * 3
    assert {mode(path) for path in (home / "keys").iterdir()} == {0o600}
    assert sorted(path.name for path in (home / "keys").iterdir()) == sorted(
        [*(f"{n}.pem" for n in (*KEYS, "checkpoint")), "session"]
    )
    assert mode(home / "anchor.json") == 0o600
    assert len({str(key) for key in public.values()}) == 5
    for name, key in public.items():
        assert key.algorithm == "ed25519"
        assert PrivateKey.from_pem((home / "keys" / f"{name}.pem").read_bytes()).public == key


def test_making_it_again_changes_nothing(tmp_path):
    first = create(tmp_path, PROD, "log.example/prod")
    session = (tmp_path / "keys" / "session").read_bytes()
    (tmp_path / "keys" / "lease.pem").unlink()

    again = create(tmp_path, PROD)

    assert (tmp_path / "keys" / "session").read_bytes() == session
    assert settings(tmp_path, {}).origin == "log.example/prod"
    assert [name for name in KEYS if first[name] != again[name]] == ["lease"]


def test_a_signer_that_lives_elsewhere_keeps_its_key_there(tmp_path):
    public = create(tmp_path, PROD, signer=tmp_path / "signer.sock")

    assert sorted(public) == sorted(KEYS)
    assert settings(tmp_path, {}).signer == tmp_path / "signer.sock"
    assert not (tmp_path / "anchor.json").exists() and not (tmp_path / "keys" / "checkpoint.pem").exists()


def test_an_installation_whose_signer_has_forgotten_is_not_made_whole_by_making_it_again(tmp_path):
    create(tmp_path, PROD)
    (tmp_path / "anchor.json").unlink()

    with pytest.raises(UnavailableError, match="has forgotten what it signed"):
        create(tmp_path, PROD)


def test_a_home_is_of_one_environment(tmp_path):
    create(tmp_path, PROD)

    with pytest.raises(ConflictError, match="is prod"):
        create(tmp_path, Name("dev"))


@pytest.mark.parametrize("origin", ["two words", "a+b", "a\nb", 'a"\n[x]\ny="'])
def test_an_origin_that_could_not_sign_is_refused(tmp_path, origin):
    with pytest.raises(VerificationError):
        create(tmp_path, PROD, origin)


def test_settings_come_from_the_file_and_then_from_the_environment(tmp_path):
    create(tmp_path, PROD)
    with (tmp_path / "lockgate.toml").open("a") as file:
        file.write(
            'listen = "127.0.0.1:9000"\nhosts = ["gate.example"]\nblob_limit = 5\ndatabase_url = "of the file"\n'
        )

    chosen = settings(
        tmp_path, {"LOCKGATE_LISTEN": "[::1]:9001", "LOCKGATE_HOSTS": "a.example, b.example", "HOME": "x"}
    )

    assert (chosen.listen, chosen.hosts, chosen.blob_limit) == ("[::1]:9001", ("a.example", "b.example"), 5)
    assert settings(tmp_path, {}).hosts == ("gate.example",)
    assert settings(tmp_path, {"LOCKGATE_BLOB_LIMIT": "7"}).blob_limit == 7
    assert "of the file" not in repr(chosen)
    assert repr(chosen.session_key) not in repr(chosen)


def test_keys_of_the_store_lie_in_files_or_in_the_token_that_was_named(tmp_path):
    create(tmp_path, PROD)
    assert settings(tmp_path, {}).vault is None
    assert isinstance(_vault(settings(tmp_path, {})), LocalVault)
    assert mode(tmp_path / "keys" / "vault") == 0o700

    named = settings(tmp_path, {"LOCKGATE_VAULT": "pkcs11:token=prod;module-path=/nowhere.so"})
    assert named.vault == Pkcs11Uri("prod", "/nowhere.so")
    with pytest.raises(UnavailableError, match=r"the token 'prod' does not answer|needs: pip install"):
        _vault(named)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('surprise = "x"', "unknown setting 'surprise'"),
        ("listen = 5", "listen is not text"),
        ("blob_limit = -1", "blob_limit is a number"),
        ('blob_limit = "all"', "blob_limit is a number"),
        ("updates_seconds = 9", "updates stay fresh for"),
        ("updates_seconds = 99999999999999", "updates stay fresh for"),
        ("updates_seconds = 2592001", "updates stay fresh for"),
        ("database_url = 5", "database_url is not text"),
        ("vault = 5", "vault is not text"),
        ('vault = "/dev/tpm0"', "not a PKCS#11 URI"),
        ('vault = "pkcs11:token=t?module-path=/m.so&pin-value=1234"', "holds a PIN"),
        ("notify = 5", "notify is a list of URLs"),
        ("notify = [5]", "notify is a list of URLs"),
        ("notify_file = 5", "notify_file is not text"),
        ('notify = ["a://b"]\nnotify_file = "x"', "use one of them"),
        ("hosts = 5", "hosts"),
        ("hosts = [5]", "hosts"),
        ("x =", "Invalid value"),
    ],
)
def test_settings_that_make_no_sense_are_refused(tmp_path, line, complaint):
    create(tmp_path, PROD)
    with (tmp_path / "lockgate.toml").open("a") as file:
        file.write(line + "\n")

    with pytest.raises(VerificationError, match=complaint):
        settings(tmp_path, {})


def test_there_is_no_installation_without_being_made(tmp_path):
    with pytest.raises(UnavailableError, match="no installation"):
        settings(tmp_path, {})


def test_a_session_key_that_was_cut_short_is_refused(tmp_path):
    create(tmp_path, PROD)
    os.truncate(tmp_path / "keys" / "session", 31)

    with pytest.raises(VerificationError, match="31 bytes"):
        settings(tmp_path, {})


@pytest.mark.parametrize("listen", ["127.0.0.1:8420", "localhost:1", "[::1]:65535", "127.9.9.9:80"])
def test_the_server_listens_where_only_this_machine_can_reach_it(listen):
    host, port = listening(listen, secured=False)

    assert f"{host}:{port}" == listen.replace("[", "").replace("]", "")


@pytest.mark.parametrize(
    "listen", ["0.0.0.0:8420", "[::]:8420", "10.0.0.1:80", "[::ffff:127.0.0.1]:80", "192.168.0.1:80"]
)
def test_and_nowhere_else_without_tls(listen):
    with pytest.raises(VerificationError, match="there is no TLS"):
        listening(listen, secured=False)

    assert listening(listen, secured=True)


@pytest.mark.parametrize(
    "listen", ["", "127.0.0.1", "127.0.0.1:", ":8420", "127.0.0.1:0", "127.0.0.1:65536", "x:80", "a:b"]
)
def test_what_is_no_address_is_refused(listen):
    for secured in (False, True):
        with pytest.raises(VerificationError):
            listening(listen, secured=secured)


def test_who_is_told_is_a_secret(tmp_path):
    create(tmp_path, PROD)
    with (tmp_path / "lockgate.toml").open("a") as file:
        file.write('notify = ["json://u:hunter2@a.example"]\n')

    assert settings(tmp_path, {}).notify == ("json://u:hunter2@a.example",)
    assert settings(tmp_path, {"LOCKGATE_NOTIFY": "json://b json://c?to=1,2"}).notify == ("json://b", "json://c?to=1,2")
    assert "hunter2" not in repr(settings(tmp_path, {}))
    (tmp_path / "lockgate.toml").chmod(0o644)
    with pytest.raises(VerificationError, match=r"others may read .*lockgate.toml"):
        settings(tmp_path, {})
