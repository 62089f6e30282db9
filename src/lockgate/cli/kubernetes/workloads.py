"""Which programs of ours run in a cluster, and with what? The least that each can do with.

lockgate          server and signer (one pod, two users), porter (twice)
lockgate-nodes    agent, on each node that serves without a cluster's pods
"""

from collections.abc import Sequence

from lockgate.cli.kubernetes.chosen import Chosen
from lockgate.core.pod import USER, pod_context, sealed_context
from lockgate.formats.canonical import Json

Object = dict[str, Json]

SYSTEM, NODES = "lockgate", "lockgate-nodes"
SERVER, PORTER, AGENT, ROUTES = "lockgate-server", "lockgate-porter", "lockgate-agent", "lockgate-routes"
SERVER_PORT, PORTER_PORT, AGENT_PORT = 8420, 8443, 8422
NODE_FILES = {"host.toml": "host.toml", "root.json": "root.json", "ca.pem": "ca.pem", "node.pem": "keys/node.pem"}

_SIGNER_USER = USER + 1
_HOME, _SIGNER_HOME, _SOCKETS = "/var/lib/lockgate", "/var/lib/lockgate-signer", "/run/lockgate"
_TLS = "/etc/lockgate-tls"
_TMP: Object = {"name": "tmp", "mountPath": "/tmp"}  # noqa: S108 - of the container


def server(chosen: Chosen) -> Object:
    """The server, and beside it the signer under a user of its own, which alone reads its key and memory."""
    home: Object = {"name": "home", "mountPath": _HOME}
    sockets: Object = {"name": "sockets", "mountPath": _SOCKETS}
    memory: Object = {"name": "signer", "mountPath": _SIGNER_HOME}
    tls: Object = {"name": "tls", "mountPath": _TLS, "readOnly": True}
    signer = ["lockgate", "signer", "--home", _SIGNER_HOME, "--socket", f"{_SOCKETS}/signer.sock", "--user", str(USER)]
    containers: list[Object] = [
        {
            **_container("server", chosen.image, ["lockgate", "up", "--home", _HOME], [home, sockets, tls, _TMP]),
            "env": _server_environment(chosen),
            "ports": [{"name": "https", "containerPort": SERVER_PORT, "protocol": "TCP"}],
            "readinessProbe": _asks("/readyz", SERVER_PORT, SERVER),
            "livenessProbe": {**_asks("/healthz", SERVER_PORT, SERVER), "initialDelaySeconds": 30},
        },
        _as_signer(_container("signer", chosen.image, signer, [memory, sockets, _TMP])),
    ]
    made = ["lockgate", "init", "--home", _HOME, "--environment", chosen.environment]
    made += ["--origin", _origin(chosen), "--signer", f"{_SOCKETS}/signer.sock"]
    begun = ["lockgate", "signer", "--home", _SIGNER_HOME, "--origin", _origin(chosen)]
    first = [
        _container("init", chosen.image, made, [home, _TMP]),
        _as_signer(_container("init-signer", chosen.image, begun, [memory, _TMP])),
    ]
    volumes: list[Json] = [
        {"name": "sockets", "emptyDir": {"medium": "Memory"}},
        {"name": "tmp", "emptyDir": {}},
        _secret("tls", "lockgate-server-tls"),
    ]
    pod = _pod(SERVER, containers, volumes, first)
    return _stateful(SERVER, 1, pod, [_claim("home", "50Gi"), _claim("signer", "1Gi")])


def porter(chosen: Chosen) -> Object:
    """Who stands at the door of the models: each has a memory of its own of how far the log has grown."""
    command = ["lockgate", "kubernetes", "admit", "--home", _HOME, "--loader", chosen.image]
    command += ["--listen", f"0.0.0.0:{PORTER_PORT}"]
    command += ["--tls-certificate", f"{_TLS}/tls.crt", "--tls-key", f"{_TLS}/tls.key"]
    mounts: list[Object] = [{"name": "home", "mountPath": _HOME}, *_node_mounts()]
    mounts += [{"name": "tls", "mountPath": _TLS, "readOnly": True}, _TMP]
    container: Object = {
        **_container("porter", chosen.image, command, mounts),
        "ports": [{"name": "https", "containerPort": PORTER_PORT, "protocol": "TCP"}],
        "readinessProbe": _asks("/healthz", PORTER_PORT, PORTER),
        "livenessProbe": _asks("/healthz", PORTER_PORT, PORTER),
    }
    volumes: list[Json] = [
        _secret("host", "lockgate-node"),
        _secret("tls", "lockgate-porter-tls"),
        {"name": "tmp", "emptyDir": {}},
    ]
    return _stateful(PORTER, 2, _pod(PORTER, [container], volumes), [_claim("home", "1Gi")])


def agent(chosen: Chosen) -> Object:
    """The agent of each node: its home lies on the node, made by whoever set the node up."""
    command = ["lockgate", "agent", "--home", _HOME]
    container: Object = {
        **_container("agent", chosen.image, command, [{"name": "home", "mountPath": _HOME}, _TMP]),
        "ports": [{"name": "orders", "containerPort": AGENT_PORT, "protocol": "TCP"}],
    }
    volumes: list[Json] = [
        {"name": "home", "hostPath": {"path": _HOME, "type": "Directory"}},
        {"name": "tmp", "emptyDir": {}},
    ]
    pod = _pod(AGENT, [container], volumes)
    pod["spec"] = {**_spec(pod), "nodeSelector": {"lockgate.invalid/agent": "true"}}
    spec: Object = {"selector": {"matchLabels": _labels(AGENT)}, "template": pod}
    return {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": named(AGENT, NODES), "spec": spec}


def front(name: str, port: int, to: int) -> Object:
    """A service before the pods of one name."""
    spec: Object = {
        "selector": _labels(name),
        "ports": [{"name": "https", "port": port, "protocol": "TCP", "targetPort": to}],
    }
    return {"apiVersion": "v1", "kind": "Service", "metadata": named(name, SYSTEM), "spec": spec}


def account(name: str, namespace: str) -> Object:
    """Who a program is to the cluster: nobody, since none of ours asks it anything."""
    metadata = named(name, namespace)
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata, "automountServiceAccountToken": False}


def named(name: str, namespace: str | None = None) -> Object:
    """The metadata of one object."""
    where: Object = {"namespace": namespace} if namespace else {}
    return {"name": name, **where, "labels": {"app.kubernetes.io/part-of": "lockgate"}}


def _labels(name: str) -> Object:
    return {"app.kubernetes.io/name": name}


def _origin(chosen: Chosen) -> str:
    return f"lockgate.invalid/{chosen.environment}/changes"


def _as_signer(container: Object) -> Object:
    context = {**sealed_context(), "runAsUser": _SIGNER_USER, "runAsGroup": _SIGNER_USER}
    return {**container, "securityContext": context}


def _pod(name: str, containers: list[Object], volumes: list[Json], first: Sequence[Object] = ()) -> Object:
    spec: Object = {
        "serviceAccountName": name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_context(),
        **({"initContainers": [*first]} if first else {}),
        "containers": containers,
        "volumes": volumes,
    }
    return {"metadata": {"labels": {**_labels(name), "app.kubernetes.io/part-of": "lockgate"}}, "spec": spec}


def _spec(pod: Object) -> Object:
    spec = pod["spec"]
    assert isinstance(spec, dict)
    return spec


def _container(name: str, image: str, command: list[str], mounts: list[Object]) -> Object:
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"cpu": "2", "memory": "2Gi"}},
        "securityContext": sealed_context(),
        "volumeMounts": mounts,
    }


def _server_environment(chosen: Chosen) -> list[Json]:
    plain = {
        "LOCKGATE_ENVIRONMENT": chosen.environment,
        "LOCKGATE_LISTEN": f"0.0.0.0:{SERVER_PORT}",
        "LOCKGATE_HOSTS": f"{SERVER}.{SYSTEM}.svc,{SERVER}.{SYSTEM}.svc.cluster.local",
        "LOCKGATE_SIGNER": f"{_SOCKETS}/signer.sock",
        "LOCKGATE_TLS_CERTIFICATE": f"{_TLS}/tls.crt",
        "LOCKGATE_TLS_KEY": f"{_TLS}/tls.key",
    }
    secret: Object = {"secretKeyRef": {"name": "lockgate-database", "key": "url"}}
    listed: list[Json] = [{"name": name, "value": value} for name, value in plain.items()]
    return [*listed, {"name": "LOCKGATE_DATABASE_URL", "valueFrom": secret}]


def _node_mounts() -> list[Object]:
    return [
        {"name": "host", "mountPath": f"{_HOME}/{path}", "subPath": name, "readOnly": True}
        for name, path in NODE_FILES.items()
    ]


def _secret(name: str, secret: str) -> Object:
    return {"name": name, "secret": {"secretName": secret, "defaultMode": 0o440}}


def _claim(name: str, size: str) -> Object:
    spec: Object = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    return {"metadata": {"name": name}, "spec": spec}


def _asks(path: str, port: int, name: str) -> Object:
    """Ask under the name of the service: ours answer to no other, and a kubelet would say the address of the pod."""
    host: Object = {"name": "Host", "value": f"{name}.{SYSTEM}.svc"}
    asked: Object = {"path": path, "port": port, "scheme": "HTTPS", "httpHeaders": [host]}
    return {"httpGet": asked, "periodSeconds": 10, "timeoutSeconds": 5}


def _stateful(name: str, replicas: int, pod: Object, claims: list[Object]) -> Object:
    spec: Object = {
        "serviceName": name,
        "replicas": replicas,
        "selector": {"matchLabels": _labels(name)},
        "template": pod,
        "volumeClaimTemplates": claims,
    }
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": named(name, SYSTEM), "spec": spec}
