"""Does every sandbox keep what the port promises?"""

import sys
from contextlib import contextmanager

import pytest

from lockgate.drivers.bubblewrap.outer import Bubblewrap
from lockgate.drivers.kubernetes_job import Grounds, KubernetesJob
from lockgate.errors import UnavailableError
from lockgate.evaluator.sandbox import LAYERS, Job, Limits
from tests.kube import ApiServer, needs_api_server
from tests.kubelet import Kubelet

pytestmark = pytest.mark.live

IMAGE = f"registry.example/suites@sha256:{'a' * 64}"
OURS = f"registry.example/lockgate@sha256:{'b' * 64}"
NAMESPACE = "trials"
SPACE = f"/api/v1/namespaces/{NAMESPACE}"


@contextmanager
def behind_bubblewrap(folder):
    yield Bubblewrap()


@contextmanager
def in_a_cluster(folder):
    (folder / "cluster").mkdir()
    with ApiServer(folder / "cluster") as api:
        api.install(NAMESPACE)
        restricted = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
        assert api.edit(SPACE, restricted) == 200
        kubelet = Kubelet(api, NAMESPACE, folder)
        box = KubernetesJob(api.ours, Grounds(NAMESPACE, IMAGE, OURS, "evaluations", folder))
        box.kubelet, box.around = kubelet, api
        try:
            yield box
            assert not kubelet.trouble
        finally:
            kubelet.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("claim")


@pytest.fixture(scope="module")
def cluster(folder):
    with in_a_cluster(folder) as box:
        yield box


@pytest.fixture(params=["bubblewrap", pytest.param("cluster", marks=needs_api_server)])
def box(request):
    return Bubblewrap() if request.param == "bubblewrap" else request.getfixturevalue("cluster")


def python(code, **more):
    return Job((sys.executable, "-c", code), **{"limits": Limits(seconds=60), **more})


def test_what_a_job_wrote_comes_out(box):
    found = box.run(python("open('/out/result.json', 'wb').write(bytes(range(256)))"))

    assert (found.code, found.why, found.files) == (0, None, {"result.json": bytes(range(256))})


def test_a_job_that_fails_says_so(box):
    found = box.run(python("import sys; print('no luck', flush=True); sys.exit(7)"))

    assert (found.code, found.why) == (7, None)
    assert b"no luck" in found.said


def test_inputs_are_shown_and_never_written(box, folder):
    (folder / "model").mkdir(exist_ok=True)
    (folder / "model" / "weights").write_text("weights")
    code = """
open('/out/seen', 'w').write(open('/in/model/weights').read())
try: open('/in/model/weights', 'w')
except OSError: pass
"""

    found = box.run(python(code, inputs={"model": folder / "model"}))

    assert found.files == {"seen": b"weights"}
    assert (folder / "model" / "weights").read_text() == "weights"


def test_the_environment_is_the_one_that_the_job_names(box, monkeypatch):
    monkeypatch.setenv("TOKEN", "secret")
    code = "import os; open('/out/e', 'w').write(os.environ['PRICE'] + str('TOKEN' in os.environ))"

    assert box.run(python(code, environment={"PRICE": "$(HOME) $5"})).files == {"e": b"$(HOME) $5False"}


def test_time_runs_out(box):
    found = box.run(python("import time; time.sleep(600)", limits=Limits(seconds=2)))

    assert (found.why, found.files) == ("seconds", {})
    assert found.code != 0


def test_memory_runs_out(box):
    together = """
import os
for _ in range(4):
    if os.fork() == 0: held = bytearray(os.urandom(1 << 20)) * 100; os.read(os.pipe()[0], 1)
os.wait()
"""
    found = box.run(python(together, limits=Limits(seconds=60, memory=250 << 20)))

    assert found.why == "memory"
    assert found.code != 0


def test_the_layers_that_held_it_are_named(box):
    found = box.run(python("pass"))

    assert {"namespaces", "seccomp", "limits"} <= set(found.isolation) <= set(LAYERS)


def test_nobody_answers_it(box):
    code = """
import socket
try: socket.create_connection(('127.0.0.1', 22), 1); print('open')
except OSError: print('shut')
raise SystemExit(1)
"""

    assert box.run(python(code)).said == b"shut\n"


@needs_api_server
class TestOfACluster:
    def test_a_pod_is_restricted_and_its_network_closed(self, cluster):
        cluster.run(python("pass"))

        assert not cluster.kubelet.trouble  # the API server keeps Pod security: restricted
        (name, job) = list(cluster.kubelet.seen.items())[-1]
        pod = job["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert "serviceAccountName" not in pod
        assert pod["initContainers"][1]["image"] == IMAGE
        assert {each["image"] for each in (pod["initContainers"][0], *pod["containers"])} == {OURS}
        assert job["spec"]["backoffLimit"] == 0 and name.startswith("trial-")

    def test_nothing_is_left_of_it(self, cluster):
        cluster.run(python("pass"))

        for group, kind in (("batch", "jobs"), ("networking.k8s.io", "networkpolicies")):
            assert cluster.around.ours.find(f"/apis/{group}/v1/namespaces/{NAMESPACE}/{kind}")["items"] == []

    @pytest.mark.parametrize("layer", ["namespaces", "seccomp", "cgroup"])
    def test_a_wall_with_a_gap_stops_it(self, cluster, monkeypatch, layer):
        monkeypatch.setattr(cluster.kubelet, "found", tuple({"namespaces", "seccomp", "cgroup"} - {layer}))

        with pytest.raises(UnavailableError, match=f"no {layer}: "):
            cluster.run(python("print('ran')"))

    def test_a_gap_that_was_named_is_said(self, cluster, monkeypatch):
        monkeypatch.setattr(cluster.kubelet, "found", ("namespaces", "cgroup"))
        box = KubernetesJob(cluster._api, cluster._grounds, allow=frozenset({"landlock", "seccomp"}))

        found = box.run(python("pass"))

        assert (found.code, found.isolation) == (0, ("namespaces", "limits", "cgroup"))

    def test_a_log_that_was_altered_is_refused(self, cluster, monkeypatch):
        from lockgate.errors import VerificationError

        monkeypatch.setattr(cluster.kubelet, "spoil", lambda line: line.replace("YQ==", "Yg=="))

        with pytest.raises(VerificationError, match="is not what its last word says"):
            cluster.run(python("open('/out/x', 'w').write('a')"))

    def test_an_input_beside_the_claim_is_refused(self, cluster, tmp_path):
        with pytest.raises(UnavailableError, match="copy it below"):
            cluster.run(python("pass", inputs={"model": tmp_path}))

    def test_landlock_must_be_named_as_lacking(self, cluster):
        with pytest.raises(UnavailableError, match="no landlock"):
            KubernetesJob(cluster._api, cluster._grounds, allow=frozenset()).run(python("pass"))

    @pytest.mark.parametrize("more", [{"port": 8000}, {"hosts": ("example.com:443",)}])
    def test_a_job_with_a_network_is_refused(self, cluster, more):
        with pytest.raises(UnavailableError, match="no network at all"):
            cluster.run(python("pass", **more))

    def test_nobody_is_served(self, cluster):
        with pytest.raises(UnavailableError, match="serves nobody"), cluster.serve(python("pass", port=8000)):
            pass
