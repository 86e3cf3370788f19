"""A model whose products of matrices are computed in 8-bit whole numbers, scaled anew for every batch."""

import logging
from pathlib import Path
from tempfile import TemporaryDirectory

from onnxruntime.quantization import QuantType, quantize_dynamic


def quantised(model: bytes, directory: Path) -> bytes:
    """`model` with int8 weights, a scale for each of their columns. `directory`: for files on the way."""
    with TemporaryDirectory(dir=directory) as folder:
        whole, small = Path(folder, "f32.onnx"), Path(folder, "int8.onnx")
        whole.write_bytes(model)
        logging.disable(logging.WARNING)  # it advises steps that change nothing here
        try:
            quantize_dynamic(
                whole, small, op_types_to_quantize=["MatMul"], per_channel=True, weight_type=QuantType.QInt8
            )
        finally:
            logging.disable(logging.NOTSET)
        return small.read_bytes()
