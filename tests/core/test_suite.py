"""Which suites may be added, which are known anyway, and which versions does a range accept?"""

import pytest

from lockgate.core.suite import Added, check_range, check_suite, is_reserved, is_within
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name, Version

A = Digest.of(b"a")


def added(name="agentic", commit="0" * 40):
    return Added(Name(name), Version(1, 0, 0), A, commit, Name("ci"))


@pytest.mark.parametrize("suite", ["scan", "baseline", "reward-hacking", "scan/second", "scan/0-x"])
def test_the_suites_of_the_house_are_known(suite):
    assert is_reserved(suite)


@pytest.mark.parametrize(
    "suite", ["", "scans", "scan/", "scan/A", "scan/a/b", "scan/-", "Baseline", "agentic", "scan "]
)
def test_no_others_are(suite):
    assert not is_reserved(suite)


@pytest.mark.parametrize("commit", ["0" * 40, "a1" * 20, "f" * 64])
def test_a_suite_comes_from_a_commit(commit):
    check_suite(added(commit=commit))


@pytest.mark.parametrize("commit", ["", "main", "0" * 39, "0" * 41, "A" * 40, "g" * 40, "0" * 40 + "\n", "0" * 65])
def test_what_is_no_commit_is_refused(commit):
    with pytest.raises(VerificationError, match="not a Git commit"):
        check_suite(added(commit=commit))


@pytest.mark.parametrize("name", ["scan", "baseline", "reward-hacking"])
def test_a_name_of_the_house_cannot_be_added(name):
    with pytest.raises(DeniedError, match="known without being added"):
        check_suite(added(name))


@pytest.mark.parametrize(
    ("wanted", "inside", "outside"),
    [
        (">=1.2.0 <2.0.0", ["1.2.0", "1.10.0", "1.99.99"], ["1.1.9", "2.0.0", "2.0.1"]),
        (">1.2.0", ["1.2.1", "2.0.0"], ["1.2.0", "0.9.0"]),
        ("<=1.2.0", ["1.2.0", "0.0.0"], ["1.2.1", "1.10.0"]),
        ("=1.2.0", ["1.2.0"], ["1.2.1", "1.1.9"]),
        (">=2.0.0 <1.0.0", [], ["1.5.0", "0.1.0", "3.0.0"]),
    ],
)
def test_a_version_keeps_every_comparison(wanted, inside, outside):
    check_range(wanted)
    assert [version for version in inside if not is_within(Version.parse(version), wanted)] == []
    assert [version for version in outside if is_within(Version.parse(version), wanted)] == []


@pytest.mark.parametrize(
    "wanted", ["", " ", "1.2.0", ">=1.2", ">=1.2.0,<2.0.0", ">=1.2.0  <2.0.0", "~1.2.0", ">=01.2.0", ">= 1.2.0", "*",
               ">=1.0.0 " * 40]
)  # fmt: skip
def test_what_is_no_range_is_refused(wanted):
    with pytest.raises(VerificationError, match=r"not a (range of versions|version) like"):
        check_range(wanted)
