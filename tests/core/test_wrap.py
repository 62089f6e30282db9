"""Does a label name one key, and does a wrap say which key and which file it is for?"""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from lockgate.core.wrap import Kek, binding
from lockgate.errors import VerificationError
from lockgate.formats.digest import Digest

A, B = Digest.of(b"a"), Digest.of(b"b")


def test_a_release_has_one_key_and_a_day_of_ingest_another():
    evening = datetime(2026, 11, 21, 23, 30, tzinfo=timezone(timedelta(hours=-2)))

    assert str(Kek.of_release(A)) == f"release-{A.hex}"
    assert str(Kek.of_ingest(evening)) == "ingest-2026-11-22"
    assert Kek.of_ingest(evening) == Kek.of_ingest(evening.astimezone(UTC)) == Kek("ingest-2026-11-22")


@pytest.mark.parametrize(
    "label",
    [
        "",
        "ingest",
        "ingest-",
        "ingest-2026-11-31",
        "ingest-20261121",
        "ingest-2026-11-21T00:00",
        "release-",
        f"release-{A.hex[1:]}",
        f"release-{A}",
        f"Release-{A.hex}",
        f"release-{A.hex}/..",
        "../keys",
        A.hex,
    ],
)
def test_what_is_no_label_is_refused(label):
    with pytest.raises(VerificationError):
        Kek(label)


def test_every_key_and_every_file_has_a_binding_of_its_own():
    keks = [Kek.of_release(A), Kek.of_release(B), Kek("ingest-2026-11-21"), Kek("ingest-2026-11-22")]

    assert len({binding(kek, blob) for kek in keks for blob in (A, B)}) == 8
    assert binding(keks[2], A) == f"lockgate wrap/v1 ingest-2026-11-21 {A}".encode()
