"""How does a serving host verify, load, start and obey?"""

import sys
from pathlib import Path

import click

from lockgate.cli.hosting import HOME, serving_home
from lockgate.cli.speaking import ENDPOINT, FOLDER, now, progress
from lockgate.errors import UnavailableError
from lockgate.formats.names import Endpoint
from lockgate.formats.one_line import one_line


@click.command()
@HOME
@click.option("--endpoint", type=ENDPOINT, required=True, help="The endpoint that this host serves.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8500,
    show_default=True,
    help="For {port} in the command; 0 for any that is free.",
)
@click.option(
    "--follow", is_flag=True, help="Stay: start again when another release, or a resumed endpoint, may serve."
)
@click.option("--from", "source", type=FOLDER, help="Take the files from COMPONENT/NAME below this directory.")
@click.option("--candidate", is_flag=True, help="Serve the candidate of a rollout, beside the stable release.")
def run(home: Path, endpoint: Endpoint, port: int, follow: bool, source: Path | None, candidate: bool) -> int:
    """Serve an endpoint: fetch its passport, judge it, take a lease, verify while copying, start the command, obey.

    HOME holds host.toml, root.json and keys/node.pem: this host's own key, and the root that it pins. Trust, policy and
    what is revoked come from the server, or from `updates` in host.toml; they must be signed by that root and fresh.
    A candidate that is promoted goes on as the stable release; one that is aborted is stopped.
    The exit code is the model server's; 3, 4 or 6 before the start; 10 when the permission to serve ended.
    """
    home = serving_home(home)
    if follow:
        from lockgate.cli.staying import stay

        return stay(home, endpoint, port, source, candidate=candidate)
    return _run_once(home, endpoint, port, source, candidate=candidate)


def _run_once(home: Path, endpoint: Endpoint, port: int, source: Path | None, *, candidate: bool) -> int:
    from lockgate.loader.namespace import enter_private_mounts

    try:
        mounts = enter_private_mounts()
    except UnavailableError as e:
        _tell(f"{e}; sealed memfds are used instead")
        mounts = None
    from lockgate.loader.lessor import find_lessor, open_leased
    from lockgate.loader.run import keep_serving

    lessor = find_lessor(home, now(), _tell)
    with progress("loading") as advance:
        opened = open_leased(
            endpoint,
            lessor,
            mounts=mounts,
            directory=source,
            progress=lambda done, _: advance(done),
            candidate=candidate,
        )
    permit = opened.admission.permit
    people = ", ".join(str(name) for name in opened.admission.decision.authorized_by)
    role = f"as a candidate at {endpoint}" if candidate else f"for {endpoint}"
    _tell(f"admitted {permit.release.manifest.tag} {permit.release.digest} {role}, approved by {people}")
    for sentence in opened.admission.decision.unpinned or ():
        _tell(sentence)
    _tell(f"handed over as {opened.files.how}: {len(opened.files.paths)} files that nobody can change")
    try:
        ended = keep_serving(opened, lessor, port, _tell)
    finally:
        opened.files.close()
    _tell(f"ended: {ended.why}")
    return ended.code


def _tell(line: str) -> None:
    click.echo(f"lockgate run: {one_line(line)}", err=True)
    sys.stderr.flush()
