"""Where does a suite run? Behind bubblewrap on this machine, or as a Job of a cluster that a file describes.

api = "https://cluster.example:6443"
account = "account"                      # a folder with ca.crt and token
namespace = "trials"                     # its Pod security is restricted
image = "registry.example/suites@sha256:…"
loader = "registry.example/lockgate@sha256:…"  # Lockgate's own: it probes the walls, and reports
claim = "evaluations"                    # the volume claim on which inputs lie
folder = "/mnt/evaluations"              # where this machine sees it
python = "/usr/bin/python3"              # that of `image`, if not `python3`
runtime = "gvisor"                       # a runtime class, if not the cluster's own

In either place the same is asked of the sandbox, and the result is judged and signed here, outside of it.
"""

import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lockgate.cli.speaking import read
from lockgate.core.pod import image_digest
from lockgate.drivers.bubblewrap.outer import Bubblewrap
from lockgate.drivers.kserve.api import Cluster
from lockgate.drivers.kubernetes_job import Grounds, KubernetesJob
from lockgate.errors import UnavailableError, VerificationError
from lockgate.evaluator.sandbox import Sandbox
from lockgate.formats import plain
from lockgate.formats.names import Name

_PYTHON = "python3"


@dataclass(frozen=True, slots=True)
class Described:
    """What the file says of a cluster. Relative paths are beside it."""

    api: str
    account: str
    namespace: Name
    image: str
    loader: str
    claim: Name
    folder: str
    python: str | None = None
    runtime: Name | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """A sandbox, a folder for what it is to see, and the Python in it if it brings the harness along."""

    sandbox: Sandbox
    folder: Path
    python: str | None = None

    @property
    def workshop(self) -> Path | None:
        """Say where suites are written for it; None for anywhere."""
        return self.folder if self.python else None


@contextmanager
def placed(cluster: Path | None, lacking: frozenset[str]) -> Iterator[Place]:
    """Give a place, with a folder that is gone afterwards; layers that are not named as lacking must be there."""
    if cluster is None:
        with tempfile.TemporaryDirectory(prefix="lockgate-trial-") as folder:
            yield Place(Bubblewrap(allow=lacking), Path(folder))
        return
    found = described(cluster)
    grounds = Grounds(
        str(found.namespace), found.image, found.loader, str(found.claim), cluster.parent / found.folder,
        str(found.runtime) if found.runtime else None,
    )  # fmt: skip
    account = cluster.parent / found.account
    api = Cluster(found.api, account / "ca.crt", account / "token")
    sandbox = KubernetesJob(api, grounds, allow=lacking)
    if not grounds.folder.is_dir():
        raise UnavailableError(f"{grounds.folder} is not here: it is where this machine sees {found.claim}")
    with tempfile.TemporaryDirectory(prefix="lockgate-trial-", dir=grounds.folder) as folder:
        Path(folder).chmod(0o755)  # pods read it as somebody else
        yield Place(sandbox, Path(folder), found.python or _PYTHON)


def described(cluster: Path) -> Described:
    """Read the file; raise `VerificationError` for what describes no cluster, or an image by less than its digest."""
    try:
        found = plain.from_plain(Described, tomllib.loads(read(cluster).decode()), cluster.name)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as e:
        raise VerificationError(f"{cluster} is not TOML: {e}") from e
    for image in (found.image, found.loader):
        image_digest(image)
    if not found.api.startswith("https://"):
        raise VerificationError(f"the API server of a cluster is https://…, not {found.api[:80]!a}")
    return found
