"""Which commands are there, and what does the shell learn of how they ended?

Exit codes: 0 done, 2 usage, 3 denied (all reasons listed), 4 verification failed, 5 conflict, 6 unavailable; `run`
exits with the code of the model server, or 10 when it was stopped.
"""

import importlib
import json
import sys
from collections.abc import Mapping
from typing import NoReturn

import click

from lockgate import __version__
from lockgate.errors import DeniedError, LockgateError
from lockgate.formats.one_line import one_line

# Command, the module that has it, and the line that --help shows. Modules are imported when their command is called.
COMMANDS: Mapping[str, tuple[str, str]] = {
    "demo": ("demonstrating", "The whole story on a real model, with two installations on this machine."),
    "sign": ("sealing", "Sign a directory: an OpenSSF model-signing bundle beside it."),
    "verify": ("sealing", "Verify a directory against its bundle, offline."),
    "scan": ("scanning", "Scan a directory by content, offline: what is not known to be harmless is refused."),
    "key": ("keeping", "Create, rotate and revoke keys; certificates for TLS."),
    "person": ("staffing", "List, add and off-board people."),
    "init": ("hosting", "Make the folders and the server keys of an installation."),
    "up": ("hosting", "Start an installation on this machine: PostgreSQL, log, gate, API."),
    "signer": ("hosting", "Sign the heads of a log in a place of its own, and never go back."),
    "notify": ("hosting", "Send a test message to everybody whom an installation tells what matters."),
    "trust": ("ruling", "Whom an environment trusts: propose, sign, publish, show."),
    "policy": ("ruling", "What an endpoint demands: check, propose, sign, publish, show."),
    "release": ("releasing", "Create, list, show, diff, export and import releases."),
    "provider": ("observing", "What the provider of a hosted model serves: write it down, show what is known."),
    "tools": ("pinning", "List the tools of an MCP server, pinned, for the contract of a release."),
    "attest": ("releasing", "Attach provenance or a test result to a release."),
    "reward": ("rewarding", "Did a training run learn its reward instead of the task? A verdict from its metrics."),
    "evidence": ("releasing", "Show the evidence of a release."),
    "statement": ("quoting", "Take every statement about a release away as in-toto, and verify that."),
    "suite": ("suiting", "List, show and add suites: what a release can be tested by."),
    "evaluate": ("evaluating", "Test a release in a sandbox, and attest what came of it."),
    "merge": ("merging", "Make one attested result of the shards of a trial."),
    "change": ("changing", "Open, show, assess, approve, reject, withdraw, activate changes."),
    "strategy": ("planning", "How a candidate gets its traffic: check a strategy, and say it in words."),
    "rollout": ("rolling", "How far a candidate is; pause, resume, promote, abort."),
    "endpoint": ("changing", "What serves where."),
    "rollback": ("changing", "Give an endpoint its whole former release back."),
    "shutdown": ("ordering", "Suspend an endpoint at once, with the server or without."),
    "resume": ("changing", "Open the change that takes a suspended endpoint back into service."),
    "alert": ("alerting", "Warn of what serves: guardrail, jailbreak, security, tools."),
    "revoke": ("revoking", "Revoke a release or a key, for good."),
    "run": ("serving", "Verify, load, start the manifest's command, obey."),
    "load": ("storing", "Verify a release into a folder: the storage step of a cluster."),
    "agent": ("tending", "Hold the key, the leases and the orders of a serving host."),
    "fleet": ("ordering", "Which hosts there are, and where their agents take orders."),
    "kubernetes": ("clustering", "Let a cluster obey the same gate: manifests, admission, pods."),
    "passport": ("auditing", "Export and verify everything about a release, offline."),
    "log": ("auditing", "Show, export, prove and verify the log."),
    "state": ("auditing", "Rebuild what was true at an instant, from the log."),
    "compliance": ("auditing", "Every obligation of AISVS C3: kept, gap or planned, with evidence."),
}


class Commands(click.Group):
    """The commands, each imported when it is wanted."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the commands in the order of the story."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, line = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(f"lockgate.cli.{module}"), cmd_name)
        command.short_help = line
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show the commands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="lockgate")
def cli() -> None:
    """Change control for AI models: only authorised, validated, unaltered releases reach a serving host.

    Start with `lockgate demo`. Who speaks, and to which installation, is said by LOCKGATE_SERVER, LOCKGATE_ACTOR and
    LOCKGATE_KEY, or by --server, --as and --key.
    """


def main() -> NoReturn:
    """Run the command line."""
    try:
        code = cli.main(standalone_mode=False)
    except LockgateError as e:
        sys.exit(_explain(e))
    except click.ClickException as e:
        sys.exit(_explain_usage(e))
    except click.Abort:
        click.echo("stopped by hand; nothing was half done", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


def _explain(error: LockgateError) -> int:
    reasons = error.reasons if isinstance(error, DeniedError) else (str(error),)
    code = error.exit_code
    word = {3: "denied", 4: "not verified", 5: "conflict", 6: "unavailable"}[code]
    if "--json" in sys.argv:
        click.echo(json.dumps({"error": word, "reasons": list(reasons), "exit": code}))
    else:
        for reason in reasons:
            click.secho(f"{word}: {one_line(reason)}", fg="red", err=True)
    return code


def _explain_usage(error: click.ClickException) -> int:
    if "--json" in sys.argv:
        click.echo(json.dumps({"error": "usage", "reasons": [error.format_message()], "exit": 2}))
    else:
        error.show()
    return 2
