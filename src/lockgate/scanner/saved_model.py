"""Would a TensorFlow SavedModel do more than compute? By the names of the operations in its graphs."""

import re
from collections.abc import Iterator

from lockgate.scanner.scanned import Flaw

_OPERATIONS = re.compile(
    rb"(?:Eager)?PyFunc(?:Stateless)?|ReadFile|WriteFile|MatchingFiles|FixedLengthRecordReader|WholeFileReader"
    rb"|(?:Save|Restore)(?:V2|Slices)?Slice|LoadLibrary|PrintV2|TextFileDataset|TFRecordDataset|GeneratorDataset"
    rb"|InitializeTableFromTextFile(?:V2)?|CreateSummaryFileWriter|WriteRawProtoSummary|SaveDataset|CSVDataset|SqlDataset"
    rb"|TextLineReader|DataServiceDataset|ImmutableConst|MergeV2Checkpoints|[A-Za-z]*(?:Dataset|Reader|Writer|Summary)(?:V\d)?\b"
    rb"|XlaLaunch|RpcCall|DebugIdentity|CompressElement|DatasetFromGraph|LookupTableFromTextFile"
)


def saved_model_flaws(view: memoryview) -> Iterator[Flaw]:
    """Yield that it is one, and which of its operations reach outside."""
    yield Flaw("saved-model", "is a TensorFlow SavedModel, a program", "saved-model")
    for name in sorted({bytes(found.group()) for found in _OPERATIONS.finditer(view)}):
        yield Flaw("saved-model-operation", f"has the operation {name.decode()}")
