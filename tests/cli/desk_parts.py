"""A desk of few words: tools, an index and a memory that fit on a page."""

import numpy as np

from lockgate.cli.demo.desk.documents import Section
from lockgate.cli.demo.desk.minilm import Array
from lockgate.cli.demo.desk.planner import Asked, Index, Thresholds, Tool

ORDERS: Array = np.array([1, 0, 0], np.float32)
TICKETS: Array = np.array([0, 1, 0], np.float32)
PAGES: Array = np.array([0, 0, 1], np.float32)
NUMBER = "^[A-Z]-[0-9]{4}$"
FIND = Tool("find_order", "find an order", {"number": NUMBER}, ORDERS)
OPEN = Tool("open_ticket", "open a ticket", {"subject": None}, TICKETS)
SECTIONS = [Section("how-to/a", "A", "about a"), Section("how-to/b", "B", "about b")]
INDEX = Index(SECTIONS, np.array([PAGES, [0, 0.6, 0.8]], np.float32))
FROM = Thresholds(tool=0.5, section=0.5)


def asked(request, *meaning, said=(), bent=None):
    vector = np.array(meaning, np.float32)
    return Asked(request, vector, vector if bent is None else np.array(bent, np.float32), said)


class ListMemory:
    """Memory in a list, for one conversation after another."""

    def __init__(self):
        self.turns = {}

    def recall(self, session, most):
        return self.turns.get(session, [])[-most:]

    def remember(self, session, turn):
        self.turns.setdefault(session, []).append(turn)
