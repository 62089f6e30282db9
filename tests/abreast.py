"""How do all processors run the quick tests, if only one of them collects?

    collect ──┬── a file of tests, the next one, … ──────────┬── one summary
              └── a file of tests, the next one, … ─ reports ┘

A plugin (`-p tests.abreast`): what is collected is forked, and every process takes the next file of tests out of one
pipe. Nobody collects twice, and what passed is told in a word: for thousands of short tests that is half of the work.
"""

import io
import os
import pickle
import tempfile
from contextlib import ExitStack
from itertools import groupby, zip_longest

import pytest

MOST = 4  # processes
NUMBER = 4  # bytes
END = ""  # in place of the next test


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session):
    """Run what was collected in as many processes as there are processors; in this one as always, if there is one."""
    files = [list(items) for _, items in groupby(session.items, key=lambda item: item.path)]
    others = min(MOST, len(os.sched_getaffinity(0)), len(files)) - 1
    options = session.config.option
    if others < 1 or session.testsfailed or options.collectonly or options.usepdb:
        return None
    session.config._tmp_path_factory.getbasetemp()
    with ExitStack() as kept:
        _run_abreast(session, files, [kept.enter_context(tempfile.TemporaryFile(buffering=0)) for _ in range(others)])
    if session.shouldfail:
        raise session.Failed(session.shouldfail)
    return True


def _run_abreast(session, files, pages):
    """Run files of tests here, and in a process for each page; here, tell at last what the pages say."""
    taken, written = _taken(files, _queue(len(files))), {}
    for page in pages:
        if not (pid := os.fork()):
            _run_unseen(session, taken, page)
        written[pid] = page
    _run(session, taken)
    for pid, page in written.items():
        _tell(session, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), page)


def _queue(length):
    """Make a pipe that holds the numbers below `length`; who reads one has it alone."""
    queue, end = os.pipe()
    os.set_blocking(end, False)
    assert os.write(end, b"".join(number.to_bytes(NUMBER) for number in range(length))) == NUMBER * length
    os.close(end)
    return queue


def _taken(files, queue):
    """Give one file after the other; who stops early leaves nothing for the others either."""
    try:
        while number := os.read(queue, NUMBER):
            yield files[int.from_bytes(number)]
    finally:
        os.read(queue, NUMBER * len(files))
        os.close(queue)


def _run(session, files):
    """Run one file after the other; the last test of one knows the first of the next, for what both share."""
    file = next(files, None)
    while file:
        then = None
        for item, following in zip_longest(file, file[1:]):
            if not following:
                then = next(files, None)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following or (then and then[0]))
            if session.shouldfail or session.shouldstop:
                files.close()
                return
        file = then


def _run_unseen(session, files, page):
    """Run files of tests in a process that prints nothing, and write down what the first process must tell."""
    config = session.config
    config._tmp_path_factory._basetemp = config._tmp_path_factory.mktemp("beside")
    config.pluginmanager.unregister(name="terminalreporter")
    config.pluginmanager.register(_Scribe(config, page))
    _run(session, files)
    pickle.dump(END, page)
    os._exit(0)  # wait for no thread that a test left behind


class _Scribe:
    def __init__(self, config, page):
        self.config, self.page = config, page

    def pytest_runtest_logstart(self, nodeid):
        pickle.dump(nodeid, self.page)

    def pytest_runtest_logreport(self, report):
        if report.when == "call" or not report.passed or self.config.option.durations is not None:
            pickle.dump(self.config.hook.pytest_report_to_serializable(config=self.config, report=report), self.page)


def _tell(session, code, page):
    """Report what another process wrote down; if it did not come to its end, say in which test it was."""
    hook, config = session.config.hook, session.config
    last = None
    for written in _read(page):
        if isinstance(written, str):
            last = written
            continue
        hook.pytest_runtest_logreport(report=hook.pytest_report_from_serializable(config=config, data=written))
    if last != END or code:
        session.shouldfail = f"a process ended with {code} after {last} had begun"


def _read(page):
    page.seek(0)
    written = io.BytesIO(page.read())
    while written.tell() < len(written.getbuffer()):
        yield pickle.load(written)
