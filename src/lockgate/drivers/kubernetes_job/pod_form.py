"""What does the pod of a job look like? Restricted, without a token, on a closed network, every limit written down.

Inputs lie on a claim that the runner has mounted too: `Grounds.folder` is where it sees them. They are shown read-only,
one mount for each, and nothing else of the claim.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lockgate.core.pod import USER, pod_context, sealed_context
from lockgate.errors import UnavailableError
from lockgate.evaluator.sandbox import Job
from lockgate.formats.canonical import Json

Object = dict[str, Json]

WALLS, JOB, REPORT = "walls", "job", "report"
HELD = ("namespaces", "seccomp", "cgroup", "limits")
"""What a pod can promise: there is no Landlock in it."""
MOST_REPORTED = 2 << 20
"""Bytes of files that a log carries: the answer of an API server is read up to 4 MiB, and base64 takes a third more."""

_OURS = ("python3", "-I", "-m", "lockgate.drivers.kubernetes_job.in_pod")
_MARK = "lockgate.invalid/trial"
_KEPT_SECONDS = 600
_TMP = "/tmp"  # noqa: S108 - of the container


@dataclass(frozen=True, slots=True)
class Grounds:
    """Where in a cluster jobs run, and in what.

    Attributes:
        namespace: Where; its Pod security is `restricted`.
        image: The image of jobs, by digest.
        ours: An image with Lockgate in it, by digest: it probes and reports.
        claim: The persistent volume claim on which inputs lie.
        folder: Where the runner sees that claim.
        runtime: A runtime class such as that of gVisor; None for the one of the cluster.
    """

    namespace: str
    image: str
    ours: str
    claim: str
    folder: Path
    runtime: str | None = None


def job_form(name: str, job: Job, grounds: Grounds, needed: Sequence[str]) -> Object:
    """Write the Job: one pod, once, for so long, behind walls without a gap in what is `needed`."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": grounds.namespace, "labels": {_MARK: name}},
        "spec": {
            "activeDeadlineSeconds": job.limits.seconds,
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "ttlSecondsAfterFinished": _KEPT_SECONDS,
            "template": {"metadata": {"labels": {_MARK: name}}, "spec": _pod(job, grounds, needed)},
        },
    }


def policy_form(name: str, grounds: Grounds) -> Object:
    """Write the NetworkPolicy: nobody reaches the pod, and it reaches nobody."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": grounds.namespace},
        "spec": {"podSelector": {"matchLabels": {_MARK: name}}, "policyTypes": ["Ingress", "Egress"]},
    }


def pods_of(name: str, grounds: Grounds) -> str:
    """Say where the pods of a job are listed."""
    return f"/api/v1/namespaces/{grounds.namespace}/pods?labelSelector={_MARK.replace('/', '%2F')}%3D{name}"


def _pod(job: Job, grounds: Grounds, needed: Sequence[str]) -> Object:
    limits = job.limits
    volumes: list[Json] = [
        {"name": "inputs", "persistentVolumeClaim": {"claimName": grounds.claim, "readOnly": True}},
        {"name": "out", "emptyDir": {"sizeLimit": str(limits.disk)}},
        {"name": "tmp", "emptyDir": {"sizeLimit": str(limits.disk)}},
    ]
    out: Object = {"name": "out", "mountPath": "/out"}
    foreign: Object = {
        **_container(JOB, grounds.image, job.command, [out, {"name": "tmp", "mountPath": _TMP}], job),
        "env": [{"name": key, "value": _plain(value)} for key, value in sorted(job.environment.items())],
        "workingDir": _TMP,
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    mounted = foreign["volumeMounts"]
    assert isinstance(mounted, list)
    mounted += [
        {"name": "inputs", "mountPath": f"/in/{name}", "subPath": _below(path, grounds), "readOnly": True}
        for name, path in sorted(job.inputs.items())
    ]
    report = (*_OURS, REPORT, str(min(limits.disk, MOST_REPORTED)))
    return {
        "activeDeadlineSeconds": limits.seconds,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "restartPolicy": "Never",
        "securityContext": pod_context(USER),
        "initContainers": [_container(WALLS, grounds.ours, (*_OURS, WALLS, *needed), [], job), foreign],
        "containers": [_container(REPORT, grounds.ours, report, [{**out, "readOnly": True}], job)],
        "volumes": volumes,
        **({"runtimeClassName": grounds.runtime} if grounds.runtime else {}),
    }


def _container(name: str, image: str, command: tuple[str, ...], mounts: list[Json], job: Job) -> Object:
    size: Mapping[str, str] = {
        "cpu": "1",
        "memory": str(job.limits.memory),
        "ephemeral-storage": str(job.limits.disk * 2),
    }
    return {
        "name": name,
        "image": image,
        "command": [_plain(word) for word in command],
        "volumeMounts": mounts,
        "securityContext": sealed_context(),
        "resources": {"limits": dict(size), "requests": dict(size)},
    }


def _plain(word: str) -> str:
    """Keep a kubelet from replacing `$(NAME)`: `$$` stands for one `$`."""
    return word.replace("$", "$$")


def _below(path: Path, grounds: Grounds) -> str:
    """Say where on the claim an input lies."""
    found, folder = path.resolve(), grounds.folder.resolve()
    if found == folder or not found.is_relative_to(folder):
        raise UnavailableError(f"a cluster sees no {path}: copy it below {folder}, which is the claim {grounds.claim}")
    return str(found.relative_to(folder))
