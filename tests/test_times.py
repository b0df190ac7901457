"""The wall clock of whole arrays agrees with datetime's, one instant at a time."""

from datetime import UTC, datetime, timedelta
from unittest.mock import patch
from zoneinfo import ZoneInfo

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tileserver import times

ZONES = st.sampled_from(["America/Chicago", "UTC", "Asia/Kathmandu", "Australia/Lord_Howe", "Africa/Monrovia", "Pacific/Apia"]).map(
    ZoneInfo
)
INSTANTS = st.lists(
    st.datetimes(datetime(1890, 1, 1), datetime(2090, 1, 1)).map(lambda moment: times.to_instant(moment.replace(tzinfo=UTC))),
    max_size=8,
)


@given(INSTANTS, ZONES)
def test_offsets_are_those_of_zoneinfo(instants: list[int], zone: ZoneInfo) -> None:
    expected = [times.to_datetime(instant, zone).utcoffset() for instant in instants]
    found = times.offsets(np.array(instants, np.int64), zone)
    assert [timedelta(microseconds=int(shift)) for shift in found] == expected


@given(st.lists(st.datetimes(datetime(1890, 1, 1), datetime(2090, 1, 1)), max_size=8), ZONES)
def test_a_wall_clock_is_read_as_datetime_reads_it(wall: list[datetime], zone: ZoneInfo) -> None:
    naive = np.array([times.to_instant(moment.replace(tzinfo=UTC)) for moment in wall], np.int64)
    expected = [times.to_instant(moment.replace(tzinfo=zone)) for moment in wall]
    assert times.from_wall(naive, zone).tolist() == expected


MODERN = st.lists(
    # Offsets of the first standard times had seconds, which RFC 3339 cannot say.
    st.datetimes(datetime(1980, 1, 1), datetime(2090, 1, 1)).map(lambda moment: times.to_instant(moment.replace(tzinfo=UTC))),
    max_size=8,
)


@given(MODERN, ZONES)
def test_texts_are_rfc_3339_and_read_back(instants: list[int], zone: ZoneInfo) -> None:
    texts = times.to_texts(np.array(instants, np.int64), zone).to_pylist()
    with patch.object(times, "FEW", 0):
        assert times.to_texts(np.array(instants, np.int64), zone).to_pylist() == texts
    assert [times.to_instant(datetime.fromisoformat(text)) for text in texts] == instants
    assert texts == [times.to_text(instant, zone) for instant in instants]


def test_a_date_far_off_costs_its_own_decade_only() -> None:
    zone = ZoneInfo("America/Chicago")
    moments = [datetime(1901, 7, 1, tzinfo=UTC), datetime(2024, 7, 1, tzinfo=UTC), datetime(9900, 7, 1, tzinfo=UTC)]
    instants = np.array([times.to_instant(moment) for moment in moments] * times.FEW)
    assert len(times._changes(zone.key, times._decades(instants))[0]) < 100
    assert times.to_texts(instants, zone).to_pylist() == [moment.astimezone(zone).isoformat() for moment in moments] * times.FEW
    assert times.from_wall(times.to_wall(instants, zone), zone).tolist() == instants.tolist()


def test_a_time_before_standard_time_is_told_in_utc() -> None:
    zone = ZoneInfo("America/Chicago")
    instant = times.to_instant(datetime(1876, 10, 31, tzinfo=UTC))
    assert times.to_text(instant, zone) == times.to_texts(np.array([instant]), zone)[0].as_py() == "1876-10-31T00:00:00+00:00"


def test_a_missing_instant_stays_missing() -> None:
    zone = ZoneInfo("America/Chicago")
    missing = np.array([times.NO_TIME, 0], np.int64)
    assert times.to_wall(missing, zone).tolist() == [times.NO_TIME, -6 * times.HOUR]
    assert times.from_wall(missing, zone)[0] == times.NO_TIME
    for few in (0, 2):
        with patch.object(times, "FEW", few):
            assert times.to_texts(missing, zone).to_pylist() == [None, "1969-12-31T18:00:00-06:00"]


def test_the_hour_that_comes_twice_is_the_first_one() -> None:
    zone = ZoneInfo("America/Chicago")
    twice = np.array([times.to_instant(datetime(2024, 11, 3, 1, 30, tzinfo=UTC))])
    assert times.to_texts(times.from_wall(twice, zone), zone).to_pylist() == ["2024-11-03T01:30:00-05:00"]
