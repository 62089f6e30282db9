"""Does text of others stay on its line, and leave colours and cursors alone?"""

import pytest

from lockgate.agent.duty import tell
from lockgate.formats.one_line import one_line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, mit Umlauten: äöü", "plain, mit Umlauten: äöü"),
        ("one\n\n  two  \n", "one   two"),
        ("a\rb", "a\\u000db"),
        ("\x1b[31mred", "\\u001b[31mred"),
        ("left\u202eright", "left\\u202eright"),
        ("no\x00thing\x7f", "no\\u0000thing\\u007f"),
    ],
)
def test_text_is_one_line_of_printable_letters(text, shown):
    assert one_line(text) == shown


def test_a_reason_with_a_second_line_makes_no_line_of_the_agent(capsys):
    tell("shut by order of olivia: enough\nlockgate agent: all is well\x1b[2J")

    assert capsys.readouterr().err.splitlines() == [
        "lockgate agent: shut by order of olivia: enough lockgate agent: all is well\\u001b[2J"
    ]
