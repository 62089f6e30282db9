"""A model server for tests of the gateway, in a process of its own: `with Upstream("A") as upstream: upstream.address`

/fail     500
/flaky    500 each third time, if its name is `bad`
/slow     an answer after 50 ms
/tokens   a stream without end: each line says when it was written (CLOCK_MONOTONIC, seconds)
/words    the same, a line each second
else      its name and the path
"""

import asyncio
import subprocess
import sys
import time

PULSES = {"/tokens": 0.01, "/words": 1.0}


class Upstream:
    def __init__(self, name, port=0):
        self.name, self.port = name, port

    def __enter__(self):
        command = [sys.executable, "-I", __file__, self.name, str(self.port)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        from lockgate.core.traffic import Address

        self.address = Address("127.0.0.1", int(self.process.stdout.readline()))
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()


class Answering(asyncio.Protocol):
    flaky = 0

    def __init__(self):
        self.said = b""

    def connection_made(self, transport):
        self.transport, self.tokens = transport, None

    def connection_lost(self, _why):
        if self.tokens:
            self.tokens.cancel()

    def data_received(self, piece):
        self.said += piece
        while True:
            head, found, rest = self.said.partition(b"\r\n\r\n")
            lengths = [line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            length = int(lengths[0]) if lengths else 0
            if not found or len(rest) < length:
                return
            self.said = rest[length:]
            self.answer(head.split()[1].decode())

    def answer(self, path):
        if path in PULSES:
            self.transport.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            self.tokens = asyncio.get_running_loop().create_task(self.stream(PULSES[path]))
        elif path == "/slow":
            asyncio.get_running_loop().call_later(0.05, self.say, path)
        else:
            self.say(path)

    def say(self, path):
        body = f"{sys.argv[1]} {path}"
        Answering.flaky += path == "/flaky" and sys.argv[1] == "bad"
        broken = path == "/fail" or (path == "/flaky" and Answering.flaky % 3 == 1)
        status = "500 Broken" if broken else "200 OK"
        said = f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\nx-release: a lie\r\n\r\n{body}"
        self.transport.write(said.encode())

    async def stream(self, pulse):
        while True:
            line = f"{time.monotonic():.6f}\n".encode()
            self.transport.write(b"%x\r\n%b\r\n" % (len(line), line))
            await asyncio.sleep(pulse)


async def main():
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", int(sys.argv[2]))
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)  # until whoever started it is gone
    sys.exit()


if __name__ == "__main__":
    asyncio.run(main())
