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

    CHAPTERS: gate (a release goes through, attacks do not), evidence (what is measured, and who may go on without),
    trust (what a thief gets), rollout (candidates on real traffic, and a shutdown), agent (all parts of an agent
    together, or none); all if none is named. Exit 0 only if every step did what it should.
    """
    from lockgate.cli.demo.agent_chapter import play as agent
    from lockgate.cli.demo.evidence_chapter import play as evidence
    from lockgate.cli.demo.gate_chapter import play as gate
    from lockgate.cli.demo.rollout_chapter import play as rollout
    from lockgate.cli.demo.stage import Stage
    from lockgate.cli.demo.trust_chapter import play as trust

    known = {"gate": gate, "evidence": evidence, "trust": trust, "rollout": rollout, "agent": agent}
    wanted = list(known) if all_ or not chapters else list(chapters)
    if unknown := [chapter for chapter in wanted if chapter not in known]:
        raise click.UsageError(f"there is no chapter {unknown[0]}; there are: {', '.join(known)}")
    for chapter in wanted:
        with Stage(home / chapter if home else None, json_=json_, keep=keep) as stage:
            known[chapter](stage)
            sys.stdout.flush()
    return 0
