import pytest

from launch.glyphs import bar, certainty, course, extent, number, progress, strip


def test_bars():
    assert [bar(share) for share in (-1.0, 0.0, 0.5, 1.0, 2.0)] == ["▁", "▁", "▅", "█", "█"]
    assert certainty(0.98) == "█ 98%"
    assert (number(None), number(0.5)) == ("", "0.500")
    assert progress(0.5, width=4) == "━━╌╌ 50%"
    assert progress(2.0, width=2) == "━━ 100%"
    assert strip([("train", 0.5), ("data", 0.001)], width=4) == "train 50.0% ██  data 0.1%"


@pytest.mark.parametrize("num", [1, 2, 47, 48, 49, 200])
def test_a_course_has_at_most_48_characters_and_rises_with_its_values(num):
    found = course([float(value) for value in range(num)])
    assert len(found) == min(48, num)
    assert sorted(found) == list(found)
    assert (course([]), course([2.0, 2.0])) == ("", "▁▁")


def test_a_course_keeps_its_end_and_can_stand_on_a_fixed_scale():
    values = [0.0] * 100 + [1.0] * 100
    assert course(values, width=4) == "▁▁██"
    assert course([1.0, 1.0, 0.5], span=(0.0, 1.0)) == "██▅"
    assert (extent(values), extent([])) == ("0.000 to 1.000", "")
