"""Does our own program in a pod find what holds it, and report no more than it may?"""

import io
import sys

import pytest

from lockgate.drivers.bubblewrap.outer import Bubblewrap
from lockgate.drivers.kubernetes_job import in_pod
from lockgate.evaluator.salvage import TooMuchError
from lockgate.evaluator.sandbox import Job
from lockgate.formats import canonical
from lockgate.formats.digest import Digest
from tests.live.test_sandbox_probes import listening

WALLS = "from lockgate.drivers.kubernetes_job.in_pod import walls; print(*walls())"


def test_walls_are_found_where_they_are():
    cluster = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}

    found = Bubblewrap().run(Job((sys.executable, "-c", WALLS), environment=cluster))
    alone = Bubblewrap().run(Job((sys.executable, "-c", WALLS)))

    assert found.said.split()[:2] == [b"namespaces", b"seccomp"]
    assert alone.said.split()[:1] == [b"seccomp"]  # nobody to ask: not known to be shut


def test_a_pod_that_reaches_its_cluster_has_no_walls(monkeypatch):
    import socket

    with listening(socket.AF_INET, ("127.0.0.1", 0)) as door:
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(door.getsockname()[1]))

        assert not in_pod._is_shut()
        assert "namespaces" not in in_pod.walls()


def test_a_report_has_the_digest_that_it_says(tmp_path):
    (tmp_path / "result.json").write_bytes(b"{}")
    (tmp_path / "link").symlink_to("/etc/passwd")
    log = io.StringIO()

    said = in_pod.report(tmp_path, 100, log)

    assert canonical.parse_object(log.getvalue().encode()) == {"files": {"result.json": "e30="}}
    assert said == str(Digest.of(log.getvalue().encode()))


def test_a_report_of_too_much_is_none(tmp_path):
    (tmp_path / "result.json").write_bytes(bytes(101))

    with pytest.raises(TooMuchError):
        in_pod.report(tmp_path, 100, io.StringIO())
