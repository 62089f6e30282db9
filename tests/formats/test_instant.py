from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.errors import VerificationError
from lockgate.formats.instant import parse_instant, write_instant

zones = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
instants = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=zones | st.just(UTC))  # noqa: DTZ001


@given(instants)
def test_instant_survives_its_text(at):
    assert parse_instant(write_instant(at)) == at
    assert parse_instant(write_instant(at)).tzinfo == UTC
    assert write_instant(parse_instant(write_instant(at))) == write_instant(at)


@given(instants, instants)
def test_texts_sort_as_instants_do(one, other):
    assert (write_instant(one) < write_instant(other)) == (one < other)


def test_instant_is_written_in_utc_with_microseconds():
    at = datetime(2026, 11, 21, 23, 11, 52, tzinfo=timezone(timedelta(hours=1)))

    assert write_instant(at) == "2026-11-21T22:11:52.000000Z"
    assert write_instant(datetime(999, 1, 1, tzinfo=UTC)) == "0999-01-01T00:00:00.000000Z"


def test_instant_without_a_zone_is_our_bug():
    with pytest.raises(AssertionError, match="without a zone"):
        write_instant(datetime(2026, 1, 1))  # noqa: DTZ001


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-21",
        "2026-11-21T22:11:52Z",
        "2026-11-21T22:11:52.000Z",
        "2026-11-21T22:11:52.0000000Z",
        "2026-11-21T22:11:52,000000Z",
        "2026-11-21T22:11:52.000000",
        "2026-11-21T22:11:52.000000z",
        "2026-11-21t22:11:52.000000Z",
        "2026-11-21 22:11:52.000000Z",
        "2026-11-21T22:11:52.000000+00:00",
        "2026-11-21T22:11:52.000000Z\n",
        " 2026-11-21T22:11:52.000000Z",
        "20261121T221152.000000Z",
        "2026-W47-6T22:11:52.000000Z",
        "26-11-21T22:11:52.000000Z",
        "02026-11-21T22:11:52.000000Z",
        "2026-13-21T22:11:52.000000Z",
        "2026-00-21T22:11:52.000000Z",
        "2026-02-29T22:11:52.000000Z",
        "2026-11-31T22:11:52.000000Z",
        "0000-11-21T22:11:52.000000Z",
        "2026-11-21T24:00:00.000000Z",
        "2026-11-21T22:60:52.000000Z",
        "2026-11-21T22:11:60.000000Z",
        "٢٠٢٦-11-21T22:11:52.000000Z",
        "2026-11-21T22:11:52.00000٣Z",
        "1763763112",
    ],
)
def test_near_miss_of_an_instant_is_refused(text):
    with pytest.raises(VerificationError, match="instant"):
        parse_instant(text)


def test_leap_day_exists_in_leap_years():
    assert parse_instant("2028-02-29T00:00:00.000000Z") == datetime(2028, 2, 29, tzinfo=UTC)
