"""Do keys never leave a real token (SoftHSM), and is a token that is lost or locked a closed one?"""

import shutil
import subprocess

import pytest

from lockgate.core.wrap import Kek, Wrap
from lockgate.errors import DeniedError, UnavailableError, VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name
from tests.contracts.vaults import open_token, soft_token

BLOB, KEK = Digest.of(b"blob"), Kek.of_release(Digest.of(b"release"))
KEY = bytes(range(32))


@pytest.fixture
def uri(tmp_path):
    return soft_token(tmp_path)


@pytest.fixture
def vault(uri):
    return open_token(uri)


def objects(vault, **wanted):
    import pkcs11

    with vault._use() as session:
        return [
            {pkcs11.Attribute.LABEL: found.label} | {name: found[pkcs11.Attribute[name]] for name in wanted}
            for found in session.get_objects({pkcs11.Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY})
        ]


def test_the_key_is_made_in_the_token_and_cannot_be_taken_out(vault):
    import pkcs11

    vault.wrap(KEK, BLOB, KEY)

    with vault._use() as session:
        (key,) = session.get_objects({pkcs11.Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY})
        said = [key[pkcs11.Attribute[name]] for name in ("LOCAL", "SENSITIVE", "ALWAYS_SENSITIVE", "NEVER_EXTRACTABLE")]
        assert said == [True] * 4
        assert not key[pkcs11.Attribute.EXTRACTABLE]
        assert (key.label, key.key_length) == (f"lockgate/prod/{KEK}", 256)
        with pytest.raises(pkcs11.AttributeSensitive):
            key[pkcs11.Attribute.VALUE]


def test_a_destroyed_key_is_gone_from_the_token_itself(vault, tmp_path):
    import pkcs11

    wrap = vault.wrap(KEK, BLOB, KEY)
    with vault._use() as session:
        (held,) = session.get_objects({pkcs11.Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY})
    vault.destroy(KEK)

    assert objects(vault) == []
    with pytest.raises(pkcs11.ObjectHandleInvalid):
        held.decrypt(wrap.wrapped[12:], mechanism=pkcs11.Mechanism.AES_GCM, mechanism_param=gcm(wrap))
    left = [path.name for path in (tmp_path / "tokens").glob("*/*.object")]
    assert len(left) == 2 and "token.object" in left  # the token itself, and the tombstone


def gcm(wrap):
    from pkcs11.mechanisms import GCMParams

    return GCMParams(wrap.wrapped[:12], b"", 128)


def test_a_key_that_two_servers_made_at_once_opens_the_wraps_of_both(uri, vault):
    wraps = [vault.wrap(KEK, BLOB, KEY)]
    with vault._use():
        second = vault._make(KEK)
        from lockgate.core.wrap import binding
        from lockgate.drivers.pkcs11_vault import _encrypt

        wraps.append(Wrap(KEK, _encrypt(second, KEY, binding(KEK, BLOB))))

    assert [vault.unwrap(wrap, BLOB) for wrap in wraps] == [KEY] * 2
    vault.destroy(KEK)
    assert objects(vault) == []


def test_the_token_says_what_it_is(vault):
    assert vault.assurance.startswith("PKCS#11 token 'vault' (SoftHSM project SoftHSM v2): keys are made in it")


def test_environments_in_one_token_do_not_share_keys(uri, vault):
    wrap = vault.wrap(KEK, BLOB, KEY)
    staging = open_token(uri, Name("staging"))

    with pytest.raises(UnavailableError, match="has no key"):
        staging.unwrap(wrap, BLOB)
    staging.destroy(KEK)
    assert open_token(uri).unwrap(wrap, BLOB) == KEY


def test_what_names_an_object_is_no_vault(uri):
    from dataclasses import replace

    with pytest.raises(VerificationError, match="names no object"):
        open_token(replace(uri, label="signer"))


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        ({"token": "other"}, "NoSuchToken"),
        ({"pin_source": "/nowhere"}, "FileNotFoundError"),
        ({"serial": "00"}, "NoSuchToken"),
    ],
)
def test_a_token_that_cannot_be_opened_is_unavailable(uri, spoilt, reason):
    from dataclasses import replace

    with pytest.raises(UnavailableError, match=reason):
        open_token(replace(uri, **spoilt))


def test_a_wrong_pin_is_unavailable_and_is_not_said(uri, tmp_path):
    (tmp_path / "pin").write_text("00000000")

    with pytest.raises(UnavailableError, match="PinIncorrect") as found:
        open_token(uri)
    assert "00000000" not in str(found.value)


def test_a_module_that_is_not_there_is_unavailable(uri):
    from dataclasses import replace

    from lockgate.drivers.pkcs11_vault import Pkcs11Vault

    with pytest.raises(UnavailableError, match="does not answer"):
        Pkcs11Vault(replace(uri, module_path="/nowhere.so"), Name("prod"))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # python-pkcs11 tidies up after itself
def test_a_lost_session_is_opened_again(vault):
    wrap = vault.wrap(KEK, BLOB, KEY)
    vault._session.close()

    with pytest.raises(UnavailableError):
        vault.unwrap(wrap, BLOB)
    assert vault.unwrap(wrap, BLOB) == KEY


def test_somebody_else_in_the_process_who_logs_out_hides_no_key_for_long(vault, uri):
    import pkcs11

    wrap = vault.wrap(KEK, BLOB, KEY)
    vault._close()
    token = pkcs11.lib(uri.module_path).get_token(token_label="vault")
    other = token.open(user_pin="87654321")
    assert vault.unwrap(wrap, BLOB) == KEY  # on the login of the other

    other.close()
    assert vault.unwrap(wrap, BLOB) == KEY
    vault.destroy(KEK)
    token.open().close()
    with pytest.raises(DeniedError):
        vault.unwrap(wrap, BLOB)


def test_a_token_that_was_put_back_from_a_backup_is_seen_by_its_tombstone_alone(vault, uri, tmp_path):
    """What a backup of the token brings back is the token's affair; the assurance says so."""
    wrap = vault.wrap(KEK, BLOB, KEY)
    vault._close()
    shutil.copytree(tmp_path / "tokens", tmp_path / "backup")
    vault.destroy(KEK)
    with pytest.raises(DeniedError):
        vault.unwrap(wrap, BLOB)
    vault._close()
    shutil.rmtree(tmp_path / "tokens")
    (tmp_path / "backup").rename(tmp_path / "tokens")

    assert "backups" in vault.assurance
    assert open_token(uri).unwrap(wrap, BLOB) == KEY


def test_the_pin_is_in_no_argument_of_any_process(vault):
    lines = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout

    assert "87654321" not in lines
