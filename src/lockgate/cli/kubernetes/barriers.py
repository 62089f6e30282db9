"""What does a cluster refuse, and who reaches whom? Admission, rights and networks: nothing, but for what is listed."""

from lockgate.cli.kubernetes.chosen import Chosen
from lockgate.cli.kubernetes.workloads import (
    AGENT,
    AGENT_PORT,
    NODES,
    PORTER,
    PORTER_PORT,
    ROUTES,
    SERVER,
    SERVER_PORT,
    SYSTEM,
    Object,
    named,
)
from lockgate.core.pod import DOMAIN, ENDPOINT, PORT, RELEASE
from lockgate.formats.canonical import Json

MARK = f"{DOMAIN}/models"
BY_DIGEST = r"^[a-z0-9][a-z0-9.-]*(:[0-9]+)?(/[a-z0-9][a-z0-9._-]*)*@sha256:[0-9a-f]{64}$"

_ENTRIES = [("pods", ["CREATE", "UPDATE"]), ("pods/ephemeralcontainers", ["UPDATE"])]
_ENTRIES += [(f"pods/{way}", ["CONNECT"]) for way in ("attach", "exec", "portforward", "proxy")]
_ENTRIES += [("services/proxy", ["CONNECT"])]


def namespaces(chosen: Chosen) -> list[Object]:
    """Three of them: ours, that of the agents, which see a folder of their node, and that of the models."""
    return [
        _namespace(SYSTEM, "restricted"),
        _namespace(NODES, "privileged"),
        _namespace(chosen.models, "restricted", {MARK: "true"}),
    ]


def webhook(chosen: Chosen) -> Object:
    """Ask the porter about each pod of the models; if it does not answer, the answer is no."""
    rules: list[Json] = [
        {"apiGroups": [""], "apiVersions": ["v1"], "resources": [what], "operations": how, "scope": "Namespaced"}
        for what, how in _ENTRIES
    ]
    front: Object = {"name": PORTER, "namespace": SYSTEM, "path": "/review", "port": 443}
    asked: Object = {
        "name": f"pods.{DOMAIN}",
        "admissionReviewVersions": ["v1"],
        "clientConfig": {"caBundle": chosen.authority, "service": front},
        "failurePolicy": "Fail",
        "matchPolicy": "Equivalent",
        "namespaceSelector": {"matchLabels": {MARK: "true"}},
        "rules": rules,
        "sideEffects": "None",
        "timeoutSeconds": 10,
    }
    kind = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration"}
    return {**kind, "metadata": named("lockgate"), "webhooks": [asked]}


def digest_policy() -> list[Object]:
    """Refuse images that are not named by their digest alone, without asking anybody (CEL)."""
    checks: list[Json] = [
        {"expression": _all_by_digest(f"object.spec.{kind}", optional=kind != "containers"), "message": message}
        for kind, message in (
            ("containers", "an image is named by its digest alone: NAME@sha256:…"),
            ("initContainers", "the image of an init container is named by its digest alone: NAME@sha256:…"),
            ("ephemeralContainers", "the image of an ephemeral container is named by its digest alone"),
        )
    ]
    pods = ["pods", "pods/ephemeralcontainers"]
    rule: Object = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": pods}
    return _refusing("images", rule, checks, {f"{DOMAIN}/images": "by-digest"})


def marks_policy() -> list[Object]:
    """Refuse that a status is written with other marks of ours: so no webhook is asked about each heartbeat (CEL)."""
    checks: list[Json] = [
        {"expression": _unchanged(kind, mark), "message": f"the {kind} of {DOMAIN} cannot be changed"}
        for kind in ("labels", "annotations")
        for mark in (ENDPOINT, RELEASE)
    ]
    rule: Object = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["pods/status"]}
    return _refusing("marks", rule, checks, {MARK: "true"})


def _refusing(name: str, rule: Object, checks: list[Json], spaces: Object) -> list[Object]:
    """Write a policy of the cluster, and where it is in force."""
    policy: Object = {
        "failurePolicy": "Fail",
        "matchConstraints": {"matchPolicy": "Equivalent", "resourceRules": [rule]},
        "validations": checks,
    }
    binding: Object = {
        "policyName": f"{name}.{DOMAIN}",
        "validationActions": ["Deny"],
        "matchResources": {"namespaceSelector": {"matchLabels": spaces}},
    }
    version, called = "admissionregistration.k8s.io/v1", named(f"{name}.{DOMAIN}")
    return [
        {"apiVersion": version, "kind": "ValidatingAdmissionPolicy", "metadata": called, "spec": policy},
        {"apiVersion": version, "kind": "ValidatingAdmissionPolicyBinding", "metadata": called, "spec": binding},
    ]


def networks(chosen: Chosen) -> list[Object]:
    """Nobody reaches anybody, and then who does."""
    models = _namespace_of(chosen.models)
    databases: Object = {"ports": [_port(5432)]}  # wherever it is: it may lie outside the cluster
    reading: Object = {"from": [_in(SYSTEM, PORTER), _in(NODES, AGENT), models], "ports": [_port(SERVER_PORT)]}
    asking: Object = {"to": [_in(SYSTEM, SERVER)], "ports": [_port(SERVER_PORT)]}
    gateway: Object = {"from": [_namespace_of(chosen.gateway)], "ports": [_port(PORT)]}
    return [
        *(_policy("default-deny", each, {}, [], []) for each in (SYSTEM, NODES, chosen.models)),
        *(_policy("names", each, {}, [], [_NAMES]) for each in (SYSTEM, NODES, chosen.models)),
        _policy(SERVER, SYSTEM, _only(SERVER), [reading], [databases]),
        _policy(PORTER, SYSTEM, _only(PORTER), [{"ports": [_port(PORTER_PORT)]}], [asking]),
        _policy(AGENT, NODES, _only(AGENT), [{"ports": [_port(AGENT_PORT)]}], [asking]),
        _policy(ROUTES, SYSTEM, _only(ROUTES), [], [asking, {"ports": [_port(443), _port(6443)]}]),
        _policy("models", chosen.models, {}, [gateway], [asking]),
    ]


def rights(chosen: Chosen) -> list[Object]:
    """What a program of ours may do to the cluster. Only who keeps the routes asks it anything: one role."""
    verbs: Json = ["create", "delete", "get", "list", "patch", "watch"]
    rules: list[Json] = [
        {"apiGroups": ["gateway.networking.k8s.io"], "resources": ["httproutes"], "verbs": verbs},
        {"apiGroups": ["serving.kserve.io"], "resources": ["inferenceservices"], "verbs": ["get", "patch"]},
    ]
    name = named(ROUTES, chosen.models)
    group = "rbac.authorization.k8s.io"
    subject: Object = {"kind": "ServiceAccount", "name": ROUTES, "namespace": SYSTEM}
    role: Object = {"apiGroup": group, "kind": "Role", "name": ROUTES}
    return [
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": name, "rules": rules},
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": name,
            "roleRef": role,
            "subjects": [subject],
        },
    ]


_NAMES: Object = {
    "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}],
    "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}],
}


def _namespace(name: str, level: str, more: dict[str, Json] | None = None) -> Object:
    found = named(name)
    labels: Object = {"app.kubernetes.io/part-of": "lockgate", f"{DOMAIN}/images": "by-digest", **(more or {})}
    labels |= {f"pod-security.kubernetes.io/{mode}": level for mode in ("audit", "enforce", "warn")}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {**found, "labels": labels}}


def _all_by_digest(where: str, *, optional: bool) -> str:
    each = f"{where}.all(c, c.image.matches('{BY_DIGEST}'))"
    return f"!has({where}) || {each}" if optional else each


def _unchanged(kind: str, mark: str) -> str:
    new, old = (
        f"(has({each}.metadata.{kind}) && '{mark}' in {each}.metadata.{kind} ? {each}.metadata.{kind}['{mark}'] : '')"
        for each in ("object", "oldObject")
    )
    return f"{new} == {old}"


def _policy(name: str, namespace: str, pods: Object, ingress: list[Json], egress: list[Json]) -> Object:
    spec: Object = {"podSelector": pods, "policyTypes": ["Ingress", "Egress"], "ingress": ingress, "egress": egress}
    kind = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"}
    return {**kind, "metadata": named(name, namespace), "spec": spec}


def _in(namespace: str, name: str) -> Object:
    return {**_namespace_of(namespace), "podSelector": _only(name)}


def _namespace_of(name: str) -> Object:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


def _only(name: str) -> Object:
    return {"matchLabels": {"app.kubernetes.io/name": name}}


def _port(number: int) -> Object:
    return {"protocol": "TCP", "port": number}
