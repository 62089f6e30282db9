"""Which suites are there, what do they measure, and how does an installation come to know one?"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lockgate.cli.evaluating import SUITES
from lockgate.cli.speaking import Column, as_json, show, speaking, spread, table
from lockgate.errors import VerificationError
from lockgate.formats.canonical import Json

if TYPE_CHECKING:
    from lockgate.evaluator.suite_folder import Suite
    from lockgate.loader.connection import Connection

WHERE = click.option("--suites-dir", type=SUITES, help="A directory of suites, beside those that come with Lockgate.")


@click.group()
def suite() -> None:
    """List, show and add suites: versioned directories, known by their content."""


@suite.command("list")
@WHERE
@as_json
def list_suites(suites_dir: Path | None, json_: bool) -> None:
    """List the suites that come with Lockgate, and those in a directory. Offline."""
    from lockgate.evaluator.suite_folder import known_suites

    found: list[Mapping[str, Json]] = [_described(each) for each in known_suites(suites_dir)]
    columns = (
        Column("SUITE", lambda row: f"{row['name']}@{row['version']}"),
        Column("HARNESS", lambda row: row["harness"]),
        Column("DIGEST", lambda row: row["digest"]),
        Column("COMMIT", lambda row: str(row["commit"] or "not committed as it is")[:22]),
    )
    show(json_, {"items": found}, *table(found, *columns))


@suite.command("show")
@click.argument("name")
@WHERE
@as_json
def show_suite(name: str, suites_dir: Path | None, json_: bool) -> None:
    """Show what a suite measures, what it needs, and the digest that a policy pins it by. Offline."""
    from lockgate.evaluator.suite_folder import find_suite

    found = find_suite(name, suites_dir)
    about = found.about
    lines = [
        f"{about.name}@{about.version}, run by {about.harness}; it needs: {', '.join(about.needs) or 'nothing'}",
        f"digest {found.digest}",
        f"commit {found.commit or 'none that holds just this'}",
        *spread([["MEASURE", "MEANS"], *([name, means] for name, means in about.measures.items())]),
    ]
    show(json_, _described(found), *lines)


@suite.command("add")
@click.argument("folder", type=SUITES)
@speaking
@as_json
def add_suite(folder: Path, connection: "Connection", json_: bool) -> None:
    """Make a version of a suite known to an installation, for good: its digest, and the Git commit it comes from.

    The directory is committed, just as it is.
    """
    from lockgate.evaluator.suite_folder import read_suite

    found = read_suite(folder)
    if found.commit is None:
        raise VerificationError(
            f"no Git commit holds just what is in {folder}: commit it first, and leave nothing over"
        )
    about = found.about
    brought = {"name": about.name, "version": about.version, "digest": found.digest, "commit": found.commit}
    intent = connection.intend("suite.add", f"suite/{about.name}@{about.version}", after=found.digest)
    entry = connection.act("/api/v1/suites", intent, suite=brought)["first"]
    told = f"added {about.name}@{about.version} as {found.digest} (entry {entry})"
    show(json_, {**_described(found), "entry": entry}, told)


def _described(found: "Suite") -> dict[str, Json]:
    about = found.about
    return {
        "name": str(about.name),
        "version": str(about.version),
        "harness": about.harness,
        "needs": list(about.needs),
        "measures": dict(about.measures),
        "digest": str(found.digest),
        "commit": found.commit,
    }
