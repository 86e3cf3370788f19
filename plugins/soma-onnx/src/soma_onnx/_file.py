"""An ONNX file that somebody else wrote: what may be in it, found out before anything of its size is made of it."""

from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any, Final, NoReturn

import onnx
from google.protobuf.message import DecodeError as ProtobufError

from soma_core.errors import DecodeError

TYPES: Final = onnx.TensorProto
FILE_MOST: Final = (1 << 31) - 1
"""Bytes: what the format can hold in one file."""
NODES_MOST: Final = 100_000
NESTED_MOST: Final = 8
"""Graphs inside of graphs."""
NUMBERS_MOST: Final = 1 << 29
"""Of one tensor: 2 GiB of float32."""
WIDTHS: Final = {
    **dict.fromkeys((TYPES.UINT8, TYPES.INT8, TYPES.BOOL), 1),
    **dict.fromkeys((TYPES.UINT16, TYPES.INT16, TYPES.FLOAT16, TYPES.BFLOAT16), 2),
    **dict.fromkeys((TYPES.FLOAT, TYPES.INT32, TYPES.UINT32), 4),
    **dict.fromkeys((TYPES.DOUBLE, TYPES.INT64, TYPES.UINT64), 8),
    TYPES.STRING: 1,
}
"""Bytes of a number, by the type of its tensor."""
DOMAINS: Final = frozenset({"", "ai.onnx", "ai.onnx.ml"})
"""Of operators that every runtime has. Others are code that somebody would have to bring."""


def read_model(path: Path) -> Any:
    """The model in the file. Raises `DecodeError` for anything but a self-contained model of standard operators."""
    try:
        if path.stat().st_size > FILE_MOST:
            _refuse(path, f"{path.stat().st_size} bytes are more than the {FILE_MOST} of one file")
        model = onnx.load_model_from_string(path.read_bytes())
    except OSError as error:
        raise DecodeError(f"{path}: cannot be read: {error.strerror}", "give the path of an .onnx file") from error
    except ProtobufError as error:
        raise DecodeError(f"{path}: no ONNX file: {error}", "give the path of an .onnx file") from error
    if not model.graph.node or not model.graph.output:
        _refuse(path, "it has no nodes or no outputs")
    if model.functions:
        _refuse(path, "it brings functions of its own")
    for imported in model.opset_import:
        if imported.domain not in DOMAINS:
            _refuse(path, f"it needs operators of {imported.domain!r:.60}")
    graphs = list(_graphs(path, model.graph, NESTED_MOST))
    if sum(len(graph.node) for graph in graphs) > NODES_MOST:
        _refuse(path, f"more than {NODES_MOST} nodes")
    for graph in graphs:
        _check_graph(path, graph)
    return model


def _check_graph(path: Path, graph: Any) -> None:
    if graph.sparse_initializer:
        _refuse(path, "it has sparse tensors")
    for tensor in graph.initializer:
        _check_tensor(path, tensor)
    for node in graph.node:
        if node.domain not in DOMAINS:
            _refuse(path, f"node {node.name!r:.60} is a {node.op_type!r:.40} of {node.domain!r:.60}")
        for attribute in node.attribute:
            for tensor in (*([attribute.t] if attribute.HasField("t") else ()), *attribute.tensors):
                _check_tensor(path, tensor)


def _graphs(path: Path, graph: Any, levels: int) -> Iterator[Any]:
    if not levels:
        _refuse(path, f"graphs nested more than {NESTED_MOST} deep")
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs):
                yield from _graphs(path, inner, levels - 1)


def _check_tensor(path: Path, tensor: Any) -> None:
    """Its data are here, and as many as its shape says."""
    if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
        _refuse(path, f"tensor {tensor.name!r:.60} lies in another file")
    if any(size < 0 for size in tensor.dims):
        _refuse(path, f"tensor {tensor.name!r:.60} has a negative size")
    numbers = prod(tensor.dims)
    if numbers > NUMBERS_MOST:
        _refuse(path, f"tensor {tensor.name!r:.60} has {numbers} numbers, more than {NUMBERS_MOST}")
    if tensor.data_type not in WIDTHS:
        _refuse(path, f"tensor {tensor.name!r:.60} is of type {tensor.data_type}, which is not computed with here")
    typed = tensor.float_data, tensor.int32_data, tensor.int64_data, tensor.double_data, tensor.uint64_data
    held = sum(map(len, (*typed, tensor.string_data)))
    if tensor.HasField("raw_data"):
        held, rest = divmod(len(tensor.raw_data), WIDTHS[tensor.data_type])
        held += bool(rest)
    if held != numbers:
        _refuse(path, f"tensor {tensor.name!r:.60} has {numbers} numbers by its shape, and {held} are here")


def _refuse(path: Path, what: str) -> NoReturn:
    raise DecodeError(f"{path}: {what}", "export it with standard operators and all its weights inside")
