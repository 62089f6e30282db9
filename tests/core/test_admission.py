"""Does only a pod run that is what a judged passport says? A good one is spoilt, one thing at a time."""

import json
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.core.admission import MAX_REVIEW, asked_endpoint, decide, parse_review, refuse
from lockgate.core.pod import ENDPOINT, MODELS, RELEASE, Terms, Wanted, complaints, image_digest, pod_of
from lockgate.core.release import Serve
from lockgate.errors import DeniedError, LockgateError, VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint
from tests.world import PROD, World

IMAGE, OTHER = Digest.of(b"image"), Digest.of(b"another image")
SERVE = Serve(("{python}", "serve.py", "{model}", "{port}", "$(HOME)", "{file:weights/m}"), {"LANG": "C", "P": "$x"})
TERMS = Terms(f"registry.example/lockgate@{Digest.of(b'lockgate')}")


@cache
def admission():
    world = World()
    world.serve(serve=Serve(SERVE.command, SERVE.environment, IMAGE))
    return world.admit()


def pod():
    release = admission().permit.release
    wanted = Wanted(PROD, release.digest, release.manifest.serve)
    return deepcopy(pod_of(wanted, "registry.example/model", TERMS))


def asked(pod, operation="CREATE", before=None, resource="pods", below="", **changes):
    request = {
        "uid": "1-2",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": resource},
        "operation": operation,
        "namespace": "models",
        "userInfo": {"username": "kate"},
        "object": pod,
        "oldObject": before,
    }
    request |= {"subResource": below} if below else {}
    return json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request | changes})


def verdict(document, judged=None):
    review = parse_review(document.encode())
    return decide(review, [admission()] if judged is None else judged, TERMS)


def reasons(pod, **asks):
    return verdict(asked(pod, **asks)).reasons


def test_the_pod_of_the_stable_release_runs():
    found = json.loads(verdict(asked(pod())).encode())

    assert found["response"] == {"uid": "1-2", "allowed": True}


def test_the_pod_as_a_cluster_completes_it_runs():
    found = pod()
    for each in (*found["spec"]["containers"], *found["spec"]["initContainers"]):
        each |= {"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}
        each |= {"imagePullPolicy": "IfNotPresent"}
    found["spec"] |= {"restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler"}
    found["spec"] |= {"serviceAccountName": "default", "serviceAccount": "default", "priority": 0}
    found["spec"]["volumes"][2]["secret"]["defaultMode"] = 420
    asks = {"httpGet": {"path": "/", "port": 8500, "scheme": "HTTP"}, "timeoutSeconds": 1, "periodSeconds": 10}
    found["spec"]["containers"][0]["readinessProbe"] = asks | {"successThreshold": 1, "failureThreshold": 3}
    found["spec"]["securityContext"]["supplementalGroups"] = [7]
    found["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"] = "2026-11-26T00:00:00Z"
    found["metadata"]["annotations"]["seccomp.security.alpha.kubernetes.io/pod"] = "runtime/default"
    found["metadata"]["annotations"]["kubernetes.io/limit-ranger"] = "LimitRanger plugin set: cpu limit for container"

    assert reasons(found) == ()


def test_a_runtime_that_is_named_may_be_used_and_no_other():
    found = pod()
    found["spec"]["runtimeClassName"] = "gvisor"
    judged, terms = parse_review(asked(found).encode()), replace(TERMS, runtime_class="gvisor")

    assert decide(judged, [admission()], terms).reasons == ()
    assert decide(judged, [admission()], replace(terms, runtime_class="kata")).reasons


def test_a_command_reaches_the_program_as_the_passport_says_it():
    model = pod()["spec"]["containers"][0]

    assert model["command"] == ["python3", "serve.py", MODELS, "8500", "$$(HOME)", f"{MODELS}/weights/m"]
    assert {"name": "P", "value": "$$x"} in model["env"]


def set_in(*path, to):
    def spoil(pod):
        *way, last = path
        for step in way:
            pod = pod[step]
        pod[last] = to

    return spoil


MODEL, LOADER = ("spec", "containers", 0), ("spec", "initContainers", 0)
HOST_PATH = {"name": "models", "hostPath": {"path": "/"}}
NEAR_MISSES = {
    "latest": (set_in(*MODEL, "image", to="registry.example/model:latest"), "not named by its digest"),
    "no tag": (set_in(*MODEL, "image", to="registry.example/model"), "not named by its digest"),
    "no image": (set_in(*MODEL, "image", to=None), "not named by its digest"),
    "a tag beside": (set_in(*MODEL, "image", to=f"registry.example/model:latest@{IMAGE}"), "has a tag too"),
    "short digest": (set_in(*MODEL, "image", to=f"registry.example/model@sha256:{'a' * 63}"), "not named by its"),
    "other image": (set_in(*MODEL, "image", to=f"registry.example/model@{OTHER}"), f"the image is {OTHER}"),
    "other command": (set_in(*MODEL, "command", to=["python3", "other.py"]), "not that of the passport"),
    "no command": (lambda pod: pod["spec"]["containers"][0].pop("command"), "not that of the passport"),
    "expanded": (set_in(*MODEL, "command", 4, to="$(HOME)"), "not that of the passport"),
    "args": (set_in(*MODEL, "args", to=["--trust-remote-code"]), "the container has 'args'"),
    "other folder": (set_in(*MODEL, "workingDir", to="/tmp"), "does not start in /mnt/models"),
    "more env": (lambda pod: pod["spec"]["containers"][0]["env"].append({"name": "A", "value": "b"}), "environment is"),
    "env twice": (lambda pod: pod["spec"]["containers"][0]["env"].append({"name": "LANG", "value": "C"}), "envir"),
    "other env": (set_in(*MODEL, "env", 0, to={"name": "LANG", "value": "de"}), "environment is not"),
    "env from a secret": (set_in(*MODEL, "env", 0, to={"name": "LANG", "valueFrom": {"secretKeyRef": {}}}), "environ"),
    "env from": (set_in(*MODEL, "envFrom", to=[{"configMapRef": {"name": "x"}}]), "has 'envFrom'"),
    "extra container": (lambda pod: pod["spec"]["containers"].append({"name": "b"}), "has 2 containers"),
    "no container": (set_in("spec", "containers", to=[]), "has 0 containers"),
    "no loader": (set_in("spec", "initContainers", to=[]), "has 0 init containers"),
    "one more init": (lambda pod: pod["spec"]["initContainers"].append(pod["spec"]["initContainers"][0]), "2 init"),
    "other loader": (set_in(*LOADER, "image", to=f"evil.example/lockgate@{OTHER}"), "not our loader"),
    "the loader does nothing": (set_in(*LOADER, "command", to=["true"]), "does not run `lockgate load"),
    "the loader elsewhere": (set_in(*LOADER, "command", 4, to="lockgate://prod/o/x"), "does not run `lockgate load"),
    "the loader with args": (set_in(*LOADER, "args", to=["--help"]), "the init container has 'args'"),
    "the loader with env": (set_in(*LOADER, "env", to=[{"name": "PYTHONPATH", "value": "/x"}]), "an environment"),
    "the loader stays": (set_in(*LOADER, "restartPolicy", to="Always"), "has 'restartPolicy'"),
    "the loader mounts less": (lambda pod: pod["spec"]["initContainers"][0]["volumeMounts"].pop(), "mounts something"),
    "the loader has another host": (set_in(*LOADER, "volumeMounts", 3, "subPath", to="evil.toml"), "mounts something"),
    "ephemeral": (set_in("spec", "ephemeralContainers", to=[{"name": "x"}]), "the pod has 'ephemeralContainers'"),
    "hostPath": (set_in("spec", "volumes", 0, to=HOST_PATH), "the volume models is not the emptyDir"),
    "more volumes": (lambda pod: pod["spec"]["volumes"].append({"name": "x", "emptyDir": {}}), "has the volumes"),
    "other secret": (set_in("spec", "volumes", 2, "secret", to={"secretName": "db"}), "volume lockgate-host"),
    "models can be written": (lambda pod: pod["spec"]["containers"][0]["volumeMounts"][0].pop("readOnly"), "mounts so"),
    "over the files": (
        lambda pod: pod["spec"]["containers"][0]["volumeMounts"].append({"name": "tmp", "mountPath": f"{MODELS}/w"}),
        "mounts something else",
    ),
    "host network": (set_in("spec", "hostNetwork", to=True), "the pod has 'hostNetwork'"),
    "host processes": (set_in("spec", "hostPID", to=True), "the pod has 'hostPID'"),
    "shared processes": (set_in("spec", "shareProcessNamespace", to=True), "has 'shareProcessNamespace'"),
    "other names": (set_in("spec", "hostAliases", to=[{"ip": "1.2.3.4"}]), "the pod has 'hostAliases'"),
    "a field of tomorrow": (set_in("spec", "brainImplant", to="yes"), "the pod has 'brainImplant'"),
    "a token": (set_in("spec", "automountServiceAccountToken", to=True), "automountServiceAccountToken: false"),
    "a token by default": (lambda pod: pod["spec"].pop("automountServiceAccountToken"), "does not say automount"),
    "links": (lambda pod: pod["spec"].pop("enableServiceLinks"), "does not say enableServiceLinks: false"),
    "root": (set_in("spec", "securityContext", "runAsUser", to=0), "the pod may run as root"),
    "perhaps root": (set_in("spec", "securityContext", "runAsNonRoot", to=False), "the pod may run as root"),
    "group root": (set_in("spec", "securityContext", "runAsGroup", to=0), "may be of the group root"),
    "no group": (lambda pod: pod["spec"]["securityContext"].pop("runAsGroup"), "may be of the group root"),
    "files of root": (set_in("spec", "securityContext", "fsGroup", to=0), "may be of the group root"),
    "also root": (set_in("spec", "securityContext", "supplementalGroups", to=[7, 0]), "may be of the group root"),
    "group root alone": (set_in(*MODEL, "securityContext", "runAsGroup", to=0), "has 'runAsGroup'"),
    "runtime": (set_in("spec", "runtimeClassName", to="privileged"), "runs in 'privileged', which nobody named"),
    "network": (set_in("metadata", "annotations", "k8s.v1.cni.cncf.io/networks", to="x"), "has the annotation 'k8s.v1"),
    "apparmor": (
        set_in("metadata", "annotations", "container.apparmor.security.beta.kubernetes.io/model", to="unconfined"),
        "has the annotation 'container.apparmor",
    ),
    "seccomp": (
        set_in("metadata", "annotations", "seccomp.security.alpha.kubernetes.io/pod", to="unconfined"),
        "has the annotation 'seccomp",
    ),
    "another mark of ours": (set_in("metadata", "annotations", "lockgate.invalid/x", to=""), "has the annotation"),
    "probe elsewhere": (set_in(*MODEL, "livenessProbe", to={"httpGet": {"host": "10.0.0.1"}}), "has 'host'"),
    "probe a host": (set_in(*MODEL, "startupProbe", to={"tcpSocket": {"host": "10.0.0.1"}}), "has 'host'"),
    "probe of tomorrow": (set_in(*MODEL, "readinessProbe", to={"dance": {"port": 80}}), "has 'dance'"),
    "sysctls": (set_in("spec", "securityContext", "sysctls", to=[{"name": "x"}]), "has 'sysctls'"),
    "unconfined": (set_in("spec", "securityContext", "seccompProfile", to={"type": "Unconfined"}), "does not ask"),
    "privileged": (set_in(*MODEL, "securityContext", "privileged", to=True), "has 'privileged'"),
    "capabilities": (set_in(*MODEL, "securityContext", "capabilities", to={"add": ["NET_ADMIN"]}), "capabilities"),
    "can be written": (set_in(*MODEL, "securityContext", "readOnlyRootFilesystem", to=False), "readOnlyRootFile"),
    "unconfined alone": (set_in(*MODEL, "securityContext", "seccompProfile", to={"type": "Localhost"}), "another sec"),
    "probe": (set_in(*MODEL, "livenessProbe", to={"exec": {"command": ["sh"]}}), "runs a command of its own"),
    "hook": (set_in(*MODEL, "lifecycle", to={"postStart": {"exec": {"command": ["sh"]}}}), "has 'lifecycle'"),
    "host port": (set_in(*MODEL, "ports", 0, "hostPort", to=80), "a port of the container has 'hostPort'"),
    "message": (set_in(*MODEL, "terminationMessagePath", to="/mnt/models/x"), "terminationMessagePath"),
    "a terminal": (set_in(*MODEL, "stdin", to=True), "has 'stdin'"),
    "devices": (set_in(*MODEL, "volumeDevices", to=[{"name": "x"}]), "has 'volumeDevices'"),
    "wrong release": (set_in("metadata", "annotations", RELEASE, to=str(OTHER)), "which nothing lets serve at"),
    "no release": (lambda pod: pod["metadata"]["annotations"].pop(RELEASE), "which nothing lets serve at"),
    "label of another": (set_in("metadata", "labels", ENDPOINT, to="other"), "labels say lockgate.invalid/endpoint="),
    "no labels": (lambda pod: pod["metadata"].pop("labels"), "the pod's labels say"),
    "no spec": (lambda pod: pod.pop("spec"), "has 0 containers"),
    "a list for a spec": (set_in("spec", to=[]), "has 0 containers"),
    "texts for containers": (set_in("spec", "containers", to="x"), "has 0 containers"),
}  # fmt: skip


@pytest.mark.parametrize(("spoil", "reason"), NEAR_MISSES.values(), ids=NEAR_MISSES.keys())
def test_a_pod_that_differs_in_one_thing_is_refused(spoil, reason):
    found = pod()
    spoil(found)

    assert any(reason in each for each in reasons(found)), reasons(found)


def test_all_reasons_are_given_at_once():
    found = pod()
    for name in ("latest", "hostPath", "args", "root"):
        NEAR_MISSES[name][0](found)

    answer = json.loads(verdict(asked(found)).encode())["response"]

    assert answer["allowed"] is False and answer["status"]["code"] == 403
    assert len(reasons(found)) == 4 and all(each in answer["status"]["message"] for each in reasons(found))


@pytest.mark.parametrize("error", [DeniedError("prod/magika is suspended"), VerificationError("the passport is false")])
def test_without_a_passport_nothing_runs(error):
    found = verdict(asked(pod()), judged=[error])

    assert found.reasons[-1] == str(error)
    assert verdict(asked(pod()), judged=[]).reasons


def test_a_pod_of_a_revoked_release_or_a_suspended_endpoint_is_refused():
    for stop in (lambda world: world.shut_down(), lambda world: world.revoke("magika@1.0.0")):
        world = World()
        release = world.serve(serve=Serve(SERVE.command, SERVE.environment, IMAGE))
        document = asked(pod_of(Wanted(PROD, release.digest, release.manifest.serve), "registry.example/m", TERMS))
        assert verdict(document, [world.admit()]).reasons == ()

        stop(world)

        with pytest.raises(LockgateError) as error:
            world.admit()
        assert verdict(document, [error.value]).reasons


def test_the_passport_of_another_endpoint_admits_nothing():
    found = pod()
    found["metadata"]["annotations"][ENDPOINT] = "prod/other"

    assert "nothing lets serve at prod/other" in reasons(found)[0]


@pytest.mark.parametrize("named", [None, 7, "", "prod", "prod/../x", "prod/magika/x", "PROD/magika"])
def test_a_pod_that_names_no_endpoint_asks_for_no_passport(named):
    found = pod()
    found["metadata"]["annotations"][ENDPOINT] = named
    review = parse_review(asked(found).encode())

    with pytest.raises(DeniedError, match="annotation") as error:
        asked_endpoint(review)
    assert refuse(review, error.value).reasons == error.value.reasons


def test_what_runs_may_lose_and_gain_what_does_not_matter():
    new = pod()
    new["metadata"] |= {"finalizers": [], "labels": {**new["metadata"]["labels"], "app": "x"}}
    new["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"] = "model"
    new["spec"]["tolerations"] = [{"key": "node.kubernetes.io/not-ready"}]

    assert reasons(new, operation="UPDATE", before=pod()) == ()
    assert asked_endpoint(parse_review(asked(new, "UPDATE", pod()).encode())) is None


@pytest.mark.parametrize("name", NEAR_MISSES)
def test_what_runs_is_not_changed(name):
    new = pod()
    NEAR_MISSES[name][0](new)

    found = reasons(new, operation="UPDATE", before=pod())

    assert any("cannot be changed while the pod runs" in each for each in found)


def test_an_update_without_what_was_before_is_refused():
    assert reasons(pod(), operation="UPDATE")


@pytest.mark.parametrize(
    ("operation", "resource", "below"),
    [
        ("CONNECT", "pods", "exec"),
        ("CONNECT", "pods", "attach"),
        ("CONNECT", "pods", "portforward"),
        ("CONNECT", "pods", "proxy"),
        ("CONNECT", "services", "proxy"),
        ("UPDATE", "pods", "ephemeralcontainers"),
        ("CREATE", "pods", "binding"),
        ("CREATE", "services", ""),
        ("create", "pods", ""),
        ("", "pods", ""),
    ],
)
def test_nobody_enters_a_pod_and_nothing_else_is_judged(operation, resource, below):
    found = reasons(pod(), operation=operation, resource=resource, below=below, before=pod())

    assert "nobody enters or changes" in found[0]


def test_a_pod_of_another_group_is_no_pod():
    document = asked(pod()).replace('"resource": {"group": ""', '"resource": {"group": "evil.example"')

    assert "CREATE of evil.example/v1/pods: nobody enters" in verdict(document).reasons[0]


def test_taking_away_is_never_refused():
    assert reasons(None, operation="DELETE", before=pod()) == ()


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{}",
        b"[]",
        asked(pod()).encode()[:-1],
        asked(pod()).replace("admission.k8s.io/v1", "admission.k8s.io/v1beta1").encode(),
        asked(pod()).replace("AdmissionReview", "ImageReview").encode(),
        asked(pod(), uid="").encode(),
        asked(pod(), uid=None).encode(),
        asked(pod(), uid="x" * 65).encode(),
        asked(pod(), operation=None).encode(),
        asked(pod()).replace('"uid": "1-2"', '"uid": "1", "uid": "1-2"').encode(),
        asked({"spec": {"x": "y" * MAX_REVIEW}}).encode(),
        asked({"spec": json.loads("[" * 40 + "]" * 40)}).encode(),
        b"[" * 100_000,
        asked({"spec": {"x": 1.5}}).encode(),
    ],
)
def test_what_is_no_review_is_refused(document):
    with pytest.raises(VerificationError):
        parse_review(document)


WORDS = [
    "metadata",
    "spec",
    "containers",
    "annotations",
    "name",
    "image",
    "securityContext",
    "volumes",
    ENDPOINT,
    RELEASE,
]
SCALARS = st.none() | st.booleans() | st.text(max_size=8) | st.integers(0, 9)
THINGS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(WORDS), THINGS))
def test_no_other_pod_ever_runs(found):
    with suppress(LockgateError):
        assert verdict(asked(found)).reasons


@pytest.mark.parametrize(
    "image", ["localhost:5000@sha256:" + "a" * 64, "A/b@sha256:" + "a" * 64, "", None, 7, "x@md5:1"]
)
def test_an_image_is_named_by_its_digest_alone(image):
    with pytest.raises(VerificationError):
        image_digest(image)
    with pytest.raises(VerificationError):
        Terms(image)


def test_a_registry_may_have_a_port():
    assert image_digest(f"localhost:5000/model@{IMAGE}") == IMAGE


@pytest.mark.parametrize(
    "serve", [Serve(("serve", "{bindings}/db"), {}, IMAGE), Serve(("x",), {"D": "{bindings}"}, IMAGE)]
)
def test_a_release_that_wants_what_only_an_agent_grants_has_no_pod(serve):
    wanted = Wanted(PROD, IMAGE, serve)

    with pytest.raises(VerificationError, match=r"wants .bindings."):
        pod_of(wanted, "registry.example/model", TERMS)
    assert any("wants {bindings}" in each for each in complaints(pod(), wanted, TERMS))


def test_a_release_without_an_image_has_no_pod():
    wanted = Wanted(Endpoint.parse("prod/x"), IMAGE, SERVE)

    with pytest.raises(VerificationError, match="names no image"):
        pod_of(wanted, "registry.example/model", TERMS)
