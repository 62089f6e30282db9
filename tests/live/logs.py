"""Is a log in PostgreSQL what its entries say?"""

from lockgate.core.journal import replay
from lockgate.tlog.merkle import leaf_hashes, tree_root


def check(log):
    entries = list(log.entries(0, log.size()))
    assert log.root() == (len(entries), tree_root(leaf_hashes(entries)))
    derived = replay(entries)
    assert {subject: log.find(subject) for subject in derived} == derived
