"""Does every vault give a data key back to the release and the file it was wrapped for, until it is destroyed?"""

import threading
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lockgate.app.ports import Vault
from lockgate.core.wrap import Kek, Wrap
from lockgate.drivers.local_vault import LocalVault
from lockgate.drivers.memory import MemoryVault
from lockgate.errors import DeniedError, UnavailableError, VerificationError
from lockgate.formats.digest import Digest
from tests.contracts.vaults import make_vault

A, B = Digest.of(b"release a"), Digest.of(b"release b")
BLOB, OTHER = Digest.of(b"blob"), Digest.of(b"other")
RELEASE, SECOND, INGEST = Kek.of_release(A), Kek.of_release(B), Kek("ingest-2026-11-21")
KEY = bytes(range(32))


def fills_the_port(driver: MemoryVault | LocalVault) -> Vault:
    """Show the type checker which port the drivers fill."""
    return driver


def tokens_fill_the_port():
    """Show the same of a driver that may not be installed."""
    from lockgate.drivers.pkcs11_vault import Pkcs11Vault

    def fills(driver: Pkcs11Vault) -> Vault:
        return driver

    return fills


@pytest.fixture(params=["memory", "local vault", pytest.param("token", marks=pytest.mark.live)])
def both(request, tmp_path):
    """Give an empty vault and a function that opens it again."""
    return make_vault(request.param, tmp_path)


@pytest.fixture
def vault(both):
    return both[0]


def test_a_data_key_comes_back(vault):
    for kek in (RELEASE, SECOND, INGEST):
        assert vault.unwrap(vault.wrap(kek, BLOB, KEY), BLOB) == KEY


def test_a_wrap_is_made_anew_each_time_and_does_not_show_the_key(vault):
    one, two = vault.wrap(RELEASE, BLOB, KEY), vault.wrap(RELEASE, BLOB, KEY)

    assert one.kek == RELEASE and one != two
    assert KEY not in one.wrapped
    assert vault.unwrap(one, BLOB) == vault.unwrap(two, BLOB) == KEY


@pytest.mark.parametrize(
    ("spoilt", "blob"),
    [
        ({"kek": SECOND}, BLOB),
        ({"kek": INGEST}, BLOB),
        ({}, OTHER),
        ({"wrapped": b""}, BLOB),
        ({"wrapped": bytes(12)}, BLOB),
        ({"wrapped": bytes(27)}, BLOB),
        ({"wrapped": bytes(28)}, BLOB),
        ({"wrapped": bytes(60)}, BLOB),
    ],
)
def test_a_wrap_of_another_release_or_for_another_file_opens_nothing(vault, spoilt, blob):
    wrap = vault.wrap(RELEASE, BLOB, KEY)
    vault.wrap(SECOND, BLOB, KEY)
    vault.wrap(INGEST, BLOB, KEY)

    with pytest.raises(VerificationError, match=r"is not of .* for this blob"):
        vault.unwrap(replace(wrap, **spoilt), blob)
    assert vault.unwrap(wrap, BLOB) == KEY


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_no_byte_of_a_wrap_can_be_changed_dropped_or_added(vault, data):
    wrap = vault.wrap(RELEASE, BLOB, KEY)
    wrapped = bytearray(wrap.wrapped)
    at = data.draw(st.integers(0, len(wrapped) - 1))
    match data.draw(st.sampled_from(["change", "drop", "add"])):
        case "change":
            wrapped[at] ^= data.draw(st.integers(1, 255))
        case "drop":
            del wrapped[at]
        case _:
            wrapped.insert(at, data.draw(st.integers(0, 255)))

    if bytes(wrapped) != wrap.wrapped:
        with pytest.raises(VerificationError):
            vault.unwrap(Wrap(RELEASE, bytes(wrapped)), BLOB)


def test_a_key_that_never_was_opens_nothing_and_is_not_made(vault):
    wrap = replace(vault.wrap(RELEASE, BLOB, KEY), kek=SECOND)

    for _ in range(2):
        with pytest.raises(UnavailableError, match=f"has no key {SECOND}"):
            vault.unwrap(wrap, BLOB)


def test_destroying_a_key_takes_its_wraps_and_no_others(vault):
    ours, theirs = vault.wrap(RELEASE, BLOB, KEY), vault.wrap(SECOND, BLOB, KEY)

    vault.destroy(RELEASE)

    with pytest.raises(DeniedError, match=f"the key {RELEASE} was destroyed"):
        vault.unwrap(ours, BLOB)
    assert vault.unwrap(theirs, BLOB) == KEY


def test_a_key_that_was_destroyed_is_never_made_again(both):
    vault, again = both
    vault.wrap(RELEASE, BLOB, KEY)
    vault.destroy(RELEASE)
    vault.destroy(RELEASE)
    vault.destroy(SECOND)

    for open_vault in (lambda: vault, again):
        opened = open_vault()
        for kek in (RELEASE, SECOND):
            with pytest.raises(DeniedError, match="was destroyed"):
                opened.wrap(kek, BLOB, KEY)


def test_another_process_opens_what_this_one_wrapped(both):
    vault, again = both
    wrap = vault.wrap(RELEASE, BLOB, KEY)

    assert again().unwrap(wrap, BLOB) == KEY


def test_many_who_need_a_key_at_once_all_get_the_same(vault):
    wraps: list[Wrap] = []
    start = threading.Barrier(6)

    def wrap():
        start.wait()
        wraps.append(vault.wrap(RELEASE, BLOB, KEY))

    threads = [threading.Thread(target=wrap) for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert [vault.unwrap(found, BLOB) for found in wraps] == [KEY] * 6


def test_every_vault_says_how_well_it_keeps_its_keys(vault):
    assert ":" in vault.assurance and len(vault.assurance) > 20
