"""Does a run that has no agent hear of what was revoked, and does it go on when nothing can be learnt?"""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

import tests.world
from lockgate.core.policy import Lease
from tests.live.company import Company, serving
from tests.live.test_attacks import lockgate, wait_for
from tests.world import PROD


@pytest.fixture
def company(tmp_path, monkeypatch):
    monkeypatch.setattr(tests.world, "NOW", datetime.now(UTC).replace(microsecond=0))
    rules = replace(tests.world.rules(), lease=Lease(6, "stop"))
    monkeypatch.setattr(tests.world, "rules", lambda: rules)
    company = Company(tmp_path)
    company.serve()
    return company


def test_a_run_without_an_agent_stops_when_a_key_was_revoked(company):
    with (
        serving(company.world) as url,
        lockgate("run", "--home", company.home(url), "--endpoint", PROD) as run,
    ):
        wait_for(run, "serves")

        company.world.revoke("results")

        told = wait_for(run, "stopping")
        assert "no provenance by a trusted signer" in told and "suite file-types has no result" in told
        assert run.wait(10) == 10


def test_a_run_that_can_learn_nothing_goes_on_until_it_learns_of_a_denial(company):
    feed = company.world.feed(company.path / "feed")
    with serving(company.world) as url:
        home = company.home(url)
        with (home / "host.toml").open("a") as settings:
            settings.write(f'updates = "{feed}"\n')
        with lockgate("run", "--home", home, "--endpoint", PROD) as run:
            wait_for(run, "serves")
            (feed / "timestamp.json").rename(feed / "away.json")
            for _ in range(5):  # longer than a lease
                wait_for(run, "cannot be learnt")
            assert run.poll() is None

            company.world.revoke("bob")
            company.world.feed(feed)

            assert "1 of 2 approvals" in wait_for(run, "stopping")
            assert run.wait(10) == 10
