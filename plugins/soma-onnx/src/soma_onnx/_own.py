"""The encoder behind ``encoder-onnx-model``."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray

from soma_core.errors import SettingsError
from soma_core.model import foreign_info, pool, taking

from ._file import read_model
from ._session import session
from .model import Config

TYPES: Final = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}


class OwnModel:
    """A foreign model: opaque, as nobody else has it. Its digest is that of the file and of what settings matter."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._take = taking(config)
        model = read_model(config.file)
        self._output = config.output or model.graph.output[0].name
        _ask_for(model, self._output)
        data = model.SerializeToString()
        self._session = session(data, config.device, config.threads)
        self._inputs = {one.name: _type_of(one) for one in self._session.get_inputs()}
        self.info = foreign_info(config, config.file, config.max_batch, self.encode, str(config.file))

    def encode(self, batch: Sequence[bytes]) -> NDArray[np.float32]:
        """Raw vectors, float32 [B, dim]. Raises `ValueError` naming the position of an item that is not taken."""
        given, counts = self._take(batch)
        (out,) = self._session.run([self._output], _named(self._inputs, given, counts))
        return pool(self._config.pool, np.asarray(out), counts)


def _ask_for(model: Any, name: str) -> None:
    """Make any tensor of the model an output."""
    if name in {output.name for output in model.graph.output}:
        return
    made = {one for node in model.graph.node for one in node.output}
    if name not in made:
        known = ", ".join(output.name for output in model.graph.output)
        raise SettingsError(f"output {name!r:.80}: the model makes no such tensor", f"its outputs are {known:.200}")
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))


def _type_of(one: Any) -> Any:
    if one.type not in TYPES:
        raise SettingsError(f"input {one.name} is a {one.type}", "give a model whose inputs are numbers")
    return TYPES[one.type]


def _named(inputs: Mapping[str, Any], given: NDArray[Any], counts: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """What goes into each of the `inputs`, names with types; a mask, kinds and places of tokens where asked for."""
    out = {}
    for name, kind in inputs.items():
        if name == "attention_mask":
            out[name] = counts.astype(kind)
        elif name == "token_type_ids":
            out[name] = np.zeros(counts.shape, kind)
        elif name == "position_ids":
            out[name] = np.broadcast_to(np.arange(counts.shape[1]), counts.shape).astype(kind)
        else:
            out[name] = given.astype(kind)
    return out
