"""What does a pod look like that serves a release, and what is wrong with one that looks otherwise?

    loader (ours, by digest) ── verified files ──▶ models, in memory ──▶ model (the release's image and command)

Everything that is not known here is refused: a field that Kubernetes gets tomorrow says no until somebody has read what
it does. What a cluster may choose (where it runs, how much it gets, which probes ask it over the network) is listed.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from lockgate.core.release import Serve
from lockgate.errors import VerificationError
from lockgate.formats.canonical import Json
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint

DOMAIN = "lockgate.invalid"
ENDPOINT, RELEASE = f"{DOMAIN}/endpoint", f"{DOMAIN}/release"
MODELS, HOST, PORT = "/mnt/models", "/var/lib/lockgate", 8500
USER = 65532

_LONGEST_LABEL = 63
_UNBOUND = "wants {bindings}, which an agent on a host grants and no pod has"
_SHORT = 12  # digits of a digest in a name
_PLACE = re.compile(r"\{(model|port|python|file:[^{}]*)\}")
_IMAGE = re.compile(r"[a-z0-9][a-z0-9._:/-]{0,254}@sha256:[0-9a-f]{64}")
_HOST_FILES = {"host.toml": "host.toml", "root.json": "root.json", "ca.pem": "ca.pem", "node.pem": "keys/node.pem"}
_FREE_OF_A_POD = {
    *("restartPolicy", "terminationGracePeriodSeconds", "activeDeadlineSeconds", "dnsPolicy", "nodeSelector"),
    *("serviceAccountName", "serviceAccount", "nodeName", "imagePullSecrets", "affinity", "schedulerName"),
    *("tolerations", "priorityClassName", "priority", "preemptionPolicy", "overhead"),
    *("topologySpreadConstraints", "schedulingGates", "hostname", "subdomain"),
}
_JUDGED_OF_A_POD = {
    *("containers", "initContainers", "volumes", "automountServiceAccountToken", "enableServiceLinks"),
    *("securityContext", "runtimeClassName"),
}
_FREE_OF_A_CONTAINER = {"name", "resources", "imagePullPolicy", "ports"}
_JUDGED_OF_A_CONTAINER = {"image", "command", "env", "volumeMounts", "workingDir", "securityContext"}
_ONLY_SO = {"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_TIMES_OF_A_PROBE = {
    *("initialDelaySeconds", "periodSeconds", "timeoutSeconds", "successThreshold", "failureThreshold"),
    "terminationGracePeriodSeconds",
}
_ASKED_BY_A_PROBE = {
    "httpGet": {"path", "port", "scheme", "httpHeaders"},  # no host: a kubelet would ask anybody in our name
    "tcpSocket": {"port"},
    "grpc": {"port", "service"},
}
_OF_KUBECTL, _OF_LIMITS = "kubectl.kubernetes.io/", "kubernetes.io/limit-ranger"
_AS_THE_POD_SAYS = {"seccomp.security.alpha.kubernetes.io/pod": "runtime/default"}  # as API servers before 1.27 add
_SAFE_OF_A_POD = {"runAsUser", "runAsGroup", "fsGroup", "fsGroupChangePolicy", "supplementalGroups"}


@dataclass(frozen=True, slots=True)
class Terms:
    """What is the same for all pods of a cluster: our image that loads files, and the secret that makes it a host."""

    loader: str
    secret: str = "lockgate-node"  # noqa: S105 - its name
    runtime_class: str | None = None

    def __post_init__(self) -> None:
        image_digest(self.loader)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a pod is compared with: where it serves, which release, and how that one is served."""

    endpoint: Endpoint
    release: Digest
    serve: Serve


def image_digest(image: object) -> Digest:
    """Read the digest by which an image is named; raise `VerificationError` if a tag, or nothing, names it."""
    if not isinstance(image, str) or not _IMAGE.fullmatch(image):
        raise VerificationError(f"the image {str(image)[:120]!a} is not named by its digest (NAME@sha256:…)")
    name, _, digest = image.partition("@")
    if ":" in name.rpartition("/")[2]:
        raise VerificationError(f"the image {image[:120]!a} has a tag too, which may be read as another image")
    return Digest.parse(digest)


def marks_of(wanted: Wanted) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Give the labels by which services find a pod, and the annotations by which it says what it serves."""
    labels = {ENDPOINT: str(wanted.endpoint.name), RELEASE: wanted.release.hex[:_LONGEST_LABEL]}
    return labels, {ENDPOINT: str(wanted.endpoint), RELEASE: str(wanted.release)}


def name_of(endpoint: Endpoint, release: Digest) -> str:
    """Name the workload and the service of one release at an endpoint; the labels tell which it is, not this."""
    return f"{endpoint.name.text[:40].rstrip('-')}-{release.hex[:_SHORT]}"


def pod_of(wanted: Wanted, image: str, terms: Terms) -> dict[str, Json]:
    """Write the template of a pod that serves a release, from the image of that name and the release's digest."""
    if wanted.serve.image is None:
        raise VerificationError(f"{wanted.release} names no image, so no pod can serve it")
    if _wants_bindings(wanted.serve):
        raise VerificationError(f"{wanted.release} {_UNBOUND}")
    labels, annotations = marks_of(wanted)
    model: dict[str, Json] = {
        "name": "model",
        "image": f"{image}@{wanted.serve.image}",
        "command": _command(wanted.serve),
        "workingDir": MODELS,
        "env": [{"name": name, "value": value} for name, value in _environment(wanted.serve).items()],
        "ports": [{"containerPort": PORT, "protocol": "TCP", "name": "http"}],
        "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "4Gi"}},
        "securityContext": sealed_context(),
        "volumeMounts": _model_mounts(),
    }
    loader: dict[str, Json] = {
        "name": "lockgate-load",
        "image": terms.loader,
        "command": _load_command(wanted),
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "4Gi"}},
        "securityContext": sealed_context(),
        "volumeMounts": _loader_mounts(),
    }
    spec: dict[str, Json] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_context(),
        "initContainers": [loader],
        "containers": [model],
        "volumes": [{"name": name, **source} for name, source in _volumes(terms).items()],
    }
    return {"metadata": {"labels": labels, "annotations": annotations}, "spec": spec}


def sealed_context() -> dict[str, Json]:
    """Give the security context of every container of ours."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
    }


def pod_context(user: int = USER) -> dict[str, Json]:
    """Give the security context of every pod of ours."""
    return {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": user,
        "fsGroup": user,
        "fsGroupChangePolicy": "OnRootMismatch",  # else each start lets the group read what belongs to one user
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def complaints(pod: Mapping[str, Json], wanted: Wanted, terms: Terms) -> Iterator[str]:
    """Say everything in which a pod is not as `pod_of` writes it; nothing if it may run."""
    spec = _object(pod.get("spec"))
    yield from _marks_complaints(_object(pod.get("metadata")), wanted)
    yield from _unknown(spec, _FREE_OF_A_POD | _JUDGED_OF_A_POD, "the pod")
    yield from [f"the release {_UNBOUND}"] if _wants_bindings(wanted.serve) else []
    for name in ("automountServiceAccountToken", "enableServiceLinks"):
        if spec.get(name) is not False:
            yield f"the pod does not say {name}: false"
    yield from _runtime_complaints(spec.get("runtimeClassName"), terms)
    yield from _pod_context(_object(spec.get("securityContext")))
    yield from _volumes_complaints(spec.get("volumes"), terms)
    initial, containers = _objects(spec.get("initContainers")), _objects(spec.get("containers"))
    if len(initial) != 1:
        yield f"the pod has {len(initial)} init containers, not our loader alone"
    if len(containers) != 1:
        yield f"the pod has {len(containers)} containers, not one"
    for each in initial:
        yield from _loader_complaints(each, wanted, terms)
    for each in containers:
        yield from _model_complaints(each, wanted)


def is_free(annotation: str) -> bool:
    """Tell whether an annotation is one that a cluster may write on a pod: it changes nothing there."""
    return annotation.startswith(_OF_KUBECTL) or annotation == _OF_LIMITS


def _marks_complaints(metadata: Mapping[str, Json], wanted: Wanted) -> Iterator[str]:
    labels, annotations = marks_of(wanted)
    for kind, marks in (("labels", labels), ("annotations", annotations)):
        yield from _marked(kind, _object(metadata.get(kind)), marks)
    found = _object(metadata.get("annotations"))
    for name in sorted(found.keys() - annotations.keys()):
        if not is_free(name) and (name, found[name]) not in _AS_THE_POD_SAYS.items():
            yield f"the pod has the annotation {name[:80]!a}, which may mean anything to a cluster"


def _runtime_complaints(found: Json, terms: Terms) -> Iterator[str]:
    if found not in (None, terms.runtime_class):
        yield f"the pod runs in {str(found)[:80]!a}, which nobody named"


def _marked(kind: str, found: Mapping[str, Json], wanted: Mapping[str, str]) -> Iterator[str]:
    for name, value in wanted.items():
        if found.get(name) != value:
            yield f"the pod's {kind} say {name}={str(found.get(name))[:80]!a}, not {value}"


def _pod_context(found: Mapping[str, Json]) -> Iterator[str]:
    yield from _unknown(found, _SAFE_OF_A_POD | {"runAsNonRoot", "seccompProfile"}, "the pod's securityContext")
    if found.get("runAsNonRoot") is not True or found.get("runAsUser") == 0:
        yield "the pod may run as root"
    more = found.get("supplementalGroups") or []
    groups = [found.get("runAsGroup"), found.get("fsGroup", USER), *(more if isinstance(more, list) else [0])]
    if not all(type(group) is int and group > 0 for group in groups):
        yield "the pod may be of the group root: it has to say runAsGroup, and no group 0"
    if found.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "the pod does not ask for the seccomp profile RuntimeDefault"


def _volumes_complaints(found: Json, terms: Terms) -> Iterator[str]:
    wanted, listed = _volumes(terms), _objects(found)
    names = [str(each.get("name")) for each in listed]
    if sorted(names) != sorted(wanted):
        yield f"the pod has the volumes {', '.join(names)[:200]!a}, not {', '.join(sorted(wanted))}"
    for each in listed:
        name, source = str(each.get("name")), {kind: value for kind, value in each.items() if kind != "name"}
        if name in wanted and _without_default(source) != wanted[name]:
            yield f"the volume {name} is not the {next(iter(wanted[name]))} that it should be"


def _without_default(source: Mapping[str, Json]) -> Mapping[str, Json]:
    secret = source.get("secret")
    if not isinstance(secret, Mapping):
        return source
    return {
        **source,
        "secret": {name: value for name, value in secret.items() if (name, value) != ("defaultMode", 420)},
    }


def _loader_complaints(found: Mapping[str, Json], wanted: Wanted, terms: Terms) -> Iterator[str]:
    yield from _container_complaints(found, "init container")
    if found.get("image") != terms.loader:
        yield f"the init container runs {str(found.get('image'))[:160]!a}, not our loader {terms.loader}"
    if found.get("command") != _load_command(wanted):
        yield f"the init container does not run `{' '.join(_load_command(wanted))}`"
    if found.get("env") or "workingDir" in found:
        yield "the init container has an environment or a folder of its own"
    if not _same(found.get("volumeMounts"), _loader_mounts()):
        yield "the init container mounts something else than our loader does"


def _model_complaints(found: Mapping[str, Json], wanted: Wanted) -> Iterator[str]:
    yield from _container_complaints(found, "container")
    try:
        if (digest := image_digest(found.get("image"))) != wanted.serve.image:
            yield f"the image is {digest}; the passport says {wanted.serve.image or 'none'}"
    except VerificationError as e:
        yield str(e)
    if found.get("command") != _command(wanted.serve):
        yield f"the command is {str(found.get('command'))[:200]!a}, not that of the passport"
    if found.get("workingDir") != MODELS:
        yield f"the container does not start in {MODELS}"
    if not _same(found.get("env", []), [{"name": k, "value": v} for k, v in _environment(wanted.serve).items()]):
        yield "the environment is not that of the passport"
    if not _same(found.get("volumeMounts"), _model_mounts()):
        yield f"the container mounts something else than the verified files at {MODELS}, to read"


def _container_complaints(found: Mapping[str, Json], what: str) -> Iterator[str]:
    known = _FREE_OF_A_CONTAINER | _JUDGED_OF_A_CONTAINER | set(_ONLY_SO) | set(_PROBES)
    yield from _unknown(found, known, f"the {what}")
    for name, only in _ONLY_SO.items():
        if found.get(name, only) != only:
            yield f"the {what} says {name}: {str(found[name])[:80]!a}"
    for name in _PROBES:
        yield from _probe_complaints(_object(found.get(name)), f"the {name} of the {what}")
    for port in _objects(found.get("ports")):
        yield from _unknown(port, {"name", "containerPort", "protocol"}, f"a port of the {what}")
    yield from _context_complaints(_object(found.get("securityContext")), what)


def _probe_complaints(probe: Mapping[str, Json], what: str) -> Iterator[str]:
    if "exec" in probe:
        yield f"{what} runs a command of its own"
    yield from _unknown(probe, {*_TIMES_OF_A_PROBE, *_ASKED_BY_A_PROBE, "exec"}, what)
    for kind, known in _ASKED_BY_A_PROBE.items():
        yield from _unknown(_object(probe.get(kind)), known, f"{what}, {kind},")


def _context_complaints(context: Mapping[str, Json], what: str) -> Iterator[str]:
    for name, value in sealed_context().items():
        if context.get(name) != value:
            yield f"the {what} does not say securityContext.{name}: {value}"
    yield from _unknown(context, {*sealed_context(), "seccompProfile"}, f"the securityContext of the {what}")
    if context.get("seccompProfile", {"type": "RuntimeDefault"}) != {"type": "RuntimeDefault"}:
        yield f"the {what} has another seccomp profile than RuntimeDefault"


def _unknown(found: Mapping[str, Json], known: set[str], what: str) -> Iterator[str]:
    for name in sorted(found.keys() - known):
        if found[name] is not False and found[name] not in (None, [], {}):  # a 0 says something: root
            yield f"{what} has {name[:80]!a}, which no pod that serves a release has"


def _wants_bindings(serve: Serve) -> bool:
    return any("{bindings}" in word for word in (*serve.command, *serve.environment.values()))


def _command(serve: Serve) -> list[str]:
    """Fill in the manifest's command as a pod runs it, with `$` written so that Kubernetes expands nothing."""
    values = {"model": MODELS, "port": str(PORT), "python": "python3"}

    def fill(place: re.Match[str]) -> str:
        return values.get(place[1]) or f"{MODELS}/{place[1].removeprefix('file:')}"

    return [_PLACE.sub(fill, word).replace("$", "$$") for word in serve.command]


def _environment(serve: Serve) -> dict[str, str]:
    return {name: value.replace("$", "$$") for name, value in sorted(serve.environment.items())}


def _load_command(wanted: Wanted) -> list[str]:
    return ["lockgate", "load", "--home", HOST, f"lockgate://{wanted.endpoint}/{wanted.release}", MODELS]


def _loader_mounts() -> list[dict[str, Json]]:
    mounts: list[dict[str, Json]] = [
        {"name": "models", "mountPath": MODELS},
        {"name": "lockgate-memory", "mountPath": HOST},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - of the container
    ]
    for name, path in _HOST_FILES.items():
        mounts.append({"name": "lockgate-host", "mountPath": f"{HOST}/{path}", "subPath": name, "readOnly": True})
    return mounts


def _model_mounts() -> list[dict[str, Json]]:
    return [
        {"name": "models", "mountPath": MODELS, "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - of the container
    ]


def _volumes(terms: Terms) -> dict[str, dict[str, Json]]:
    memory: dict[str, Json] = {"emptyDir": {"medium": "Memory"}}
    secret: dict[str, Json] = {"secret": {"secretName": terms.secret}}
    return {"models": memory, "lockgate-memory": memory, "lockgate-host": secret, "tmp": {"emptyDir": {}}}


def _same(found: Json, wanted: Sequence[Mapping[str, Json]]) -> bool:
    """Tell whether a list holds exactly these objects, in any order."""
    if not isinstance(found, list) or len(found) != len(wanted):
        return False
    return all(each in found for each in wanted) and all(each in wanted for each in found)


def _object(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, Mapping) else {}


def _objects(value: Json) -> list[Mapping[str, Json]]:
    return [_object(each) for each in value] if isinstance(value, list) else []
