"""What does a test of updates need? A feed that may turn hostile, and a host that learns from it."""

from datetime import UTC, datetime

import pytest

from lockgate.loader.updates import refresh
from tests.loader.hostile import Hostile
from tests.world import trust


@pytest.fixture
def feed():
    return Hostile()


@pytest.fixture
def learn(tmp_path, feed):
    """Learn from the feed, or from another source, under the root of the tests or another one."""

    def learn(source=None, memory="memory", root=None):
        return refresh(tmp_path / memory, root or trust().root, source or feed, datetime.now(UTC))

    return learn


@pytest.fixture
def refused(learn):
    """Expect that nothing is learnt."""

    def refused(error, reason):
        with pytest.raises(error, match=reason):
            learn()

    return refused
