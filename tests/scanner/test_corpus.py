"""Is everything malicious refused, and for the right reason?"""

import re
from collections import Counter
from pathlib import Path

import pytest

from lockgate.errors import DeniedError
from lockgate.scanner.folder import scan
from lockgate.scanner.scanned import check_clean
from tests.scanner import corpus_containers, corpus_formats, corpus_pickles, corpus_repositories
from tests.scanner.case import MARKER

CASES = [
    *corpus_pickles.CASES,
    *corpus_containers.CASES,
    *corpus_formats.CASES,
    *corpus_repositories.CASES,
]


def test_the_corpus_is_large_and_no_case_is_there_twice():
    assert len(CASES) >= 120
    assert [name for name, times in Counter(case.name for case in CASES).items() if times > 1] == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_malicious_is_refused_for_the_right_reason(tmp_path, case):
    case.write(tmp_path)

    found = scan(tmp_path)

    with pytest.raises(DeniedError):
        check_clean(found)
    assert any(each.rule == case.rule and re.search(case.why, each.text) for each in found.findings), found.findings
    assert not Path(MARKER).exists()
