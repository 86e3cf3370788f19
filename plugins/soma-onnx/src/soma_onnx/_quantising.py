"""A model whose products of matrices are computed in 8-bit whole numbers, scaled anew for every batch."""

import logging
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic

KEPT: Final = (".attention.value.weight", ".attention.output.weight")
"""What stays float32: where a short item loses most of its direction."""


def quantised(model: bytes, directory: Path) -> bytes:
    """`model` with int8 weights, a scale for each of their columns. `directory`: for files on the way."""
    with TemporaryDirectory(dir=directory) as folder:
        whole, small = Path(folder, "f32.onnx"), Path(folder, "int8.onnx")
        whole.write_bytes(model)
        nodes = onnx.load_model_from_string(model).graph.node
        kept = [node.name for node in nodes if node.op_type == "MatMul" and node.input[1].endswith(KEPT)]
        logging.disable(logging.WARNING)  # it advises steps that change nothing here
        try:
            quantize_dynamic(
                whole,
                small,
                op_types_to_quantize=["MatMul"],
                per_channel=True,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=kept,
            )
        finally:
            logging.disable(logging.NOTSET)
        return small.read_bytes()
