"""Where does a real API server come from, and what stands in for the controllers of a cluster?

`KUBE_APISERVER` and `ETCD` name the binaries. Nothing else of Kubernetes runs: no scheduler, no kubelet, no Gateway. A
`Reconciler` watches the routes as a Gateway's controller does, says that it accepted them, and answers callers by them.
"""

import contextlib
import http.client
import json
import os
import random
import subprocess
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from lockgate.drivers.kserve.api import Cluster
from lockgate.errors import LockgateError
from tests.authority import authority, ec_key, leaf
from tests.calling import free_address
from tests.live.tls_files import HERE, SERVER, TODAY

API_SERVER, ETCD = os.environ.get("KUBE_APISERVER", ""), os.environ.get("ETCD", "")
needs_api_server = pytest.mark.skipif(
    not (API_SERVER and ETCD and Path(API_SERVER).exists() and Path(ETCD).exists()),
    reason="elsewhere: no API server (no registry has one); KUBE_APISERVER and ETCD name the binaries",
)
PATIENCE = 120
CRDS = Path(__file__).parent / "vectors" / "kubernetes"


class ApiServer:
    """A kube-apiserver of its own, on its own etcd; `ours` and `theirs` are two who speak to it."""

    def __init__(self, folder):
        self.folder, self.programs = folder, []
        self.address = free_address()
        issuer = authority("cluster", at=TODAY)
        shown = leaf(issuer, name="api", hosts=HERE, at=TODAY, purposes=SERVER)
        self._write("ca.crt", issuer.pem)
        self._write("api.crt", shown.pem)
        self._write("api.key", shown.private_pem)
        self._write(
            "accounts.key", ec_key(5).private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        )
        self._write("tokens.csv", b'ours-token,ours,1,"system:masters"\ntheirs-token,theirs,2,"system:masters"\n')
        self._write("token", b"ours-token\n")
        self._write("other-token", b"theirs-token\n")

    def __enter__(self):
        try:
            return self._started()
        except BaseException:
            self.__exit__()
            raise

    def _started(self):
        store, peer = free_address(), free_address()
        self._start(
            *(ETCD, "--data-dir", self.folder / "etcd", "--unsafe-no-fsync", "--logger", "zap", "--log-level", "error"),
            *("--listen-client-urls", f"http://{store}", "--advertise-client-urls", f"http://{store}"),
            *("--listen-peer-urls", f"http://{peer}"),
        )
        self._start(
            *(API_SERVER, "--etcd-servers", f"http://{store}", "--secure-port", self.address.port),
            *("--bind-address", "127.0.0.1", "--tls-cert-file", self.folder / "api.crt"),
            *("--tls-private-key-file", self.folder / "api.key", "--cert-dir", self.folder),
            *("--service-account-issuer", "https://cluster.example", "--authorization-mode", "RBAC"),
            *("--service-account-signing-key-file", self.folder / "accounts.key"),
            *(
                "--service-account-key-file",
                self.folder / "accounts.key",
                "--token-auth-file",
                self.folder / "tokens.csv",
            ),
            *("--disable-admission-plugins", "ServiceAccount", "--service-cluster-ip-range", "10.0.0.0/24"),
        )
        self.ours = Cluster(f"https://{self.address}", self.folder / "ca.crt", self.folder / "token")
        until = time.monotonic() + PATIENCE
        while not self._is_ready():
            assert time.monotonic() < until and all(each.poll() is None for each in self.programs), self._said()
            time.sleep(0.1)
        return self

    def __exit__(self, *_):
        for program in reversed(self.programs):
            program.kill()
            program.wait()

    def install(self, *names):
        """Create namespaces, and the kinds whose definitions are recorded, until they are served."""
        for name in names:
            self.ours.apply(
                f"/api/v1/namespaces/{name}", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            )
        for path in sorted(CRDS.glob("*.json")):
            wanted = json.loads(path.read_text())
            kind = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{wanted['metadata']['name']}"
            self.ours.apply(kind, wanted)
            spec = wanted["spec"]
            served = f"/apis/{spec['group']}/{spec['versions'][0]['name']}/{spec['names']['plural']}"
            until = time.monotonic() + PATIENCE
            while self.ours.find(served) is None:
                assert time.monotonic() < until
                time.sleep(0.05)

    def edit(self, path, change, kind="application/merge-patch+json"):
        """Change an object as somebody else does; return the status."""
        return self.ask("PATCH", path + "?fieldManager=kubectl-edit", json.dumps(change), kind)[0]

    def ask(self, method, path, body=None, kind="application/json", token="theirs-token"):
        caller = http.client.HTTPSConnection(
            "127.0.0.1", self.address.port, timeout=PATIENCE, context=self.ours.pool.connection_pool_kw["ssl_context"]
        )
        with contextlib.closing(caller):
            caller.request(method, path, body, {"Authorization": f"Bearer {token}", "Content-Type": kind})
            answer = caller.getresponse()
            return answer.status, json.loads(answer.read())

    def _start(self, *command):
        log = (self.folder / f"{len(self.programs)}.log").open("wb")
        with log:
            self.programs.append(subprocess.Popen([*map(str, command)], stdout=log, stderr=log, cwd=self.folder))

    def _is_ready(self):
        try:
            return self.ours.find("/api/v1/namespaces/default") is not None
        except LockgateError:
            return False

    def _said(self):
        return "".join(path.read_text()[-2000:] for path in sorted(self.folder.glob("*.log")))

    def _write(self, name, content):
        path = self.folder / name
        path.write_bytes(content)
        path.chmod(0o600)


class Reconciler(ThreadingHTTPServer):
    """A Gateway of the simplest kind: it answers by what routes say, for services that it is told of."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, cluster, path, services, *, accepts=True):
        super().__init__(("127.0.0.1", 0), _Call)
        self.cluster, self.path, self.services, self.accepts = cluster, path, services, accepts
        self.routes, self.ended = {}, threading.Event()
        for target in (self.serve_forever, self.follow):
            threading.Thread(target=target, daemon=True).start()

    def follow(self):
        while not self.ended.is_set():
            with contextlib.suppress(LockgateError):
                listed = self.cluster.find(self.path)
                self.routes = {each["metadata"]["name"]: each["spec"] for each in listed["items"]}
                for each in listed["items"]:
                    self.accept(each)
                for event in self.cluster.watch(self.path, listed["metadata"]["resourceVersion"]):
                    route = event["object"]
                    if event["type"] == "DELETED":
                        self.routes.pop(route["metadata"]["name"], None)
                    elif event["type"] in ("ADDED", "MODIFIED"):
                        self.routes[route["metadata"]["name"]] = route["spec"]
                        self.accept(route)

    def accept(self, route):
        name, generation = route["metadata"]["name"], route["metadata"]["generation"]
        conditions = [
            {"type": "Accepted", "status": "True", "observedGeneration": generation, "reason": "Accepted",
             "message": "it is", "lastTransitionTime": "2026-11-26T00:00:00Z"}
        ]  # fmt: skip
        status = {"parents": [{"controllerName": "test/gateway", "parentRef": {"name": "g"}, "conditions": conditions}]}
        if self.accepts and route.get("status") != status:
            with contextlib.suppress(LockgateError), self.cluster._open(
                "PATCH", f"{self.path}/{name}/status", json.dumps({"status": status}).encode(),
                "application/merge-patch+json", 10,
            ) as answer:  # fmt: skip
                answer.read()

    def close(self):
        self.ended.set()
        self.shutdown()
        self.server_close()

    def choose(self, path, release):
        """Find the rule whose matches say most about a request, and one of its backends, by weight."""
        best, found = -1, None
        for spec in self.routes.values():
            for rule in spec["rules"]:
                for match in rule["matches"]:
                    prefix = match["path"]["value"]
                    if not (path == prefix or path.startswith((prefix + "/", prefix + "?"))):
                        continue
                    said = 0
                    for header in match.get("headers", []):
                        exact = header["type"] == "Exact"
                        holds = release == header["value"] if exact else release is not None
                        said += (2 if exact else 1) if holds else -100
                    if said > best:
                        best, found = said, (prefix, rule)
        if found is None:
            return None
        prefix, rule = found
        backends = rule["backendRefs"]
        weights = [backend.get("weight", 1) for backend in backends]
        backend = random.choices(backends, weights)[0] if any(weights) else {"name": ""}
        return path.removeprefix(prefix) or "/", backend


class _Call(BaseHTTPRequestHandler):
    wbufsize = -1

    def do_POST(self):
        found = self.server.choose(self.path, self.headers.get("x-release"))
        if found is None:
            self.send_error(404)
            return
        path, backend = found
        address = self.server.services.get(backend["name"])
        if address is None:
            self.send_error(500)
            return
        path = path if path.startswith("/") else f"/{path}"
        told = backend["filters"][0]["responseHeaderModifier"]["set"][0]
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        with urllib.request.urlopen(urllib.request.Request(f"http://{address}{path}", body, method="POST")) as answer:
            content = answer.read()
        self.send_response(200)
        self.send_header(told["name"], told["value"])
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass
