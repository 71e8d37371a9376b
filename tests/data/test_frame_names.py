"""Names as comma10k and CamVid have them."""

from __future__ import annotations

import pytest

from dashseg.data.frame_names import FrameName, parse_name


@pytest.mark.parametrize(
    ("name", "parsed"),
    [
        (
            "0000_0085e9e41513078a_2018-08-19--13-26-08_11_864",
            FrameName(
                "0085e9e41513078a",
                "0085e9e41513078a_2018-08-19--13-26-08",
                "0085e9e41513078a_2018-08-19--13-26-08_11",
                864,
            ),
        ),
        (
            "00012_e_a1fc603d9a8ddfc4_2021-02-14--14-05-48_71_125",
            FrameName(
                "a1fc603d9a8ddfc4",
                "a1fc603d9a8ddfc4_2021-02-14--14-05-48",
                "a1fc603d9a8ddfc4_2021-02-14--14-05-48_71",
                125,
                "e",
            ),
        ),
        ("0016E5_00390", FrameName("CamVid", "0016E5", "0016E5", 390)),
        ("train/0006R0_f01140", FrameName("CamVid", "0006R0", "0006R0", 1140)),
    ],
)
def test_names_of_the_data_sets(name: str, parsed: FrameName) -> None:
    assert parse_name(name) == parsed


@pytest.mark.parametrize(
    "name",
    [
        "00042",  # of the driver camera
        "0013_f550e313a9262051_2018-05-21--17-33-38_26_590 (1)",  # of a browser's second download
        "0013_f550e313a9262051_2018-05-21--17-33-38_26",
        "road",
        "",
    ],
)
def test_other_names_are_not_guessed_at(name: str) -> None:
    assert parse_name(name) is None


def test_segments_of_one_number_on_two_routes_are_two() -> None:
    first = parse_name("0000_0085e9e41513078a_2018-08-19--13-26-08_11_864")
    second = parse_name("0001_0085e9e41513078a_2018-08-20--13-26-08_11_864")
    assert first and second
    assert first.device == second.device
    assert first.segment != second.segment
