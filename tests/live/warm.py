"""What is the same in every server of the tests? Made once, in the process that all of them come from."""

from importlib import import_module

from lockgate.server.doors import Gatehouse, hang

for _name in (
    "lockgate.drivers.postgres",
    "tests.live.serving",
    "tests.world",
    "uvicorn.lifespan.on",
    "uvicorn.protocols.http.auto",
    "uvicorn.loops.auto",
):
    import_module(_name)
hang(Gatehouse())
