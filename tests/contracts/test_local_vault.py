"""Do the key files lie where nobody else reads them, and is a damaged vault a closed one?"""

import os
import stat
import subprocess
import sys

import pytest

from lockgate.core.wrap import Kek
from lockgate.drivers.local_vault import LocalVault
from lockgate.errors import DeniedError, UnavailableError, VerificationError
from lockgate.formats.digest import Digest

BLOB, KEK = Digest.of(b"blob"), Kek.of_release(Digest.of(b"release"))
KEY = bytes(range(32))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "keys" / "vault"


@pytest.fixture
def vault(folder):
    return LocalVault(folder)


def test_keys_are_files_for_their_owner_alone(vault, folder):
    vault.wrap(KEK, BLOB, KEY)

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {
        KEK.label: 0o600,
        "lock": 0o600,
    }
    assert len((folder / KEK.label).read_bytes()) == 32


def test_a_key_that_is_destroyed_leaves_its_tombstone_and_nothing_else(vault, folder):
    vault.wrap(KEK, BLOB, KEY)
    secret = (folder / KEK.label).read_bytes()
    with (folder / KEK.label).open("rb") as held:
        vault.destroy(KEK)

        assert held.read() != secret  # overwritten, not only unlinked
    assert sorted(path.name for path in folder.iterdir()) == ["lock", f"{KEK.label}.gone"]


KILLED = """
import os, signal, sys
from pathlib import Path
from lockgate.core.wrap import Kek
from lockgate.drivers import local_vault
write = local_vault._write
def killing(path, content, flags):
    if len(content) == 32:
        os.kill(os.getpid(), signal.SIGKILL)
    write(path, content, flags)
local_vault._write = killing
local_vault.LocalVault(Path(sys.argv[1])).destroy(Kek(sys.argv[2]))
"""


def test_a_key_is_destroyed_for_everybody_before_its_file_is_touched(vault, folder):
    wrap = vault.wrap(KEK, BLOB, KEY)

    done = subprocess.run([sys.executable, "-c", KILLED, str(folder), KEK.label], check=False)

    assert done.returncode < 0 and (folder / KEK.label).exists()
    with pytest.raises(DeniedError):
        vault.unwrap(wrap, BLOB)
    vault.destroy(KEK)
    assert not (folder / KEK.label).exists()


@pytest.mark.parametrize("content", [b"", bytes(31), bytes(33)])
def test_a_key_of_another_length_is_none(vault, folder, content):
    wrap = vault.wrap(KEK, BLOB, KEY)
    (folder / KEK.label).write_bytes(content)

    for act in (lambda: vault.unwrap(wrap, BLOB), lambda: vault.wrap(KEK, BLOB, KEY)):
        with pytest.raises(UnavailableError, match=f"has {len(content)} bytes, not 32"):
            act()


def test_another_key_in_its_place_opens_nothing(vault, folder):
    wrap = vault.wrap(KEK, BLOB, KEY)
    (folder / KEK.label).write_bytes(os.urandom(32))

    with pytest.raises(VerificationError):
        vault.unwrap(wrap, BLOB)


def test_a_link_is_no_key(vault, folder, tmp_path):
    wrap = vault.wrap(KEK, BLOB, KEY)
    (folder / KEK.label).rename(tmp_path / "elsewhere")
    (folder / KEK.label).symlink_to(tmp_path / "elsewhere")

    with pytest.raises(UnavailableError, match="cannot be used"):
        vault.unwrap(wrap, BLOB)


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path):
    (tmp_path / "keys").write_bytes(b"in the way")

    with pytest.raises(UnavailableError, match="cannot be used"):
        LocalVault(tmp_path / "keys" / "vault")
