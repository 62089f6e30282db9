"""How is a job of a cluster watched, and what is believed of it? What the API server says of the pod, and nothing else.

The code of a job is the one that the kubelet wrote down, its files are those of our own report, whose log has the
digest that the kubelet carried beside it. Layers are those that our own probe found in that pod, before anything
foreign began; a job whose walls have a gap never begins. A job that failed leaves its last words and no files.
"""

import base64
import binascii
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

from lockgate.drivers.kubernetes_job.pod_form import (
    HELD,
    JOB,
    REPORT,
    WALLS,
    Grounds,
    Object,
    job_form,
    pods_of,
    policy_form,
)
from lockgate.errors import UnavailableError, VerificationError
from lockgate.evaluator.sandbox import LAYERS, Job, Outcome, Served
from lockgate.formats import canonical
from lockgate.formats.canonical import Json
from lockgate.formats.digest import Digest

_MAY_LACK = frozenset({"seccomp", "landlock", "cgroup"})
_LOOK_SECONDS, _GRACE_SECONDS = 1.0, 120
_MOST_SAID = 1 << 16
_WAYS_OUT = {
    "namespaces": "its pod has rights, or reaches the API server or a name server: no NetworkPolicy is kept there",
    "seccomp": "its runtime puts no filter on; name a runtime class that holds as well, and that seccomp may lack",
    "cgroup": "its kubelet limits no memory",
}
_WHY = {"DeadlineExceeded": "seconds", "Evicted": "disk", "OOMKilled": "memory"}


class Api(Protocol):
    """An API server."""

    def apply(self, path: str, wanted: Mapping[str, Json]) -> Mapping[str, Json]:
        """Make an object have these fields."""

    def find(self, path: str) -> Mapping[str, Json] | None:
        """Read an object, None if there is none."""

    def delete(self, path: str) -> None:
        """Remove an object; one that is not there is removed."""


@dataclass(frozen=True, slots=True)
class _Ended:
    """How a container ended, as the kubelet says."""

    code: int
    reason: str
    message: str


class KubernetesJob:
    """A sandbox of a cluster. `allow` names layers that may lack; nothing there has Landlock."""

    def __init__(self, api: Api, grounds: Grounds, *, allow: frozenset[str] = frozenset({"landlock"})) -> None:
        if unknown := allow - _MAY_LACK:
            raise VerificationError(f"only {', '.join(sorted(_MAY_LACK))} may lack, not {', '.join(sorted(unknown))}")
        self._api, self._grounds, self._allow = api, grounds, allow

    def run(self, job: Job) -> Outcome:
        """Run a job to its end, or to the limit that ends it; nothing of it is alive afterwards."""
        if job.port is not None or job.reach or job.hosts:
            raise UnavailableError("a job in a cluster has no network at all; run this one behind bubblewrap")
        if "landlock" not in self._allow:
            raise UnavailableError("no landlock: containers have none; name the weaker mode: landlock may lack")
        name = f"trial-{secrets.token_hex(8)}"
        with self._placed(name, job):
            return self._outcome(self._wait(name, job))

    @contextmanager
    def serve(self, job: Job) -> Iterator[Served]:
        """Refuse: nobody reaches into a pod of this kind."""
        raise UnavailableError(f"a job in a cluster serves nobody: serve port {job.port} behind bubblewrap")
        yield

    @contextmanager
    def _placed(self, name: str, job: Job) -> Iterator[None]:
        """Close the network before the pod is there, and take both away afterwards."""
        space = self._grounds.namespace
        policy = f"/apis/networking.k8s.io/v1/namespaces/{space}/networkpolicies/{name}"
        placed = f"/apis/batch/v1/namespaces/{space}/jobs/{name}"
        wanted = job_form(name, job, self._grounds, sorted(set(HELD) - self._allow))
        try:
            self._api.apply(policy, policy_form(name, self._grounds))
            self._api.apply(placed, wanted)
            yield
        finally:
            with suppress(UnavailableError):  # the cluster takes a finished job away by itself, and its pod with it
                self._api.delete(f"{placed}?propagationPolicy=Background")
                self._api.delete(policy)

    def _wait(self, name: str, job: Job) -> Object:
        """Return the pod when it has ended."""
        end = time.monotonic() + job.limits.seconds + _GRACE_SECONDS
        while time.monotonic() < end:
            pods = _listed(self._api.find(pods_of(name, self._grounds)) or {}, "items")
            for pod in pods:
                if _of(pod, "status").get("phase") in ("Succeeded", "Failed"):
                    return pod
            time.sleep(_LOOK_SECONDS)
        raise UnavailableError(f"the cluster did not end {name} in {job.limits.seconds + _GRACE_SECONDS} seconds")

    def _outcome(self, pod: Object) -> Outcome:
        status = _of(pod, "status")
        walls, job, report = (_ended(status, name) for name in (WALLS, JOB, REPORT))
        why = _WHY.get(str(status.get("reason"))) or (_WHY.get(job.reason) if job else None)
        isolation = self._layers(walls, status)
        if job is None or job.code != 0 or why:
            code = job.code if job and job.code else -9
            return Outcome(code, {}, job.message.encode()[-_MOST_SAID:] if job else b"", isolation, why)
        if report is None or report.code != 0:
            return Outcome(0, {}, b"", isolation, "disk")
        return Outcome(0, self._files(str(_of(pod, "metadata").get("name")), report), b"", isolation)

    def _layers(self, walls: _Ended | None, status: Mapping[str, Json]) -> tuple[str, ...]:
        """Read what the probe found; raise when a layer lacks that may not."""
        if walls is None:
            told = status.get("message") or status.get("reason") or "the pod never began"
            raise UnavailableError(f"the cluster did not run the job: {str(told)[:500]}")
        found = set(_words(walls.message)) | {"limits"}
        if missing := sorted(set(HELD) - found - self._allow):
            raise UnavailableError("; ".join(f"no {layer}: {_WAYS_OUT[layer]}" for layer in missing))
        if walls.code != 0:
            raise UnavailableError(f"the probe of the walls ended with {walls.code}: {walls.reason[:200]}")
        return tuple(layer for layer in LAYERS if layer in HELD and layer in found)

    def _files(self, pod: str, report: _Ended) -> dict[str, bytes]:
        log = self._api.find(f"/api/v1/namespaces/{self._grounds.namespace}/pods/{pod}/log?container={REPORT}")
        if log is None:
            raise UnavailableError(f"the log of {pod} is gone")
        if str(Digest.of(canonical.encode(dict(log)))) != report.message:
            raise VerificationError(f"the log of {pod} is not what its last word says: {report.message[:80]!a}")
        try:
            return {name: base64.b64decode(str(text), validate=True) for name, text in _of(log, "files").items()}
        except binascii.Error as e:
            raise VerificationError(f"the log of {pod} has a file that is not base64") from e


def _words(message: str) -> list[str]:
    try:
        told = canonical.parse_object(message.encode()).get("layers")
    except VerificationError:
        return []
    return [str(word) for word in told] if isinstance(told, list) else []


def _of(found: Mapping[str, Json], name: str) -> Object:
    inner = found.get(name)
    return dict(inner) if isinstance(inner, dict) else {}


def _listed(found: Mapping[str, Json], name: str) -> list[Object]:
    inner = found.get(name)
    return [dict(each) for each in inner if isinstance(each, dict)] if isinstance(inner, list) else []


def _ended(status: Mapping[str, Json], name: str) -> _Ended | None:
    """Find how a container ended; None if it did not, or never began."""
    for each in (*_listed(status, "initContainerStatuses"), *_listed(status, "containerStatuses")):
        last = _of(_of(each, "state"), "terminated")
        if each.get("name") == name and last:
            code, reason, message = last.get("exitCode"), last.get("reason"), last.get("message")
            return _Ended(code if isinstance(code, int) else -9, str(reason or ""), str(message or ""))
    return None
