"""Devices, routes, segments and times out of frames' names."""

from __future__ import annotations

from dashseg.curate.stats.names import count_names

A, B = "45aaf4dc9a2f3a8c", "0085e9e41513078a"
NAMES = [
    f"0000_{A}_2018-07-09--08-15-59_1_10",
    f"0001_{A}_2018-07-09--08-15-59_1_20",
    f"0002_{A}_2018-07-09--08-15-59_2_10",
    f"0003_{A}_2018-09-30--23-00-00_1_10",
    f"train/0004_{B}_2018-07-01--00-59-59_7_9",
]


def test_frames_are_counted_by_device_route_and_segment() -> None:
    counted = count_names(NAMES).to_dict()
    assert counted["parsed"] == 5 and counted["unparsed"] == 0
    assert counted["devices"] == {
        "count": 2,
        "frames_min": 1,
        "frames_median": 2.5,
        "frames_max": 4,
        "largest": [{"name": A, "frames": 4}, {"name": B, "frames": 1}],
    }
    assert [counted[level]["count"] for level in ("routes", "segments")] == [3, 4]
    assert counted["routes"]["frames_max"] == 3 and counted["segments"]["frames_max"] == 2


def test_times_are_those_at_which_the_routes_began() -> None:
    counted = count_names(NAMES).to_dict()
    assert {hour: n for hour, n in enumerate(counted["hours"]) if n} == {8: 3, 23: 1, 0: 1}
    assert counted["months"] == {"2018-07": 4, "2018-09": 1}


def test_names_of_other_forms_are_counted_and_a_few_are_shown() -> None:
    counted = count_names([f"holiday_{i}" for i in range(9)] + NAMES).to_dict()
    assert counted["unparsed"] == 9 and counted["parsed"] == 5
    assert counted["unparsed_examples"] == [f"holiday_{i}" for i in range(5)]


def test_camvids_names_tell_sequences_but_no_time() -> None:
    counted = count_names(["0016E5_00390", "train/0006R0_f00930"]).to_dict()
    assert counted["routes"]["count"] == 2 and counted["devices"]["count"] == 1
    assert counted["hours"] is None and counted["months"] is None


def test_names_that_tell_nothing_give_nothing() -> None:
    counted = count_names(["a", "b"]).to_dict()
    assert counted["devices"] is counted["routes"] is counted["segments"] is None


def test_a_time_that_is_none_is_left_out() -> None:
    counted = count_names([f"0000_{A}_2018-13-41--25-61-00_1_10"]).to_dict()
    assert counted["parsed"] == 1 and counted["hours"] is None


def test_the_largest_come_first_and_equal_ones_by_name() -> None:
    names = [f"0000_{device:016x}_2018-07-09--08-15-59_1_10" for device in range(20, 0, -1)]
    largest = count_names([*names, names[0]]).to_dict()["devices"]["largest"]
    assert [int(row["name"], 16) for row in largest] == [20, *range(1, 10)]
