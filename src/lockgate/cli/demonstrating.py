"""How does somebody see everything at once, on a real model, on this machine?"""

import sys
from pathlib import Path

import click

from lockgate.cli.speaking import FOLDER


@click.command()
@click.argument("chapters", nargs=-1)
@click.option("--all", "all_", is_flag=True, help="Every chapter.")
@click.option("--keep", is_flag=True, help="Leave the installations running, and say how to speak to them.")
@click.option("--home", type=FOLDER, help="Where to play; a temporary folder if left out.")
@click.option("--json", "json_", is_flag=True, help="Print one JSON object a step.")
def demo(chapters: tuple[str, ...], all_: bool, keep: bool, home: Path | None, json_: bool) -> int:
    """Play the whole story: two installations, real releases of a real model, and every attack on them.

    CHAPTERS: gate (the default). Exit 0 only if every step did what it should.
    """
    from lockgate.cli.demo.gate_chapter import play as gate
    from lockgate.cli.demo.stage import Stage

    known = {"gate": gate}
    wanted = list(known) if all_ else list(chapters or ["gate"])
    if unknown := [chapter for chapter in wanted if chapter not in known]:
        raise click.UsageError(f"there is no chapter {unknown[0]}; there are: {', '.join(known)}")
    with Stage(home, json_=json_, keep=keep) as stage:
        for chapter in wanted:
            known[chapter](stage)
        sys.stdout.flush()
        return 0 if stage.all_good else 1
