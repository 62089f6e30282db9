"""How is one release written for a cluster? A Deployment of pods that admission lets run, and a Service before them."""

import yaml

from lockgate.core.passport import parse_passport
from lockgate.core.pod import PORT, Terms, Wanted, marks_of, name_of, pod_of
from lockgate.core.release import Manifest
from lockgate.formats import dsse, plain
from lockgate.formats.canonical import Json
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint

Object = dict[str, Json]


def workload(passport: bytes, endpoint: Endpoint, image: str, loader: str, models: str, replicas: int) -> str:
    """Write the YAML for what a passport says, which is not verified here."""
    payload = dsse.parse(parse_passport(passport).manifest.encode()).payload
    manifest, release = plain.decode(Manifest, payload), Digest.of(payload)
    wanted = Wanted(endpoint, release, manifest.serve)
    labels, annotations = marks_of(wanted)
    metadata: Object = {"name": name_of(endpoint, release), "namespace": models, "labels": labels}
    template = pod_of(wanted, image, Terms(loader))
    spec: Object = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    ports: Json = [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": PORT}]
    deployment: Object = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {**metadata, "annotations": annotations},
        "spec": spec,
    }
    service: Object = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {"selector": labels, "ports": ports},
    }
    return yaml.dump_all([_plain(deployment), _plain(service)], Dumper=yaml.SafeDumper, sort_keys=True, width=100_000)


def _plain(value: Json) -> Json:
    """Copy what is said twice, so that no part of the text refers to another."""
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in value.items()}
    return [_plain(member) for member in value] if isinstance(value, list) else value
