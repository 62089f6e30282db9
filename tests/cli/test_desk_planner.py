import numpy as np
import pytest

from lockgate.cli.demo.desk.planner import Call, GiveUp, Quote, bend, plan
from tests.cli.desk_parts import FIND, FROM, INDEX, OPEN, SECTIONS, asked


def test_the_nearest_tool_is_called_with_what_its_pattern_finds():
    assert plan(asked("where is A-1042?", 1, 0, 0), [FIND, OPEN], INDEX, FROM) == Call(
        "find_order", {"number": "A-1042"}, 1.0
    )


def test_an_argument_without_a_pattern_is_the_request():
    assert plan(asked("it broke", 0, 1, 0), [FIND, OPEN], INDEX, FROM) == Call(
        "open_ticket", {"subject": "it broke"}, 1.0
    )


@pytest.mark.parametrize(
    ("request_", "said", "number"),
    [
        ("and now?", ["A-1042"], "A-1042"),
        ("and now?", ["A-1042", "no, B-2001!"], "B-2001"),
        ("C-3300, I mean", ["A-1042"], "C-3300"),
    ],
)
def test_what_is_missing_is_found_in_what_was_said_last(request_, said, number):
    planned = plan(asked(request_, 1, 0, 0, said=said), [FIND], INDEX, FROM)

    assert isinstance(planned, Call) and planned.arguments == {"number": number}


@pytest.mark.parametrize("request_", ["where is it?", "XA-1042", "A-10423", "a-1042", "A1042"])
def test_a_tool_whose_argument_nobody_said_is_not_called(request_):
    assert plan(asked(request_, 1, 0, 0), [FIND], INDEX, FROM) == GiveUp(0.0)


def test_a_tool_that_the_release_does_not_list_is_not_called_however_near_it_is():
    assert isinstance(plan(asked("it broke", 0, 1, 0), [FIND], INDEX, FROM), Quote)
    assert isinstance(plan(asked("it broke", 0, 1, 0), [], INDEX, FROM), Quote)


def test_without_a_tool_near_enough_the_nearest_section_is_quoted():
    assert plan(asked("a", 0.49, 0, 0.87), [FIND, OPEN], INDEX, FROM) == Quote(SECTIONS[0], pytest.approx(0.87))


def test_nothing_near_enough_is_given_up():
    assert plan(asked("?", 0.4, 0.1, 0.45), [FIND, OPEN], INDEX, FROM) == GiveUp(pytest.approx(0.45))


def test_tools_are_chosen_by_the_meaning_and_sections_by_the_bent_one():
    near = asked("A-1042", 1, 0, 0, bent=(0, 0, 1))

    assert isinstance(plan(near, [FIND], INDEX, FROM), Call)
    assert plan(asked("x", 1, 0, 0, bent=(0, 0, 1)), [FIND], INDEX, FROM) == Quote(SECTIONS[0], 1.0)


def test_an_adapter_bends_towards_where_it_leads_and_one_of_zeros_leaves_all_as_it_is():
    meaning = np.array([1, 0, 0], np.float32)
    down, up = np.array([[3], [0], [0]], np.float32), np.array([[0, 0, 1]], np.float32)

    assert bend(meaning, down, up) == pytest.approx([1 / 10**0.5, 0, 3 / 10**0.5])
    assert bend(meaning, down * 0, up) == pytest.approx(meaning)
