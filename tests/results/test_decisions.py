import made_runs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from results.decisions import in_order, index_of, panels, place_choices, split
from results.records import PolicyRecord


def test_places_stand_in_the_order_of_the_network():
    places = ["head", "block10.layer2", "block2", "block2.layer10", "block2.layer9", "block10", "stem", "block2"]
    expected = ("stem", "block2", "block2.layer9", "block2.layer10", "block10", "block10.layer2", "head")
    assert in_order(places) == expected


@given(st.lists(st.text(max_size=12)))
def test_any_names_have_an_order(names):
    assert sorted(in_order(names)) == sorted(set(names))
    assert in_order(reversed(names)) == in_order(names)
    assert all(".".join(split(name)).strip(".") == name.strip(".") for name in names)


@pytest.mark.parametrize(
    ("choice", "index"), [(True, 0), (1, 1), (1.0, 2), ("1", 3), (2, None), (False, None), ("x", None)]
)
def test_choices_differ_by_type(choice, index):
    assert index_of(choice, (True, 1, 1.0, "1")) == index


def test_rows_of_the_likeliest_network():
    rows = place_choices(made_runs.policy(40), made_runs.DECISIONS)
    names = ["block1", "block1.layer1", "block1.layer2", "block2", "block2.layer1", "block2.layer2", "head"]
    assert [row.name for row in rows] == names
    assert dict(rows[0].choices) == {"depth": 1, "width": 0.75}
    assert list(rows[1].choices) == ["kernel", "expansion", "se"]
    assert rows[1].certainty == pytest.approx({"kernel": 1 / 3 + 0.6, "expansion": 1 / 3 + 0.6, "se": 0.95})


def test_where_there_is_one_choice_nothing_is_certain():
    policy = PolicyRecord(
        step=1, probabilities={"a.depth": (1.0,), "a.width": (0.1, 0.9)}, argmax={"a.depth": 1, "a.width": 2}
    )
    (row,) = place_choices(policy, {"a.depth": (1,), "a.width": (1, 2)})
    assert (dict(row.choices), dict(row.certainty)) == ({"depth": 1, "width": 2}, {"width": 0.9})


def test_a_choice_without_a_probability_has_no_certainty():
    policy = PolicyRecord(step=1, probabilities={"a.kernel": (1.0,)}, argmax={"a.kernel": "z", "b.kernel": "x"})
    rows = place_choices(policy, {"a.kernel": ("x",)})
    assert [(row.name, dict(row.choices), dict(row.certainty)) for row in rows] == [
        ("a", {"kernel": "z"}, {}),
        ("b", {"kernel": "x"}, {}),
    ]


def test_panels_hold_every_choice_once():
    shown = panels(made_runs.DECISIONS)
    assert [panel.attribute for panel in shown] == ["depth", "width", "kernel", "expansion", "se"]
    assert shown[0].places == ("block1", "block2")
    assert shown[0].choices == (1, 2, 3)
    assert shown[1].places == ("block1", "block2", "head")
    assert shown[2].choices == made_runs.KERNELS
    assert panels({"depth": (1,), "x.tint": ("red",)})[0].places == ("",)
