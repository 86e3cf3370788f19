"""The encoder behind ``encoder-torch``: chunks of all items of a batch, equal ones once, in groups of like length."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from soma_core.api import EncoderContext, Evaluation
from soma_core.model import cut, groups, load_weights, onnx_model, rows, token_budget, turns, write_tensors

from . import Config
from ._device import device_of
from ._forward import as_parameters, charged_nats, pooled, representations

DTYPES: Final = {"f32": torch.float32, "f64": torch.float64, "bf16": torch.bfloat16}


class TorchEncoder:
    """In float32, results are those of the NumPy referee within 2e-6 bits per byte and 1e-6 in a vector."""

    def __init__(self, config: Config, context: EncoderContext) -> None:
        self._go_on = context.go_on
        if config.threads:
            torch.set_num_threads(config.threads)
        self._device = device_of(config.device)
        self._dtype = DTYPES[config.dtype]
        self._tokens = token_budget(config.tokens, gpu=self._device.type == "cuda")
        weights = load_weights(config.weights)
        self._shape = weights.config
        self._parameters = as_parameters(weights.tensors, self._device, self._dtype)
        self._cos, self._sin = self._turns(np.arange(self._shape.seq))
        self.info = weights.info(config.dtype, config.max_batch)

    def encode(self, batch: Sequence[bytes]) -> NDArray[np.float32]:
        """Raw vectors, float32 [B, dim]. Raises `ValueError` naming the position of an empty or too large item."""
        return self.evaluate(batch, b"").vectors

    def evaluate(self, batch: Sequence[bytes], seed: bytes) -> Evaluation:
        """Raw vectors and bits per byte. The architecture draws nothing: `seed` changes nothing."""
        del seed
        work = cut(batch, self._shape.seq)
        sums, nats = np.zeros((len(work.pieces), self.info.dim)), np.zeros(len(work.pieces))
        for numbers, ids, targets in self._groups(work.pieces):
            with torch.inference_mode():
                reps, charged = self._read(ids, targets)
            sums[numbers] = pooled(reps, ids).double().cpu().numpy()
            nats[numbers] = charged.double().sum(1).cpu().numpy()
        return work.join(sums, nats)

    def gradient(self, batch: Sequence[bytes], seed: bytes) -> Mapping[str, NDArray[np.float32]]:
        """The gradient of the items' summed bits per byte (before `MAX_LOSS` is applied), by tensor name."""
        del seed
        work = cut(batch, self._shape.seq)
        shares = work.shares()
        total = {name: np.zeros(p.shape) for name, p in self._parameters.items()}
        names, parameters = zip(*self._parameters.items(), strict=True)
        for parameter in parameters:
            parameter.requires_grad_()
        try:
            for numbers, ids, targets in self._groups(work.pieces):
                weights = torch.from_numpy(shares[numbers]).to(self._device)
                _, charged = self._read(ids, targets)
                slopes = torch.autograd.grad((charged.double().sum(1) * weights).sum(), parameters)
                for name, slope in zip(names, slopes, strict=True):
                    total[name] += slope.double().cpu().numpy()
        finally:
            for parameter in parameters:
                parameter.requires_grad_(requires_grad=False)
        return {name: slope.astype(np.float32) for name, slope in total.items()}

    def forward(
        self, ids: NDArray[Any], positions: NDArray[Any], targets: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """The last layer [B, T, dim] and the nats of each target [B, T], of whole numbers [B, T]."""
        cos, sin = (table[:, None] for table in self._turns(positions))
        with torch.inference_mode():
            reps = representations(self._parameters, self._shape, self._tokens_of(ids), cos, sin)
            nats = charged_nats(self._parameters, reps, self._tokens_of(targets))
        wide = torch.float64 if self._dtype == torch.float64 else torch.float32
        return reps.to(wide).cpu().numpy(), nats.cpu().numpy()

    def export(self, form: Literal["safetensors", "onnx"]) -> bytes:
        """The model as one file: weights in the layout of rule M20, or a graph that gives ``pooled`` and ``nats``.

        Raises `SettingsError` for ``onnx`` without the package of that name.
        """
        tensors = {name: tensor.float().cpu().numpy() for name, tensor in self._parameters.items()}
        return write_tensors(tensors) if form == "safetensors" else onnx_model(self._shape, tensors, ("pooled", "nats"))

    def _read(self, ids: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        length = ids.shape[1]
        reps = representations(self._parameters, self._shape, ids, self._cos[:length], self._sin[:length])
        return reps, charged_nats(self._parameters, reps, targets)

    def _groups(self, pieces: Sequence[bytes]) -> Iterator[tuple[list[int], Tensor, Tensor]]:
        """Numbers, ids and targets of each group."""
        for numbers in groups(pieces, self._tokens):
            self._go_on()
            slab = rows([pieces[number] for number in numbers], len(pieces[numbers[0]]))
            yield numbers, self._tokens_of(slab.ids), self._tokens_of(slab.targets)

    def _tokens_of(self, ids: NDArray[Any]) -> Tensor:
        return torch.from_numpy(ids.astype(np.int64)).to(self._device)

    def _turns(self, positions: NDArray[Any]) -> tuple[Tensor, Tensor]:
        wide = "float64" if self._dtype == torch.float64 else "float32"
        cos, sin = (torch.from_numpy(table) for table in turns(self._shape, positions, wide))
        return cos.to(self._device, self._dtype), sin.to(self._device, self._dtype)
