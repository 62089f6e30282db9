"""May this pod run? An AdmissionReview of Kubernetes (admission.k8s.io/v1) gets an answer with every reason.

    review ──▶ which endpoint? ──▶ its passports, judged: stable, candidate ──▶ is the pod what one of them says?
                                                                                    └─ no ─▶ every reason

Whoever asks is a cluster that refuses when nobody answers (`failurePolicy: Fail`). What runs is not changed, only
replaced, and nobody enters it: `exec`, `attach`, `portforward`, `proxy` and ephemeral containers are refused. Taking
away is never refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from lockgate.core.passport import Admission
from lockgate.core.pod import DOMAIN, ENDPOINT, RELEASE, Terms, Wanted, complaints, is_free
from lockgate.errors import DeniedError, LockgateError, VerificationError
from lockgate.formats import canonical
from lockgate.formats.canonical import Json
from lockgate.formats.names import Endpoint

MAX_REVIEW = 4 << 20
VERSION = "admission.k8s.io/v1"

_LONGEST_UID = 64
_MAX_REASONS = 32
_MAY_CHANGE = {"tolerations", "activeDeadlineSeconds", "terminationGracePeriodSeconds", "nodeName", "schedulingGates"}

Judged: TypeAlias = Sequence["Admission | LockgateError"]


@dataclass(frozen=True, slots=True)
class Review:
    """What a cluster asks: may this be done to that pod? Nothing in it is checked but its form."""

    uid: str
    operation: str
    resource: str
    pod: Mapping[str, Json]
    before: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a review: every reason against it; none is a yes."""

    uid: str
    reasons: tuple[str, ...]

    def encode(self) -> bytes:
        """Write it as Kubernetes reads it."""
        response: dict[str, Json] = {"uid": self.uid, "allowed": not self.reasons}
        if self.reasons:
            told = [*self.reasons[:_MAX_REASONS]]
            told += [f"and {len(self.reasons) - _MAX_REASONS} more"] if len(self.reasons) > _MAX_REASONS else []
            response["status"] = {"code": 403, "reason": "Forbidden", "message": "lockgate: " + "; ".join(told)}
        return canonical.encode({"apiVersion": VERSION, "kind": "AdmissionReview", "response": response})


def parse_review(data: bytes) -> Review:
    """Read an AdmissionReview; raise `VerificationError` for anything else."""
    found = canonical.parse_object(data, limit=MAX_REVIEW)
    if (found.get("apiVersion"), found.get("kind")) != (VERSION, "AdmissionReview"):
        raise VerificationError(f"not an AdmissionReview of {VERSION}")
    request = _object(found.get("request"))
    uid, operation = request.get("uid"), request.get("operation")
    if not isinstance(uid, str) or not 0 < len(uid) <= _LONGEST_UID or not isinstance(operation, str):
        raise VerificationError("the review has no request with a uid and an operation")
    return Review(uid, operation, _resource(request), _object(request.get("object")), _object(request.get("oldObject")))


def asked_endpoint(review: Review) -> Endpoint | None:
    """Name the endpoint whose passports decide; None if no passport is needed. Raise if the pod names none."""
    if (review.operation, review.resource) != ("CREATE", "pods"):
        return None
    named = _marks(review.pod, "annotations").get(ENDPOINT)
    if not isinstance(named, str):
        raise DeniedError(f"the pod does not say at which endpoint it serves (annotation {ENDPOINT})")
    try:
        return Endpoint.parse(named)
    except VerificationError as e:
        raise DeniedError(f"annotation {ENDPOINT}: {e}") from e


def decide(review: Review, judged: Judged, terms: Terms) -> Answer:
    """Say whether a pod may run, by what was judged at the endpoint that it names; an error there is a reason.

    Enforces: verified_admission
    """
    return Answer(review.uid, tuple(_reasons(review, judged, terms)))


def refuse(review: Review, error: LockgateError) -> Answer:
    """Say no because nothing could be judged."""
    return Answer(review.uid, error.reasons if isinstance(error, DeniedError) else (str(error),))


def _reasons(review: Review, judged: Judged, terms: Terms) -> list[str]:
    match review.operation, review.resource:
        case "DELETE", _:
            return []
        case "CREATE", "pods":
            return _created(review, judged, terms)
        case "UPDATE", "pods":
            return _changed(review)
        case _:
            what = f"{review.operation[:20]} of {review.resource[:80]}"
            return [f"{what}: nobody enters or changes a pod that serves a release"]


def _created(review: Review, judged: Judged, terms: Terms) -> list[str]:
    claimed = _marks(review.pod, "annotations").get(RELEASE)
    admitted = [each for each in judged if isinstance(each, Admission)]
    for each in admitted:
        release, endpoint = each.permit.release, each.permit.endpoint
        if str(release.digest) == claimed and endpoint == asked_endpoint(review):
            return list(complaints(review.pod, Wanted(endpoint, release.digest, release.manifest.serve), terms))
    said = [f"{each.permit.release.manifest.tag} ({each.permit.release.digest}) serves there" for each in admitted]
    for error in judged:
        if isinstance(error, LockgateError):
            said += error.reasons if isinstance(error, DeniedError) else (str(error),)
    found = f"the pod is of release {str(claimed)[:80]!a}, which nothing lets serve at {asked_endpoint(review)}"
    return [found, *dict.fromkeys(said)]


def _changed(review: Review) -> list[str]:
    moved = [k for k in ("labels", "annotations") if _ours(review.pod, k) != _ours(review.before, k)]
    reasons = [f"the {kind} of {DOMAIN} cannot be changed while the pod runs" for kind in moved]
    written = _differing(_foreign(review.pod), _foreign(review.before))
    reasons += [f"the annotation {name[:80]!a} cannot be changed while the pod runs" for name in written]
    new, old = _object(review.pod.get("spec")), _object(review.before.get("spec"))
    changed = [name for name in _differing(new, old) if name not in _MAY_CHANGE]
    reasons += [f"{name} cannot be changed while the pod runs" for name in changed]
    return reasons if old else [*reasons, "the review does not say what the pod was before"]


def _resource(request: Mapping[str, Json]) -> str:
    """Name what is asked about as `pods/exec`; what is no pod of the core API keeps its group."""
    found, below = _object(request.get("resource")), request.get("subResource") or ""
    group, version, name = (str(found.get(each, "")) for each in ("group", "version", "resource"))
    whole = name if (group, version) == ("", "v1") else f"{group}/{version}/{name}"
    return f"{whole}/{below}" if below else whole


def _marks(pod: Mapping[str, Json], kind: str) -> Mapping[str, Json]:
    return _object(_object(pod.get("metadata")).get(kind))


def _ours(pod: Mapping[str, Json], kind: str) -> dict[str, Json]:
    return {name: value for name, value in _marks(pod, kind).items() if name.startswith(f"{DOMAIN}/")}


def _foreign(pod: Mapping[str, Json]) -> dict[str, Json]:
    """List the annotations of others that may mean something to a cluster."""
    marks = _marks(pod, "annotations")
    return {k: v for k, v in marks.items() if not is_free(k) and not k.startswith(f"{DOMAIN}/")}


def _differing(new: Mapping[str, Json], old: Mapping[str, Json]) -> list[str]:
    return sorted(name for name in new.keys() | old.keys() if new.get(name) != old.get(name))


def _object(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, Mapping) else {}
