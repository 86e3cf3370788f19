"""A byte transformer as an ONNX file: standard operators alone, any number of rows, any length. Rules M40 to M42.

Wants the package ``onnx``, which is asked for when this is called.
"""

from collections.abc import Mapping
from itertools import count
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from soma_core.errors import SettingsError

from ._config import ModelConfig
from ._contract import BYTES, PAD
from ._transformer import LAYER_NORM_EPSILON

OPSET: Final = 20
"""The first that has the exact GELU."""
Shapes = Mapping[str, list[Any]]

MASKED: Final = -3e38
"""A score that no position gets: its exponential is 0."""


def onnx_model(config: ModelConfig, tensors: Mapping[str, NDArray[np.float32]], outputs: tuple[str, ...]) -> bytes:
    """The model in float32, with `outputs` of ``representations``, ``pooled``, ``nats``.

    Inputs: ``ids`` and ``targets``, int64 [B, T]; ``cos`` and ``sin``, float32 [B or 1, 1, T, head_dim / 2].
    ``pooled``: the sum over byte positions, [B, dim]. Raises `SettingsError` without ``onnx``.
    """
    config.check({name: tensor.shape for name, tensor in tensors.items()})
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise SettingsError("the package onnx is not installed", "python3 -m pip install onnx") from error
    graph = _Graph(onnx, tensors)
    _build(graph, config, outputs)
    angles: list[Any] = ["R", 1, "T", config.head_dim // 2]
    shapes: Shapes = {"representations": ["B", "T", config.dim], "pooled": ["B", config.dim], "nats": ["B", "T"]}
    whole, real = dict.fromkeys(("ids", "targets"), shapes["nats"]), dict.fromkeys(("cos", "sin"), angles)
    return graph.file(whole, real, {name: shapes[name] for name in outputs})


class _Graph:
    """Nodes in the order in which they are made. A value is known by its name."""

    def __init__(self, onnx: Any, tensors: Mapping[str, NDArray[np.float32]]) -> None:
        self._onnx = onnx
        self._tensors = tensors
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}
        self._numbers = count()

    def __call__(self, operator: str, *inputs: str, to: str = "", parts: int = 1, **attributes: Any) -> Any:
        """A node. Returns the name of what it makes, or the names of so many `parts`."""
        names = [to or f"{operator}.{next(self._numbers)}" for _ in range(parts)]
        self._nodes.append(self._onnx.helper.make_node(operator, inputs, names, name=names[0], **attributes))
        return names[0] if parts == 1 else names

    def tensor(self, name: str) -> str:
        """A tensor of the model."""
        return self.constant(self._tensors[name], name)

    def constant(self, value: Any, name: str = "") -> str:
        """A constant; float32 or int64."""
        array = np.asarray(value)
        array = array.astype(np.float32 if array.dtype.kind == "f" else np.int64)
        name = name or f"constant.{array.dtype}.{array.shape}.{array.tobytes().hex()[:64]}"
        if name not in self._constants:
            self._constants[name] = self._onnx.numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def file(self, whole: Shapes, real: Shapes, outputs: Shapes) -> bytes:
        """The whole model, with shapes by name of what goes in, whole numbers and real ones, and of what comes out."""
        helper, types = self._onnx.helper, self._onnx.TensorProto
        inputs = [helper.make_tensor_value_info(name, types.INT64, shape) for name, shape in whole.items()]
        inputs += [helper.make_tensor_value_info(name, types.FLOAT, shape) for name, shape in real.items()]
        made = [helper.make_tensor_value_info(name, types.FLOAT, shape) for name, shape in outputs.items()]
        graph = helper.make_graph(self._nodes, "byte-transformer-1", inputs, made, list(self._constants.values()))
        opset = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opset, producer_name="soma", ir_version=10)
        data: bytes = model.SerializeToString(deterministic=True)
        return data


def _build(g: _Graph, config: ModelConfig, outputs: tuple[str, ...]) -> None:
    visible = _visible(g)
    x = g("Gather", g.tensor("embedding.weight"), "ids")
    for i in range(config.layers):
        layer = f"encoder.layers.{i}"
        x = g("Add", x, _attention(g, config, f"{layer}.attention", _normalised(g, f"{layer}.norm_1", x), visible))
        inner = _linear(g, f"{layer}.pwff.linear_inner", _normalised(g, f"{layer}.norm_2", x))
        x = g("Add", x, _linear(g, f"{layer}.pwff.linear_outer", g("Gelu", inner)))
    reps = _normalised(g, "final_norm", x, to="representations")
    if "nats" in outputs:
        _nats(g, reps)
    if "pooled" in outputs:
        counts = g("Unsqueeze", g("Less", "ids", g.constant(BYTES)), g.constant([2]))
        g("ReduceSum", g("Where", counts, reps, g.constant(0.0)), g.constant([1]), to="pooled", keepdims=0)


def _visible(g: _Graph) -> str:
    """Bool [T, T]: which position sees which."""
    length = g("Gather", g("Shape", "ids"), g.constant(1))
    places = g("Range", g.constant(0), length, g.constant(1))
    return str(g("LessOrEqual", g("Unsqueeze", places, g.constant([0])), g("Unsqueeze", places, g.constant([1]))))


def _attention(g: _Graph, config: ModelConfig, name: str, h: str, visible: str) -> str:
    def heads(part: str) -> str:
        shape = g.constant([0, 0, config.heads, config.head_dim])
        return str(g("Transpose", g("Reshape", _linear(g, f"{name}.{part}", h), shape), perm=[0, 2, 1, 3]))

    query = g("Mul", _turned(g, heads("query")), g.constant(1 / np.sqrt(config.head_dim)))
    key = g("Transpose", _turned(g, heads("key")), perm=[0, 1, 3, 2])
    scores = g("Where", visible, g("MatMul", query, key), g.constant(MASKED))
    mixed = g("MatMul", g("Softmax", scores, axis=-1), heads("value"))
    joined = g("Reshape", g("Transpose", mixed, perm=[0, 2, 1, 3]), g.constant([0, 0, config.dim]))
    return _linear(g, f"{name}.output", joined)


def _turned(g: _Graph, x: str) -> str:
    first, second = g("Split", x, parts=2, axis=-1, num_outputs=2)
    return str(
        g(
            "Concat",
            g("Sub", g("Mul", first, "cos"), g("Mul", second, "sin")),
            g("Add", g("Mul", second, "cos"), g("Mul", first, "sin")),
            axis=-1,
        )
    )


def _nats(g: _Graph, reps: str) -> None:
    logits = _linear(g, "predictor", reps)
    chosen = g("GatherElements", logits, g("Unsqueeze", "targets", g.constant([2])), axis=-1)
    # Subtracted first: the difference of two large numbers would be rounded twice.
    beyond = g("Sub", logits, chosen)
    most = g("ReduceMax", beyond, g.constant([2]), keepdims=1)
    summed = g("ReduceSum", g("Exp", g("Sub", beyond, most)), g.constant([2]), keepdims=1)
    nats = g("Squeeze", g("Add", g("Log", summed), most), g.constant([2]))
    g("Where", g("Equal", "targets", g.constant(PAD)), g.constant(0.0), nats, to="nats")


def _linear(g: _Graph, name: str, x: str) -> str:
    return str(g("Add", g("MatMul", x, g.tensor(f"{name}.weight")), g.tensor(f"{name}.bias")))


def _normalised(g: _Graph, name: str, x: str, to: str = "") -> str:
    gamma, beta = g.tensor(f"{name}.gamma"), g.tensor(f"{name}.beta")
    return str(g("LayerNormalization", x, gamma, beta, to=to, axis=-1, epsilon=LAYER_NORM_EPSILON))
