"""How are Envoy's messages written without its Python packages? By the descriptions in `descriptors.binpb`.

`tools/envoy-descriptors` makes that file. The descriptions live in a pool of their own, so nobody else's messages of
the same names are in the way. A field that does not exist is refused when a message is written. What is heard is read
with all texts as bytes: callers write some of them, and need not write UTF-8.
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


@cache
def heard_class(name: str) -> type[Message]:
    """Find the class of a message that is heard; its texts are bytes."""
    found: type[Message] = message_factory.GetMessageClass(_pool(as_bytes=True).FindMessageTypeByName(name))
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
def _pool(*, as_bytes: bool = False) -> DescriptorPool:
    pool = DescriptorPool()
    known = descriptor_pb2.FileDescriptorSet.FromString(files(__package__).joinpath("descriptors.binpb").read_bytes())
    for file in known.file:
        for message in file.message_type if as_bytes else ():
            _read_as_bytes(message)
        pool.Add(file)
    return pool


def _read_as_bytes(message: descriptor_pb2.DescriptorProto) -> None:
    """Take every text for bytes, which look the same on the wire, but the keys of maps."""
    for nested in message.nested_type:
        _read_as_bytes(nested)
    for field in message.field:
        is_key = message.options.map_entry and field.name == "key"
        if field.type == field.TYPE_STRING and not is_key:
            field.type = field.TYPE_BYTES
