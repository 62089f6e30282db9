"""What does Envoy tell of each answer to a caller that is told apart? A record, by the line that it has to us.

    answered ──▶ record ──▶ Users.take
                   │ the line broke, or Envoy could not write it
                   └──▶ Users.lose: whoever is watched then is judged by nobody

Envoy's access log service (envoy.service.accesslog.v3), one stream for each of its threads. What a record was written
before is known by Envoy's own counters: until all of them have come, nobody is judged by their silence.
"""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import grpc
from google.protobuf.message import DecodeError, Message

from lockgate.drivers.envoy.descriptors import heard_class, message_class
from lockgate.drivers.envoy.judged_users import Answer, Users
from lockgate.drivers.envoy.topology import CALLER, OURS, release_of
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint

_SERVICE = "envoy.service.accesslog.v3"
_FAILED = 500
_BY_THE_CALLER = {"downstream_connection_termination", "downstream_protocol_error", "downstream_remote_reset"}


@dataclass(frozen=True, slots=True)
class Written:
    """How many records Envoy has written so far, in which of its lives, and how many of them it has lost itself."""

    life: int
    records: int
    lost: int


class AccessLog:
    """Hears records, and says up to when all of them are known."""

    def __init__(self, users: Users, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._users, self._clock = users, clock
        self._lock = threading.Lock()
        self._received = 0
        self._before: Written | None = None
        self._before_ns = clock()
        self._missing = 0  # what will never come
        self._is_broken = False
        self._known_ns = 0

    def handler(self) -> grpc.GenericRpcHandler:
        """Give what hears a stream of records."""
        hear = grpc.stream_unary_rpc_method_handler(
            self._hear,
            request_deserializer=lambda body: body,
            response_serializer=lambda response: response.SerializeToString(),
        )
        return grpc.method_handlers_generic_handler(f"{_SERVICE}.AccessLogService", {"StreamAccessLogs": hear})

    def known_ns(self, written: Written) -> int:
        """Say up to which instant all records have come, given how many Envoy has written by now."""
        with self._lock:
            before, at_ns = self._before or Written(written.life, 0, 0), self._before_ns
            self._before, self._before_ns = written, self._clock()
            if (before.life, before.lost) != (written.life, written.lost):
                self._break()
            if self._is_broken:
                self._users.lose()  # of those who were watched since, too, something may have gone the same way
                self._missing, self._is_broken = written.records - self._received, False
            self._missing = min(self._missing, written.records - self._received)
            if self._received + self._missing >= before.records:
                self._known_ns = at_ns
            return self._known_ns

    def _hear(self, requests: Iterator[bytes], _context: grpc.ServicerContext) -> Message:
        try:
            for body in requests:
                self._take(body)
        except (grpc.RpcError, DecodeError):
            pass
        finally:
            with self._lock:
                self._break()
        return message_class(f"{_SERVICE}.StreamAccessLogsResponse")()

    def _take(self, body: bytes) -> None:
        answers = _read(body)
        with self._lock:
            self._users.take((each for each in answers if each is not None), self._clock())
            self._received += len(answers)

    def _break(self) -> None:
        self._is_broken = True
        self._users.lose()


def _read(body: bytes) -> list[Answer | None]:
    """Read records; None for one that says nothing about a release."""
    message = heard_class(f"{_SERVICE}.StreamAccessLogsMessage").FromString(body)
    return [_answer(entry.common_properties, entry.response) for entry in message.http_logs.log_entry]


def _answer(about: Message, response: Message) -> Answer | None:
    place = _place(about.upstream_remote_address.envoy_internal_address.server_listener_name)
    caller = about.metadata.filter_metadata[OURS].fields[CALLER].string_value
    failed = _has_failed(about, response)
    if place is None or failed is None or not caller:
        return None
    return Answer(*place, caller, failed, about.start_time.ToNanoseconds())


@lru_cache(maxsize=1024)
def _place(listener: bytes) -> tuple[Endpoint, Digest] | None:
    return release_of(listener.decode(errors="replace"))


def _has_failed(about: Message, response: Message) -> bool | None:
    """Ask whether the release failed: by a status, or in the middle of its answer. Who left early has no answer."""
    flags = {field.name for field, _ in about.response_flags.ListFields()}
    status = response.response_code.value
    if status >= _FAILED or flags - _BY_THE_CALLER:
        return True
    return None if flags or not status else False
