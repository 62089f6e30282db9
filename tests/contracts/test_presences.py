"""Is the last word of each host about what runs there kept, and does nothing older change it?"""

from dataclasses import replace
from datetime import timedelta

import pytest

from lockgate.app.ports import Presences
from lockgate.core.presence import Presence, Run
from lockgate.drivers.memory import Memory
from lockgate.drivers.postgres import Postgres
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name
from tests.contracts.samples import NOW

HERE, THERE = Endpoint.parse("prod/a"), Endpoint.parse("prod/b")
RUN = Run(HERE, Digest.of(b"a"), 7, ready=True)
SAID = Presence(Name("host-1"), "1" * 32, 1, NOW, alone=False, runs=(RUN,))


def fills_the_port(driver: Memory | Postgres) -> Presences:
    """Show the type checker that the drivers fill the port."""
    return driver


def test_the_last_word_of_each_speaker_is_kept_as_it_was(log):
    alone = replace(SAID, incarnation="2" * 32, alone=True, runs=(replace(RUN, epoch=9),))
    other = replace(SAID, node=Name("host-2"), runs=(replace(RUN, endpoint=THERE),))
    assert all(log.attend(said, NOW) for said in (SAID, alone, other))

    found = log.voices(HERE)
    assert [(one.node, one.runs, one.heard_at) for one in found] == [
        (SAID.node, alone.runs, NOW),
        (SAID.node, SAID.runs, NOW),
    ]
    assert [one.node for one in log.voices(THERE)] == [Name("host-2")]


@pytest.mark.parametrize("sequence", [0, 4, 5])
def test_an_older_word_or_the_same_changes_nothing(log, sequence):
    log.attend(replace(SAID, sequence=5), NOW)

    assert not log.attend(replace(SAID, sequence=sequence, runs=()), NOW + timedelta(seconds=1))
    assert [one.runs for one in log.voices(HERE)] == [(RUN,)]


def test_who_is_gone_is_still_found_where_it_was(log):
    log.attend(SAID, NOW)
    later = NOW + timedelta(seconds=1)

    assert log.attend(replace(SAID, sequence=2, runs=()), later)
    assert [(one.runs, one.gone_since(HERE)) for one in log.voices(HERE)] == [((), later)]
