"""What does the real Tink make of a file? A program for the Python that has it: one line of JSON in, one out.

    {"do": "encrypt" | "decrypt", "key": hex, "aad": hex, "from": PATH, "to": PATH}  →  {"ok": true} | {"ok": false}

Run by tests and benchmarks with `tests.stock.tink_python()`; it imports nothing of ours.
"""

import json
import sys
import time
from pathlib import Path

import tink  # type: ignore[import-not-found,unused-ignore]
from tink import cleartext_keyset_handle, streaming_aead  # type: ignore[import-not-found,unused-ignore]
from tink.proto import (  # type: ignore[import-not-found,unused-ignore]
    aes_gcm_hkdf_streaming_pb2,
    common_pb2,
    tink_pb2,
)

KIND = "type.googleapis.com/google.crypto.tink.AesGcmHkdfStreamingKey"


def primitive(key):
    """Make the primitive AES256_GCM_HKDF_1MB of one raw key."""
    found = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingKey(version=0, key_value=key)
    found.params.ciphertext_segment_size = 1 << 20
    found.params.derived_key_size = 32
    found.params.hkdf_hash_type = common_pb2.HashType.SHA256
    keyset = tink_pb2.Keyset(primary_key_id=1)
    one = keyset.key.add(status=tink_pb2.ENABLED, key_id=1, output_prefix_type=tink_pb2.RAW)
    one.key_data.CopyFrom(
        tink_pb2.KeyData(type_url=KIND, value=found.SerializeToString(), key_material_type=tink_pb2.KeyData.SYMMETRIC)
    )
    reader = tink.BinaryKeysetReader(keyset.SerializeToString())
    return cleartext_keyset_handle.read(reader).primitive(streaming_aead.StreamingAead)


def carry_out(order):
    """Encrypt or decrypt one file; say whether Tink was content, and how long its processors worked."""
    made = primitive(bytes.fromhex(order["key"]))
    aad = bytes.fromhex(order["aad"])
    before = time.process_time(), time.perf_counter()
    try:
        if order["do"] == "encrypt":
            with (
                Path(order["from"]).open("rb") as source,
                made.new_encrypting_stream(Path(order["to"]).open("wb"), aad) as target,
            ):
                while piece := source.read(1 << 20):
                    target.write(piece)
        else:
            with (
                made.new_decrypting_stream(Path(order["from"]).open("rb"), aad) as source,
                Path(order["to"]).open("wb") as target,
            ):
                while piece := source.read(1 << 20):
                    target.write(piece)
    except tink.TinkError as e:
        return {"ok": False, "said": str(e)}
    return {"ok": True, "cpu": time.process_time() - before[0], "wall": time.perf_counter() - before[1]}


if __name__ == "__main__":
    streaming_aead.register()
    for line in sys.stdin:
        print(json.dumps(carry_out(json.loads(line))), flush=True)
