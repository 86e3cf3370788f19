"""From a bundled name or a path to everything that makes an encoder: weights, config, frame map, digests."""

from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Generic, TypeVar, cast

from attrs import frozen
from numpy.typing import NDArray

from soma_core.api import EncoderInfo
from soma_core.api.encoder import NumericClass
from soma_core.crypto import digest
from soma_core.errors import DecodeError, SettingsError

from ._architectures import read_config
from ._config import ModelConfig
from ._frame import read_frame
from ._safetensors import MAX_FILE, read_tensors
from ._shape import Shape

BUNDLE: Final = "soma_encoders"
"""The module of the data package; ``soma-encoders`` is its distribution."""

C_co = TypeVar("C_co", bound=Shape, covariant=True)


@frozen(eq=False)
class Weights(Generic[C_co]):
    """A model ready to run. `digest` binds config and file. `frame`: the stored map's bytes, or empty without one.

    `modalities`: what a bundled encoder was trained on, else ``bytes``.
    """

    name: str
    config: C_co
    tensors: dict[str, NDArray[Any]]
    digest: bytes
    frame: bytes
    modalities: frozenset[str]

    def info(self, numeric: NumericClass, max_batch: int) -> EncoderInfo:
        """What an encoder is that runs them."""
        return EncoderInfo(
            dim=self.config.dim,
            weights=self.digest,
            frame=self.frame,
            architecture=self.config.architecture,
            numeric=numeric,
            modalities=self.modalities,
            max_batch=max_batch,
        )


def bundled() -> tuple[str, ...]:
    """Names of the bundled encoders. Raises `SettingsError` if their package is not installed."""
    names: tuple[str, ...] = _bundle().names()
    return names


def locate(weights: str | Path) -> Path:
    """The weights file of a bundled name, or of a path: anything with a separator or the suffix ``.safetensors``.

    Raises `SettingsError` for a file that is not there and a name that is not bundled.
    """
    text = str(weights)
    if _is_path(weights):
        path = Path(weights).expanduser()
        if not path.is_file():
            raise SettingsError(f"weights {text}: no such file", "give the path of a .safetensors file")
        return path
    bundle = _bundle()
    names = bundle.names()
    if text not in names:
        close = get_close_matches(text, names, 1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(names)}"
        raise SettingsError(f"weights {text}: no encoder of this name is bundled", hint)
    found: Path = bundle.path(text)
    return found


def load_weights(weights: str | Path) -> Weights[ModelConfig]:
    """The byte transformer at a bundled name or a path.

    Raises what `load_model` raises, and `SettingsError` for weights of another architecture.
    """
    found = load_model(weights)
    if not isinstance(found.config, ModelConfig):
        raise SettingsError(
            f"weights {weights}: their architecture is {found.config.architecture}, not {ModelConfig.architecture}",
            "give those of a byte transformer, or name another plugin: encoder-numpy runs every architecture",
        )
    return cast("Weights[ModelConfig]", found)


def load_model(weights: str | Path) -> Weights[Shape]:
    """The model at a bundled name or a path, of any architecture.

    Beside ``x.safetensors`` stand ``x.json``, its config, and, if it has been aligned, ``x.frame``. Raises
    `SettingsError` where a file is missing, `DecodeError` where one is not valid.
    """
    path = locate(weights)
    config = read_config(_beside(path, ".json", 1 << 16))
    tensors = read_tensors(path, config.dtypes)
    config.check({name: tensor.shape for name, tensor in tensors.items()})
    bound = weights_digest(config, path)
    frame = _beside(path, ".frame", 1 << 26) if path.with_suffix(".frame").exists() else b""
    if frame and read_frame(frame, bound).raw_dim != config.dim:
        raise DecodeError(f"{path.stem}.frame: made for vectors of another length", "align the encoder again")
    known = frozenset({"bytes"}) if _is_path(weights) else _bundle().modalities(path.stem)
    return Weights(path.stem, config, tensors, bound, frame, known)


def weights_digest(config: Shape, source: bytes | Path) -> bytes:
    """32 bytes that name a model: the digest of the config's encoding (which ends by itself) and the weights file."""
    data = source if isinstance(source, bytes) else source.read_bytes()
    if len(data) > MAX_FILE:
        raise DecodeError(f"{len(data)} bytes of weights; at most {MAX_FILE}", "use a smaller model")
    return digest("soma/weights", config.encoded(), data)


def _is_path(weights: str | Path) -> bool:
    text = str(weights)
    return isinstance(weights, Path) or "/" in text or "\\" in text or text.endswith(".safetensors")


def _beside(path: Path, suffix: str, most: int) -> bytes:
    other = path.with_suffix(suffix)
    try:
        with other.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise SettingsError(f"{other}: {error.strerror}", f"put it beside {path.name}") from error
    if len(data) > most:
        raise DecodeError(f"{other}: more than {most} bytes", "this is not the file that belongs there")
    return data


def _bundle() -> Any:
    try:
        return import_module(BUNDLE)
    except ModuleNotFoundError as error:
        if error.name != BUNDLE:
            raise
        raise SettingsError(
            "the bundled encoders are not installed", "python3 -m pip install soma-encoders, or give a path"
        ) from error
