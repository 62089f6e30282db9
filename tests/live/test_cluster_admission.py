"""Does a real API server let in the pod of a passport, refuse another, and refuse all when nobody answers?"""

import base64
import threading
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime

import pytest

import tests.world
from lockgate.cli.kubernetes.barriers import webhook
from lockgate.core.pod import Terms, Wanted, pod_of
from lockgate.core.release import Serve
from lockgate.errors import DeniedError, UnavailableError
from lockgate.formats.digest import Digest
from lockgate.loader.tls import server_context
from lockgate.porter.judging import Porter
from lockgate.porter.review_door import ReviewDoor
from tests.calling import free_address, until
from tests.cli.test_manifests import CHOSEN
from tests.kube import ApiServer, needs_api_server
from tests.live.company import Company, serving
from tests.live.tls_files import Files
from tests.world import PROD

TERMS = Terms(f"registry.example/lockgate@{Digest.of(b'lockgate')}")
SERVE = Serve(("python3", "serve.py"), {"LANG": "C"}, Digest.of(b"image"))
HOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/lockgate"
PODS = "/api/v1/namespaces/models/pods"


@contextmanager
def porter(company, url, files):
    address = free_address()
    answer = Porter(company.home(url), TERMS, lambda: datetime.now(UTC)).answer
    with ReviewDoor((address.host, address.port), answer, server_context(files.shown(files.server()))) as door:
        threading.Thread(target=door.serve_forever, args=(0.05,), daemon=True).start()
        yield address
        door.shutdown()


def configured(files, address):
    """Take the webhook of the manifests; here its porter is at an address, not behind a service."""
    found = webhook(replace(CHOSEN, authority=base64.b64encode(files.company.pem).decode()))
    (hook,) = found["webhooks"]
    asked = {"caBundle": hook["clientConfig"]["caBundle"], "url": f"https://{address}/review"}
    return {**found, "webhooks": [{**hook, "clientConfig": asked}]}


def pod(release, name):
    found = pod_of(Wanted(PROD, release.digest, release.manifest.serve), "registry.example/m", TERMS)
    return {"apiVersion": "v1", "kind": "Pod", **found, "metadata": {**found["metadata"], "name": name}}


@needs_api_server
def test_a_real_api_server_asks_the_porter_and_obeys(tmp_path, monkeypatch):
    monkeypatch.setattr(tests.world, "NOW", datetime.now(UTC).replace(microsecond=0))
    company, files = Company(tmp_path), Files(tmp_path)
    (tmp_path / "cluster").mkdir()
    with ApiServer(tmp_path / "cluster") as api, serving(company.world) as url:
        api.install("models")
        label = {"metadata": {"labels": {"lockgate.invalid/models": "true"}}}
        assert api.edit("/api/v1/namespaces/models", label) == 200
        release = company.world.serve(serve=SERVE)
        other = deepcopy(pod(release, "other"))
        other["spec"]["containers"][0]["image"] = "registry.example/m:latest"
        with porter(company, url, files) as address:
            api.ours.apply(HOOKS, configured(files, address))
            until(lambda: is_refused(api, other))

            assert api.ours.apply(f"{PODS}/model", pod(release, "model"))["metadata"]["name"] == "model"
            with pytest.raises(DeniedError, match="not named by its digest"):
                api.ours.apply(f"{PODS}/other", other)
            company.world.shut_down()
            with pytest.raises(DeniedError, match="suspended"):
                api.ours.apply(f"{PODS}/late", pod(release, "late"))
            assert api.edit(f"{PODS}/model", {"metadata": {"labels": {"team": "x"}}}) == 200
            assert api.edit(f"{PODS}/model", {"spec": {"containers": [{"name": "model", "image": "evil"}]}}) in (
                403,
                422,
            )
        with pytest.raises((UnavailableError, DeniedError), match="webhook"):
            api.ours.apply(f"{PODS}/unasked", pod(release, "unasked"))
        assert api.ask("DELETE", f"{PODS}/model")[0] == 200


def is_refused(api, found):
    """Ask until the cluster has learnt of the webhook: until then it lets everything in."""
    try:
        api.ours.apply(f"{PODS}/other", found)
    except DeniedError:
        return True
    api.ours.delete(f"{PODS}/other")
    return False
