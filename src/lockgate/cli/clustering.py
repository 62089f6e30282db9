"""How is a cluster made to obey the same gate?"""

import os
import sys
from pathlib import Path
from typing import Any

import click

from lockgate.cli.hosting import HOME
from lockgate.cli.speaking import ENDPOINT, EXISTING, FILE, FOLDER, NAME, as_json, read, show
from lockgate.formats.names import Endpoint


@click.group()
def kubernetes() -> None:
    """Let a cluster obey the same gate: what it needs, who answers its questions about pods, what a pod looks like."""


@kubernetes.command("manifests")
@click.option("--image", required=True, help="Lockgate's own image, by its digest: NAME@sha256:….")
@click.option("--environment", type=NAME, required=True, help="The environment that this installation is.")
@click.option("--authority", type=EXISTING, required=True, help="Who vouches for the webhook's certificate, PEM.")
@click.option("--models", default="models", show_default=True, help="The namespace in which releases serve.")
@click.option("--gateway", default="gateway", show_default=True, help="The namespace from which requests come.")
@click.option("--form", type=click.Choice(["kustomize", "helm"]), default="kustomize", show_default=True)
@click.option("--into", type=FOLDER, required=True, help="A folder that is empty, or not there.")
@as_json
def write_manifests(authority: Path, form: str, into: Path, json_: bool, **named: Any) -> None:
    """Write what a cluster needs: server, signer, agents, porter, admission, rights, networks. You apply it yourself.

    Every image is named by its digest. For kustomize: `kubectl apply --server-side -k DIR`; for Helm:
    `helm install lockgate DIR`. Secrets are yours to make (docs/how-to/run-on-kubernetes.md).
    """
    from lockgate.cli.kubernetes.chosen import Chosen, authority_of
    from lockgate.cli.kubernetes.written import chart, kustomize, write

    chosen = Chosen(authority=authority_of(read(authority)), **{name: str(value) for name, value in named.items()})
    chosen.check()
    files = kustomize(chosen) if form == "kustomize" else chart(chosen)
    write(files, into)
    show(json_, {"files": [*files]}, *(str(into / name) for name in files))


@kubernetes.command("workload")
@click.argument("passport", type=EXISTING)
@click.option("--endpoint", type=ENDPOINT, required=True, help="Where it serves.")
@click.option("--image", required=True, help="Where the release's image is: its name, without tag or digest.")
@click.option("--loader", required=True, help="Lockgate's own image, by its digest: NAME@sha256:….")
@click.option("--models", default="models", show_default=True, help="The namespace in which releases serve.")
@click.option("--replicas", type=click.IntRange(0, 1000), default=1, show_default=True)
def write_workload(passport: Path, endpoint: Endpoint, image: str, loader: str, models: str, replicas: int) -> None:
    """Write the Deployment and the Service of one release, as admission lets them run, to standard output.

    PASSPORT is what `lockgate passport export` wrote. Nothing is verified here: the porter judges what you apply, and
    refuses whatever was changed in a way that matters.
    """
    from lockgate.cli.kubernetes.released import workload

    click.echo(workload(read(passport), endpoint, image, loader, models, replicas), nl=False)


@kubernetes.command("admit")
@HOME
@click.option("--loader", required=True, help="Our image whose loader pods must begin with: NAME@sha256:….")
@click.option("--listen", default="127.0.0.1:8443", show_default=True, help="Where the cluster asks.")
@click.option("--tls-certificate", type=FILE, help="What is shown to the cluster, PEM; without it on loopback only.")
@click.option("--tls-key", type=FILE, help="The key of that certificate, PEM.")
@click.option("--runtime-class", metavar="NAME", help="The RuntimeClass that pods may name; without it none.")
def admit(
    home: Path, loader: str, listen: str, tls_certificate: Path | None, tls_key: Path | None, runtime_class: str | None
) -> None:
    """Be the porter: answer the cluster's questions about pods (admission.k8s.io/v1), at POST /review.

    HOME is that of a serving host, as for `lockgate run`: its key, and the root that it pins. For each pod the
    passports of the endpoint that it names are judged anew, and every reason against it is said. Where no answer comes
    the cluster itself refuses (failurePolicy: Fail). Stops on SIGTERM or Ctrl-C.
    """
    sys.stdout.flush()
    command = [sys.executable, "-m", "lockgate.porter", str(home), "--loader", loader, "--listen", listen]
    command += ["--tls-certificate", str(tls_certificate)] if tls_certificate else []
    command += ["--tls-key", str(tls_key)] if tls_key else []
    command += ["--runtime-class", runtime_class] if runtime_class else []
    os.execv(sys.executable, command)  # noqa: S606 - doors do not import each other


@kubernetes.command("routes")
@HOME
@click.option("--endpoint", "endpoints", type=ENDPOINT, multiple=True, required=True, help="May be given again.")
@click.option("--gateway", required=True, help="The Gateway of the cluster: NAMESPACE/NAME.")
@click.option("--models", default="models", show_default=True, help="The namespace in which releases serve.")
@click.option("--api", default="https://kubernetes.default.svc", show_default=True, help="The API server.")
@click.option("--account", type=FOLDER, required=True, help="A folder that holds ca.crt and token.")
@click.option("--kserve", is_flag=True, help="Releases are InferenceServices: call NAME-predictor, and stop them.")
def keep_routes(home: Path, endpoints: tuple[Endpoint, ...], account: Path, kserve: bool, **named: str) -> None:
    """Keep the routes of endpoints what they should be: judged, leased, and shown every two seconds.

    HOME is that of a serving host. Weights come from the signed leases; what is denied or suspended is cut. What
    somebody else holds is told, and not taken from them. Stops on SIGTERM or Ctrl-C, and cuts what it showed.
    """
    sys.stdout.flush()
    command = [sys.executable, "-m", "lockgate.porter.route_keeper", str(home), "--account", str(account)]
    for name, value in named.items():
        command += [f"--{name}", value]
    for endpoint in endpoints:
        command += ["--endpoint", str(endpoint)]
    command += ["--kserve"] if kserve else []
    os.execv(sys.executable, command)  # noqa: S606 - doors do not import each other
