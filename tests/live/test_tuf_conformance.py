"""Does our client do what tuf-conformance asks of every TUF client? All but what we refuse by design."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SUITE = Path(os.environ.get("LOCKGATE_VECTORS", ROOT.parent / "shared" / "vectors")) / "tuf-conformance"
CASES = 113  # at eec841c
TOO_DEEP = "the client follows two roles at most: it has one delegation, and looks no further for what is not there"
EXPECTED_TO_FAIL = {
    "test_graph_traversal[two-level-delegations]": TOO_DEEP,
    "test_graph_traversal[two-level-test-DFS-order-of-traversal]": TOO_DEEP,
    "test_graph_traversal[three-level-delegation-test-DFS-order-of-traversal]": TOO_DEEP,
    "test_graph_traversal[three-level-terminating-ignores-all-but-roles-descendants]": TOO_DEEP,
    "test_graph_traversal[cyclic-graph]": TOO_DEEP,
    "test_graph_traversal[two-roles-delegating-to-a-third]": TOO_DEEP,
    "test_graph_traversal[two-roles-delegating-to-a-third-different-paths]": TOO_DEEP,
}
PAGE = ROOT / "spec" / "updates.md"

needs_suite = pytest.mark.skipif(
    not SUITE.is_dir(),
    reason=f"elsewhere: no checkout of tuf-conformance at {SUITE} (no registry has it); LOCKGATE_VECTORS is its folder",
)
needs_faketime = pytest.mark.skipif(
    not shutil.which("faketime"), reason="no faketime: apt-get install --yes --no-install-recommends faketime"
)


@needs_suite
@needs_faketime
def test_every_case_passes_but_those_that_are_refused_by_design(tmp_path):
    client = tmp_path / "client"
    client.write_text(f'#!/bin/sh\nexec {sys.executable} -m tests.live.tuf_client "$@"\n')
    client.chmod(0o755)
    (tmp_path / "client.xfails").write_text("\n".join(EXPECTED_TO_FAIL))  # each of them fails, or that is a failure

    done = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "-p", "no:cacheprovider", "-p", "no:schemathesis",
            "-p", "tests.live.tuf_client", "--rootdir", SUITE, SUITE / "tuf_conformance", "--entrypoint", client,
        ],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip

    passed, refused = re.search(r"(\d+) passed, (\d+) xfailed in", done.stdout).groups()
    assert (done.returncode, int(refused)) == (0, len(EXPECTED_TO_FAIL)), done.stdout[-4000:]
    assert int(passed) >= CASES - len(EXPECTED_TO_FAIL)


def test_what_is_refused_by_design_stands_in_the_specification():
    page = " ".join(PAGE.read_text().split())

    assert [case for case in EXPECTED_TO_FAIL if f"`{case}`" not in page] == []
    assert TOO_DEEP in page
