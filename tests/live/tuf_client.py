"""How does the client of this project speak to tuf-conformance? As its CLIENT-CLI.md says: init, refresh, download.

As a program it does what it is told. As a plugin of pytest it does so within the tests, which saves a process for each
step; only steps at another time are left to `faketime` and a process.
"""

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from urllib.parse import quote

from lockgate.errors import LockgateError, UnavailableError
from lockgate.loader.feed import Feed, HttpFeed
from lockgate.loader.updates import explained, walk

BOOTSTRAP = ".bootstrap"  # every other name that ends in .json is taken for a role


@dataclass
class Repository:
    """A repository that keeps its targets at a place of their own."""

    metadata: Feed
    targets: Feed | None = None

    def stream(self, place):
        """Ask for a file (port `Feed`)."""
        kind, _, name = place.partition("/")
        if kind == "targets" and name and self.targets is not None:
            return self.targets.stream(name)
        return self.metadata.stream(place)


def download(options, updater):
    """Fetch each target that is not there yet."""
    for name in options.target_name:
        found = updater.get_targetinfo(name)
        if found is None:
            raise UnavailableError(f"there is no {name}")
        kept = str(options.target_dir / quote(name, safe=""))
        if updater.find_cached_target(found, kept) is None:
            updater.download_target(found, kept, "feed:/targets/")


def main(words=None):
    """Do what is asked; return 1 for every refusal."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--metadata-dir", type=Path, required=True)
    parser.add_argument("--metadata-url")
    parser.add_argument("--target-name", action="append", default=[])
    parser.add_argument("--target-dir", type=Path)
    parser.add_argument("--target-base-url")
    parser.add_argument("command", choices=["init", "refresh", "download"])
    parser.add_argument("root", type=Path, nargs="?")
    options = parser.parse_args(words)
    if options.command == "init":
        (options.metadata_dir / BOOTSTRAP).write_bytes(options.root.read_bytes())
        (options.metadata_dir / "root.json").write_bytes(options.root.read_bytes())
        return 0
    targets = HttpFeed(options.target_base_url.rstrip("/")) if options.target_base_url else None
    feed = Repository(HttpFeed(options.metadata_url.rstrip("/")), targets)
    try:
        with explained():
            updater = walk(options.metadata_dir, (options.metadata_dir / BOOTSTRAP).read_bytes(), feed)
            download(options, updater)
    except LockgateError as e:
        print(e, file=sys.stderr)
        return 1
    return 0


def pytest_configure():
    """Have the tests speak to this client without starting it."""
    runner = import_module("tuf_conformance._internal.client_runner").ClientRunner

    spawned = runner._run

    def run(self, words):
        if words[0] == "faketime":
            return spawned(self, words)
        with ThreadPoolExecutor(1) as threads:
            done = threads.submit(main, words[len(self._cmd) :])
            while not done.done():
                self._server.handle_request()
            return done.result()

    runner._run = run


if __name__ == "__main__":
    sys.exit(main())
