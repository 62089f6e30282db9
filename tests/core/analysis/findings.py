"""What could have been found? Findings for tests, ready made."""

from lockgate.core.analysis.finding import Conclusion, Finding
from lockgate.core.analysis.table import NONE
from lockgate.formats.names import Name


def found(conclusion, *, dry_run=False):
    return Finding(Name("errors"), Conclusion(conclusion), "so it is", dry_run, NONE, NONE, 0)
