"""How do the files of a release get into a folder, for a server that a cluster starts?"""

from pathlib import Path

import click

from lockgate.cli.hosting import HOME, serving_home
from lockgate.cli.speaking import FOLDER, as_json, now, progress, show


@click.command()
@HOME
@click.argument("source", metavar="lockgate://ENV/NAME/DIGEST")
@click.argument("into", metavar="DIR", type=FOLDER)
@as_json
def load(home: Path, source: str, into: Path, json_: bool) -> None:
    """Verify a release and put its files into DIR, which is empty: the storage step of KServe, an init container.

    HOME is that of a serving host. The passport is judged and a lease is taken as `lockgate run` does, for the stable
    release or the candidate, whichever has that digest; a file has its name in DIR (COMPONENT/NAME) only when all of
    them were verified. What is started on them later is not stopped by a lease: use `lockgate run` where you can.
    """
    from lockgate.loader.host import open_host
    from lockgate.loader.opening import connect
    from lockgate.loader.storage_step import Stored, store_release

    stored = Stored.parse(source)
    host = open_host(serving_home(home), now())
    with progress("loading") as advance:
        admission = store_release(host, stored, connect(host), into, lambda done, _: advance(done))
    tag, files = admission.permit.release.manifest.tag, sorted(admission.permit.components)
    found = {"tag": str(tag), "release": str(stored.release), "components": files}
    show(json_, found, f"{tag} {stored.release}: {', '.join(files)} verified, in {into}")
