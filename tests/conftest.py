"""Which tests may be left out, and when is leaving one out a failure?

Everything in tests/live is `live`. With LOCKGATE_REQUIRE_ALL=1 a skipped test is a failed test: something that it needs
is missing. Only a reason that begins with "elsewhere:" is still a skip: the test is about another kind of machine, or
needs what no registry has.
"""

import gc
import io
import logging
import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("quick", deadline=None)
settings.register_profile(
    "sample", deadline=None, max_examples=10
)  # `make check`; `make test` tries each as often again
settings.register_profile("soak", deadline=None, max_examples=5000)
settings.load_profile("soak" if os.environ.get("LOCKGATE_SOAK") else "quick")

_LIVE = Path(__file__).parent / "live"


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Look for no garbage while nothing but tests is made, and never again among what was made."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.is_relative_to(_LIVE):
            item.add_marker("live")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup():
    if retold := sys.modules.get("tests.retold"):
        retold.next_test()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    _refuse_skip(report, item.nodeid)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    report = yield
    _refuse_skip(report, collector.nodeid)
    return report


def _refuse_skip(report, name):
    if not report.skipped or hasattr(report, "wasxfail") or not os.environ.get("LOCKGATE_REQUIRE_ALL"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if not reason.removeprefix("Skipped: ").startswith("elsewhere:"):
        report.outcome = "failed"
        report.longrepr = f"{name} was skipped, and LOCKGATE_REQUIRE_ALL is set: {reason}"


@pytest.fixture
def logged():
    """Give what was written to the log of the program, as lines: `caplog` and its plugin cost every test a little."""
    stream = io.StringIO()
    handler, root = logging.StreamHandler(stream), logging.getLogger()
    level = root.level  # which a library that was tried may have changed
    root.setLevel(logging.WARNING)
    root.addHandler(handler)
    yield lambda: stream.getvalue().splitlines()
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture
def world():
    """Give a whole installation in memory, and check all of it when the test is done."""
    from tests.world import World

    world = World()
    yield world
    world.check()
