"""The config of an evaluation, by the names that the live network uses; what it does not name is as there. Rule M36."""

import math
from typing import Any, Final

from attrs import fields

from soma_core.errors import DecodeError

from ._collapse import KNOTS_MOST, SLICES_MOST, Regulariser
from ._config import ModelConfig
from ._json import read_json

V1: Final = {
    "dim": 2048,
    "ffn": 8192,
    "layers": 24,
    "heads": 8,
    "seq": 1024,
    "rope_base": 10_000,
    "rope_scale": 1,
    "sig_points": 17,
    "sig_slices": 256,
    "sig_t_max": 3.0,
    "sig_coefficient": 0.02,
}
"""The live network's model, and what it adds to its loss."""

_REMEDY: Final = "see rule M36 in specs/20-model.md"


def read_eval_config(text: str | bytes) -> tuple[ModelConfig, Regulariser]:
    """A JSON object with names of `V1`. A whole number may be written as 1.0. Raises `DecodeError`."""
    try:
        given = read_json(text)
    except ValueError as error:
        raise DecodeError(f"eval config: not JSON: {error}", _REMEDY) from error
    if not isinstance(given, dict):
        raise DecodeError("eval config: not a JSON object", _REMEDY)
    if unknown := sorted(given.keys() - V1.keys()):
        raise DecodeError(f"eval config: {unknown[0]!r:.60} is none of {', '.join(V1)}", _REMEDY)
    values = {name: _number(name, value) for name, value in (V1 | given).items()}
    shape = {field.name: _whole(field.name, values[field.name]) for field in fields(ModelConfig)}
    points, slices = _whole("sig_points", values["sig_points"]), _whole("sig_slices", values["sig_slices"])
    _check("sig_points", points, 2, KNOTS_MOST)
    _check("sig_slices", slices, 1, SLICES_MOST)
    _check("sig_t_max", values["sig_t_max"], 1e-6, 1e6)
    _check("sig_coefficient", values["sig_coefficient"], 0, 1e6)
    regulariser = Regulariser(
        points=points, slices=slices, t_max=values["sig_t_max"], coefficient=values["sig_coefficient"]
    )
    return ModelConfig(**shape), regulariser


def _number(name: str, value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise DecodeError(f"eval config: {name} is {value!r:.60}, not a number", _REMEDY)
    number: float = value
    return number


def _whole(name: str, value: float) -> int:
    if value != int(value):
        raise DecodeError(f"eval config: {name} is {value!r:.60}, not a whole number", _REMEDY)
    return int(value)


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise DecodeError(f"eval config: {name} is {value!r:.60}, not in {low}..{high}", _REMEDY)
