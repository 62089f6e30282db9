"""Who runs the pods of a cluster that has no nodes? A stand-in for the Job controller and the kubelet of one node.

It makes pods of Jobs by the API, whose admission judges them; runs the foreign container behind bubblewrap, as nothing
here runs containers; writes the statuses that a kubelet would; and gives their logs to the API server.
No kubelet was seen: what a real one does with such a pod is not shown by this.
"""

import io
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from lockgate.drivers.bubblewrap.outer import Bubblewrap
from lockgate.drivers.kubernetes_job import in_pod
from lockgate.evaluator.sandbox import Job, Limits

NODE = "node-1"
REASONS = {"seconds": "DeadlineExceeded", "disk": "Evicted"}
FOUND = ("namespaces", "seccomp", "cgroup")


class Kubelet(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, api, namespace, folder):
        super().__init__(("127.0.0.1", 0), _Logs)
        shown = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        shown.load_cert_chain(api.folder / "api.crt", api.folder / "api.key")
        self.socket = shown.wrap_socket(self.socket, server_side=True)
        self.api, self.namespace, self.folder = api, namespace, folder
        self.found, self.spoil, self.logs, self.trouble, self.seen = FOUND, lambda line: line, {}, [], {}
        self.ended, self.claim = threading.Event(), folder
        self._register()
        self.threads = [threading.Thread(target=each, daemon=True) for each in (self.serve_forever, self.follow)]
        for each in self.threads:
            each.start()

    def close(self):
        self.ended.set()
        self.threads[1].join()
        self.shutdown()
        self.server_close()

    def follow(self):
        path = f"/apis/batch/v1/namespaces/{self.namespace}/jobs"
        while not self.ended.wait(0.2):
            for job in self.api.ask("GET", path)[1]["items"]:
                name = job["metadata"]["name"]
                if name not in self.seen:
                    self.seen[name] = job
                    self.attempt(name, job["spec"])

    def attempt(self, name, spec):
        try:
            self.carry_out(name, spec)
        except Exception as e:  # noqa: BLE001 - whatever it is, nobody shall wait for it
            self.trouble.append(e)
            self.write(f"{name}-0", {"phase": "Failed", "reason": f"{type(e).__name__}: {e}"})

    def carry_out(self, name, spec):
        pod = {"apiVersion": "v1", "kind": "Pod", **spec["template"]}
        pod["metadata"] = {**pod["metadata"], "name": f"{name}-0"}
        pod["spec"] = {**pod["spec"], "nodeName": NODE}
        status, told = self.api.ask("POST", f"/api/v1/namespaces/{self.namespace}/pods", json.dumps(pod))
        assert status == 201, told["message"]
        self.write(f"{name}-0", self.outcome(pod))

    def outcome(self, pod):
        """Do what the containers say, one after the other, as far as it goes; return the status."""
        needed = pod["spec"]["initContainers"][0]["command"][5:]
        walls = _ended("walls", int(not set(needed) <= {*self.found, "limits"}), json.dumps({"layers": self.found}))
        if walls["state"]["terminated"]["exitCode"]:
            return {"phase": "Failed", "initContainerStatuses": [walls]}
        done = self.run(pod)
        reason = "OOMKilled" if done.why == "memory" else "Error"
        job = _ended("job", done.code & 0xFF, done.said.decode()[-2048:] if done.code else "", reason)
        if done.code:
            why = {"reason": REASONS[done.why]} if done.why in REASONS else {}
            return {"phase": "Failed", "initContainerStatuses": [walls, job], **why}
        log, out = io.StringIO(), self.folder / f"out-{pod['metadata']['name']}"
        for path, content in done.files.items():
            (out / path).parent.mkdir(parents=True, exist_ok=True)
            (out / path).write_bytes(content)
        out.mkdir(exist_ok=True)
        digest = in_pod.report(out, int(pod["spec"]["containers"][0]["command"][-1]), log)
        self.logs[pod["metadata"]["name"]] = self.spoil(log.getvalue())
        return {
            "phase": "Succeeded",
            "initContainerStatuses": [walls, job],
            "containerStatuses": [_ended("report", 0, digest)],
        }

    def run(self, pod):
        job = pod["spec"]["initContainers"][1]
        size = job["resources"]["limits"]
        inputs = {
            each["mountPath"].removeprefix("/in/"): self.claim / each["subPath"]
            for each in job["volumeMounts"]
            if each["name"] == "inputs"
        }
        limits = Limits(
            seconds=pod["spec"]["activeDeadlineSeconds"],
            memory=_bytes(size["memory"]),
            disk=_bytes(size["ephemeral-storage"]) // 2,
        )
        command = tuple(word.replace("$$", "$") for word in job["command"])
        environment = {each["name"]: each["value"].replace("$$", "$") for each in job.get("env", [])}
        return Bubblewrap().run(Job(command, inputs=inputs, environment=environment, limits=limits))

    def write(self, name, status):
        path = f"/api/v1/namespaces/{self.namespace}/pods/{name}/status"
        for each in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
            each |= {"image": "x", "imageID": "", "ready": False, "restartCount": 0}
        said = json.dumps({"status": status})
        code, told = self.api.ask("PATCH", path, said, "application/merge-patch+json")
        assert code == 200, told

    def _register(self):
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}
        assert self.api.ask("POST", "/api/v1/nodes", json.dumps(node))[0] in (201, 409)
        status = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self.server_address[1]}},
        }
        path, kind = f"/api/v1/nodes/{NODE}/status", "application/merge-patch+json"
        code, told = self.api.ask("PATCH", path, json.dumps({"status": status}), kind)
        assert code == 200, told


def _ended(name, code, message, reason="Error"):
    last = {"exitCode": code, "reason": reason if code else "Completed", "message": message}
    return {"name": name, "state": {"terminated": last}}


def _bytes(quantity):
    """Read a quantity as the API server writes it anew."""
    number = quantity.rstrip("kMGi")
    return (
        int(number)
        * {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}[
            quantity[len(number) :]
        ]
    )


class _Logs(BaseHTTPRequestHandler):
    def do_GET(self):
        _, kind, _, pod, _ = self.path.partition("?")[0].split("/")
        log = self.server.logs.get(pod, "").encode() if kind == "containerLogs" else b""
        self.send_response(200 if log else 404)
        self.send_header("content-length", str(len(log)))
        self.end_headers()
        self.wfile.write(log)

    def log_message(self, *_):
        pass
