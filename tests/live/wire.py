"""A wire between a host and its server that can be cut, stalled, left half open, or made to hold answers back."""

import socket
import threading
import time
from contextlib import suppress


class Wire:
    """A TCP proxy. `mode`: passes, cut, stalls (nothing goes on), half (questions go, answers do not), slow."""

    def __init__(self, port):
        self.mode, self.delay, self._far = "passes", 0.0, port
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port = self._door.getsockname()[1]
        self._ends = []
        threading.Thread(target=self._accept, daemon=True).start()

    def lead_to(self, port):
        self._far = port

    def cut(self):
        """Refuse what is new, and break what is under way."""
        self.mode = "cut"
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.cut()
        with suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()

    def _accept(self):
        while True:
            try:
                near, _ = self._door.accept()
            except OSError:
                return
            try:
                if self.mode == "cut":
                    raise OSError("the wire is cut")
                far = socket.create_connection(("127.0.0.1", self._far), timeout=5)
                far.settimeout(None)
            except OSError:
                near.close()
                continue
            self._ends += [near, far]
            for source, sink, answers in ((near, far, False), (far, near, True)):
                threading.Thread(target=self._carry, args=(source, sink, answers), daemon=True).start()

    def _carry(self, source, sink, answers):
        with suppress(OSError), source:
            while piece := source.recv(1 << 16):
                while self.mode == "stalls" or (self.mode == "half" and answers):
                    time.sleep(0.02)
                if answers and self.delay:
                    time.sleep(self.delay)
                sink.sendall(piece)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)
