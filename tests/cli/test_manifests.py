"""Does a cluster get the least that it needs, every image by its digest, and the same from kustomize and from Helm?"""

import json
import re
from functools import cache

import jsonschema_rs
import pytest
import yaml
from click.testing import CliRunner

from lockgate.app.issue_passport import passport_for
from lockgate.cli.clustering import kubernetes
from lockgate.cli.kubernetes.barriers import BY_DIGEST
from lockgate.cli.kubernetes.chosen import PATTERNS, Chosen, authority_of
from lockgate.cli.kubernetes.released import workload
from lockgate.cli.kubernetes.written import chart, kustomize
from lockgate.core.pod import Terms, Wanted, complaints, image_digest
from lockgate.core.release import Serve
from lockgate.errors import ConflictError, VerificationError
from lockgate.formats import plain
from lockgate.formats.digest import Digest
from tests.authority import authority
from tests.world import PROD

IMAGE = f"registry.example:5000/lockgate@{Digest.of(b'lockgate')}"
CHOSEN = Chosen(IMAGE, "prod", "models", "ingress", "Q0VSVA==")
NAMESPACES = {"lockgate", "lockgate-nodes", "models"}


@cache
def written():
    files = kustomize(CHOSEN)
    listed = yaml.safe_load(files["kustomization.yaml"])["resources"]
    assert {"kustomization.yaml", *listed} == files.keys()
    return [found for name in listed for found in yaml.safe_load_all(files[name])]


def of_kind(*kinds):
    return [found for found in written() if found["kind"] in kinds]


def pods():
    return {each["metadata"]["name"]: each["spec"]["template"]["spec"] for each in of_kind("StatefulSet", "DaemonSet")}


def containers():
    return [
        pytest.param(pod, each, id=f"{name}-{each['name']}")
        for name, pod in pods().items()
        for each in (*pod.get("initContainers", []), *pod["containers"])
    ]


def test_everything_is_there_once():
    found = [(each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]) for each in written()]

    assert len(set(found)) == len(found)
    assert {kind for kind, _, _ in found} >= {
        *("Namespace", "ServiceAccount", "StatefulSet", "DaemonSet", "Service", "NetworkPolicy", "Role", "RoleBinding"),
        *("ValidatingWebhookConfiguration", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"),
    }
    assert pods().keys() == {"lockgate-server", "lockgate-porter", "lockgate-agent"}
    assert [each["name"] for each in pods()["lockgate-server"]["containers"]] == ["server", "signer"]


@pytest.mark.parametrize(("pod", "container"), containers())
def test_a_container_has_the_least_that_it_can_do_with(pod, container):
    context = container["securityContext"]

    assert image_digest(container["image"]) == Digest.of(b"lockgate")
    assert context["runAsNonRoot"] and context["readOnlyRootFilesystem"] and not context["allowPrivilegeEscalation"]
    assert context["capabilities"] == {"drop": ["ALL"]} and "privileged" not in context
    assert container["resources"]["requests"].keys() == container["resources"]["limits"].keys() == {"cpu", "memory"}
    assert container["command"][0] == "lockgate" and "args" not in container


@pytest.mark.parametrize("name", ["lockgate-server", "lockgate-porter", "lockgate-agent"])
def test_a_pod_has_no_token_and_no_root(name):
    pod = pods()[name]

    assert pod["automountServiceAccountToken"] is False and pod["serviceAccountName"] == name
    assert pod["securityContext"]["runAsUser"] > 0 and pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    assert not [volume for volume in pod["volumes"] if "projected" in volume]
    on_the_node = [volume for volume in pod["volumes"] if "hostPath" in volume]
    assert len(on_the_node) == (name == "lockgate-agent")


def test_the_signer_is_another_user_and_sees_nothing_of_the_server_but_the_socket():
    server, signer = pods()["lockgate-server"]["containers"]

    assert signer["securityContext"]["runAsUser"] != pods()["lockgate-server"]["securityContext"]["runAsUser"]
    shared = {each["name"] for each in server["volumeMounts"]} & {each["name"] for each in signer["volumeMounts"]}
    assert shared == {"sockets", "tmp"}


def test_no_secret_stands_in_the_files():
    variables = [each for pod in pods().values() for one in pod["containers"] for each in one.get("env", [])]

    assert not of_kind("Secret")
    assert [each["name"] for each in variables if "valueFrom" in each] == ["LOCKGATE_DATABASE_URL"]


def test_accounts_have_no_token_and_rights_are_those_of_the_routes_alone():
    assert all(each["automountServiceAccountToken"] is False for each in of_kind("ServiceAccount"))
    assert not of_kind("ClusterRole", "ClusterRoleBinding")
    ((role,), (binding,)) = of_kind("Role"), of_kind("RoleBinding")
    assert (
        binding["subjects"] == [{"kind": "ServiceAccount", "name": "lockgate-routes", "namespace": "lockgate"}]
        and binding["roleRef"]["name"] == role["metadata"]["name"]
    )
    granted = {(rule["apiGroups"][0], *rule["resources"]): set(rule["verbs"]) for rule in role["rules"]}
    assert granted.keys() == {("gateway.networking.k8s.io", "httproutes"), ("serving.kserve.io", "inferenceservices")}
    assert "*" not in set().union(*granted.values()) and role["metadata"]["namespace"] == "models"


def test_nobody_reaches_anybody_unless_it_is_said():
    policies = of_kind("NetworkPolicy")
    denied = [each for each in policies if not each["spec"]["ingress"] and not each["spec"]["egress"]]

    assert {each["metadata"]["namespace"] for each in denied} == NAMESPACES
    assert all(each["spec"]["podSelector"] == {} for each in denied)
    for each in policies:
        assert each["spec"]["policyTypes"] == ["Ingress", "Egress"]
        for rule in (*each["spec"]["ingress"], *each["spec"]["egress"]):
            assert rule["ports"], "no rule opens every port"


def test_pods_are_secured_by_the_cluster_too():
    levels = {
        each["metadata"]["name"]: each["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
        for each in of_kind("Namespace")
    }

    assert levels == {"lockgate": "restricted", "models": "restricted", "lockgate-nodes": "privileged"}


def test_the_webhook_fails_closed_and_sees_every_way_into_a_pod():
    (found,) = of_kind("ValidatingWebhookConfiguration")
    (webhook,) = found["webhooks"]

    assert webhook["failurePolicy"] == "Fail" and webhook["clientConfig"]["caBundle"] == "Q0VSVA=="
    seen = {(rule["resources"][0], how) for rule in webhook["rules"] for how in rule["operations"]}
    entered = ("pods/exec", "pods/attach", "pods/portforward", "pods/proxy", "services/proxy")
    ways = {(entry, "CONNECT") for entry in entered}
    assert seen == ways | {("pods", "CREATE"), ("pods", "UPDATE"), ("pods/ephemeralcontainers", "UPDATE")}
    labelled = [each for each in of_kind("Namespace") if each["metadata"]["labels"].get("lockgate.invalid/models")]
    assert [each["metadata"]["name"] for each in labelled] == ["models"]
    assert webhook["namespaceSelector"] == {"matchLabels": {"lockgate.invalid/models": "true"}}


def policy_of(name):
    kinds = of_kind("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
    return [each for each in kinds if each["metadata"]["name"] == f"{name}.lockgate.invalid"]


def test_a_status_that_is_written_changes_no_mark_of_ours():
    policy, binding = policy_of("marks")

    (rule,) = policy["spec"]["matchConstraints"]["resourceRules"]
    assert (rule["resources"], rule["operations"], policy["spec"]["failurePolicy"]) == (
        ["pods/status"],
        ["UPDATE"],
        "Fail",
    )
    assert binding["spec"]["policyName"] == policy["metadata"]["name"]
    assert binding["spec"]["validationActions"] == ["Deny"]
    assert binding["spec"]["matchResources"]["namespaceSelector"] == {
        "matchLabels": {"lockgate.invalid/models": "true"}
    }
    checks = [each["expression"] for each in policy["spec"]["validations"]]
    assert checks == [
        f"(has(object.metadata.{kind}) && '{mark}' in object.metadata.{kind} ? object.metadata.{kind}['{mark}'] : '')"
        f" == (has(oldObject.metadata.{kind}) && '{mark}' in oldObject.metadata.{kind}"
        f" ? oldObject.metadata.{kind}['{mark}'] : '')"
        for kind in ("labels", "annotations")
        for mark in ("lockgate.invalid/endpoint", "lockgate.invalid/release")
    ]


def test_the_policy_looks_at_every_kind_of_container():
    policy, binding = policy_of("images")

    checks = [each["expression"] for each in policy["spec"]["validations"]]
    assert policy["spec"]["failurePolicy"] == "Fail" and binding["spec"]["validationActions"] == ["Deny"]
    assert [check.startswith("!has(") for check in checks] == [False, True, True]
    for kind, check in zip(("containers", "initContainers", "ephemeralContainers"), checks, strict=True):
        assert check.endswith(f"object.spec.{kind}.all(c, c.image.matches('{BY_DIGEST}'))")


@pytest.mark.parametrize(
    ("image", "good"),
    [
        (IMAGE, True),
        ("model@sha256:" + "a" * 64, True),
        ("model", False),
        ("model:latest", False),
        (f"registry.example/model:latest@{Digest.of(b'')}", False),
        (f"registry.example/model@{Digest.of(b'')}x", False),
        ("model@sha256:" + "A" * 64, False),
        (f"evil\n{IMAGE}", False),
    ],
)
def test_the_policy_and_the_gate_agree_on_what_a_digest_is(image, good):
    assert bool(re.search(BY_DIGEST.removesuffix("$") + r"\Z", image)) is good
    if good:
        image_digest(image)
    else:
        with pytest.raises(VerificationError):
            image_digest(image)


def test_helm_makes_what_kustomize_has():
    files, values = chart(CHOSEN), yaml.safe_load(chart(CHOSEN)["values.yaml"])
    filled = {
        name.removeprefix("templates/"): re.sub(r"\{\{ \.Values\.(\w+) \}\}", lambda place: values[place[1]], text)
        for name, text in files.items()
        if name.startswith("templates/")
    }

    assert not [name for name, text in filled.items() if "{{" in text]
    assert {name: [*yaml.safe_load_all(text)] for name, text in filled.items()} == {
        name: [*yaml.safe_load_all(text)] for name, text in kustomize(CHOSEN).items() if name != "kustomization.yaml"
    }
    assert yaml.safe_load(files["Chart.yaml"])["apiVersion"] == "v2"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("image", "lockgate:latest"),
        ("image", "lockgate"),
        ("image", f"{IMAGE}' , x: '"),
        ("environment", "Prod"),
        ("environment", "prod\n"),
        ("models", "kube-system"),
        ("models", "lockgate"),
        ("models", "ingress"),
        ("models", "models-"),
        ("gateway", ""),
        ("authority", "not base64!"),
    ],
)
def test_what_breaks_a_rule_is_refused_by_us_and_by_the_schema_of_the_chart(name, value):
    with pytest.raises(VerificationError):
        Chosen(**{each: getattr(CHOSEN, each) for each in PATTERNS} | {name: value}).check()
    schema = json.loads(chart(CHOSEN)["values.schema.json"])
    values = {each: getattr(CHOSEN, each) for each in PATTERNS}
    assert jsonschema_rs.is_valid(schema, values)
    if value not in ("kube-system", "lockgate", "ingress"):
        assert not jsonschema_rs.is_valid(schema, values | {name: value})
    assert not jsonschema_rs.is_valid(schema, values | {"more": "x"})


def test_the_same_choice_gives_the_same_bytes():
    assert kustomize(CHOSEN) == kustomize(CHOSEN) and chart(CHOSEN) == chart(CHOSEN)


def manifests(*arguments):
    return CliRunner().invoke(kubernetes, ["manifests", "--image", IMAGE, "--environment", "prod", *arguments])


@pytest.mark.parametrize("form", ["kustomize", "helm"])
def test_a_person_gets_files_and_nothing_is_written_over(tmp_path, form):
    pem, into = tmp_path / "ca.pem", str(tmp_path / "out")
    pem.write_bytes(authority("company").pem)
    arguments = ("--authority", str(pem), "--form", form, "--into", into)

    assert manifests(*arguments).exit_code == 0
    assert (tmp_path / "out" / {"kustomize": "kustomization.yaml", "helm": "Chart.yaml"}[form]).exists()
    assert isinstance(manifests(*arguments).exception, ConflictError)


@pytest.mark.parametrize("pem", [b"", b"junk", b"-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n"])
def test_what_is_no_certificate_vouches_for_nothing(pem):
    with pytest.raises(VerificationError, match="no certificate"):
        authority_of(pem)


def test_a_private_key_beside_a_certificate_never_reaches_the_cluster():
    found = authority("company")

    with pytest.raises(VerificationError):
        authority_of(found.private_pem + found.pem)


def test_the_pods_of_a_workload_are_what_admission_wants(world):
    release = world.serve(serve=Serve(("python3", "serve.py"), {}, Digest.of(b"image")))
    passport = plain.encode(passport_for(world.installation, PROD))

    deployment, service = yaml.safe_load_all(workload(passport, PROD, "registry.example/m", IMAGE, "models", 2))

    pod = deployment["spec"]["template"]
    wanted = Wanted(PROD, release.digest, release.manifest.serve)
    assert list(complaints(pod, wanted, Terms(IMAGE))) == []
    assert service["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"] == pod["metadata"]["labels"]
