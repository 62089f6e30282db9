"""How are Envoy's messages written without its Python packages? By the descriptions in `descriptors.binpb`.

`tools/envoy-descriptors` makes that file. The descriptions live in a pool of their own, so nobody else's messages of
the same names are in the way. A field that does not exist is refused when a message is written.
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from google.protobuf import descriptor_pb2, json_format, message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message

from lockgate.formats.canonical import Json

PREFIX = "type.googleapis.com/"


@cache
def message_class(name: str) -> type[Message]:
    """Find the class of a message, such as `envoy.config.cluster.v3.Cluster`."""
    found: type[Message] = message_factory.GetMessageClass(_pool().FindMessageTypeByName(name))
    return found


def write(name: str, fields: Mapping[str, Json]) -> Message:
    """Write a message; `fields` are those of its JSON form."""
    found: Message = json_format.ParseDict(fields, message_class(name)(), descriptor_pool=_pool())
    return found


def to_bytes(message: Message) -> bytes:
    """Encode a message, the same each time."""
    encoded: bytes = message.SerializeToString(deterministic=True)
    return encoded


@cache
def _pool() -> DescriptorPool:
    pool = DescriptorPool()
    known = descriptor_pb2.FileDescriptorSet.FromString(files(__package__).joinpath("descriptors.binpb").read_bytes())
    for file in known.file:
        pool.Add(file)
    return pool
