"""How is the agent of a host started, and what does it say of itself?"""

import os
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lockgate.cli.hosting import HOME, serving_home
from lockgate.cli.speaking import FOLDER, as_json, now, show, spread

if TYPE_CHECKING:
    from lockgate.loader.standing import AtGateway, Document, Routed, Running, Shut, Standing


@click.group(invoke_without_command=True)
@HOME
@click.option("--insecure", is_flag=True, help="Take orders without TLS, on a loopback address only.")
@click.option("--gateway", help="Where requests come in, such as 127.0.0.1:8421, unless host.toml says so.")
@click.pass_context
def agent(context: click.Context, home: Path, insecure: bool, gateway: str | None) -> None:
    """Be the agent of this host: hold its key, the leases of everything that runs here, and the orders that stop it.

    HOME holds what `lockgate run` needs. Runs find the agent at HOME/agent.sock, and need the node's key no more. It
    takes direct orders (`lockgate shutdown --direct`) at its control address, and lets requests through its gateway.
    Stops on SIGTERM or Ctrl-C; what runs goes on until its lease is over, and is taken back by the agent that is
    started next. What goes through the gateway is cut.
    """
    context.obj = home = serving_home(home)
    if context.invoked_subcommand is not None:
        return
    sys.stdout.flush()
    command = [sys.executable, "-m", "lockgate.agent", str(home), *(["--insecure"] if insecure else [])]
    command += ["--gateway", gateway] if gateway else []
    os.execv(sys.executable, command)  # noqa: S606 - doors do not import each other


@agent.command("status")
@click.option("--home", "elsewhere", type=FOLDER, help="Where it lives, if `agent` has not said so already.")
@as_json
@click.pass_obj
def agent_status(home: Path, elsewhere: Path | None, json_: bool) -> None:
    """Show what runs on this host, on which lease, until when; which orders it keeps; whether the server answers."""
    from lockgate.loader.agent_line import ask_standing

    found = ask_standing(serving_home(elsewhere) if elsewhere else home)
    show(json_, found, *_standing(found, now()))


def _standing(found: "Standing", at: datetime) -> list[str]:
    heard = f"answered {_ago(at, found.heard_at)}" if found.heard_at else "has not answered yet"
    lines = [
        f"agent of {found.node} for {found.environment}, since {_clock(found.since)}",
        f"server {found.server} {heard}; log of {found.log_size} entries seen",
        f"orders are taken at {found.control}" if found.control else "takes no direct orders",
        f"{_rules('trust', found.trust)}, {_rules('policy', found.policy)}",
        *(f"TROUBLE: {word}" for word in found.trouble),
        "",
    ]
    running = [_running(run, at) for run in found.running]
    heads = ("ENDPOINT", "RELEASE", "STATE", "SINCE", "LEASE", "LEFT", "ENTRY", "PID")
    lines += spread([heads, *running]) if running else ["nothing runs"]
    if found.gateway:
        lines += ["", *_gateway(found.gateway)]
    if found.orders:
        lines += ["", *spread([("SHUT", "BY", "SINCE", "RECORDED", "WHY"), *map(_shut, found.orders)])]
    return lines


def _gateway(gateway: "AtGateway") -> list[str]:
    if not gateway.fail_closed:
        return [f"no gateway at {gateway.address}: it was not seen to end everything by itself, so nothing is routed"]
    lines = [f"gateway at http://{gateway.address}/ENV/ENDPOINT/…"]
    if gateway.routes:
        lines += spread([("ROUTED", "RELEASE", "WEIGHT", "REQUESTS", "FAILED"), *map(_routed, gateway.routes)])
    return lines


def _routed(route: "Routed") -> tuple[str, ...]:
    return str(route.endpoint), str(route.tag), f"{route.weight} %", str(route.requests), str(route.failed)


def _rules(name: str, document: "Document") -> str:
    return f"{name} {document.version} until {document.expires:%Y-%m-%d}"


def _running(run: "Running", at: datetime) -> tuple[str, ...]:
    state = "serving" if run.serving else "loading"
    left = f"{run.seconds_left} s" if run.seconds_left else "over"
    since = _ago(at, run.since)
    return str(run.endpoint), str(run.tag), state, since, f"{run.lease_seconds} s", left, str(run.epoch), str(run.pid)


def _shut(order: "Shut") -> tuple[str, ...]:
    where = str(order.endpoint) if order.endpoint else "EVERYTHING"
    if order.kept_at is None:
        return where, "?", "?", "?", f"the order in orders/{order.order} cannot be read"
    recorded = "not yet" if order.recorded is None else f"entry {order.recorded}"
    return where, str(order.by), _clock(order.kept_at), recorded, order.reason or ""


def _ago(at: datetime, then: datetime) -> str:
    seconds = max(0, int((at - then).total_seconds()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def _clock(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
