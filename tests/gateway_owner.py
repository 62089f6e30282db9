"""A gateway in a process that may be stopped or killed: `HOME LISTEN TTL UPSTREAM`. It says the pid of its Envoy."""

import sys
from pathlib import Path

from lockgate.core.traffic import Address, Traffic
from lockgate.drivers.envoy import open_gateway
from tests.calling import ENDPOINT, STABLE, route


class At:
    def __init__(self, text):
        self.address = Address.parse(text)


if __name__ == "__main__":
    home, listen, ttl, upstream = sys.argv[1:]
    gateway = open_gateway(Path(home), listen=Address.parse(listen), ttl=float(ttl), seconds=60)
    gateway.show([Traffic(ENDPOINT, (route(STABLE, At(upstream), 100),))], fence=1)
    print(gateway._envoy.pid(), flush=True)
    if sys.stdin.readline() == "forget\n":
        sys.exit("it ends without closing")
    gateway.close()
