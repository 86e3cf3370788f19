"""The architectures: byte contract, weights files, NumPy referees, and the map into the network's frame.

NumPy is the referee and imports with this package; nothing of the core imports it before an encoder is opened.
"""

from ._architectures import ARCHITECTURES, Referee, evaluate, read_config, referee
from ._batching import Work, cut, groups, token_budget
from ._byte_model import CONTEXTS, ENTRY_STEP, byte_places
from ._collapse import COLLAPSED, Regulariser, directions, has_collapsed, sample_statistic, slice_statistic
from ._config import ARCHITECTURE, ModelConfig
from ._contract import BYTES, EOS, FIRST_BYTE_BITS, MAX_CHUNKS, MAX_ITEM, MAX_LOSS, PAD, VOCABULARY, Rows, chunks, rows
from ._erf import erf
from ._eval_config import V1, read_eval_config
from ._files import ModelFiles
from ._foreign import foreign_digest, foreign_info
from ._frame import Agreement, FrameMap, agreement, fit_frame, read_frame, store, unit, whiten
from ._items import Item, read_pack, write_pack
from ._noise import normal
from ._onnx import onnx_model
from ._policies import POLICIES, Forward, Policy, Score, Setting
from ._reading import Reading
from ._references import bundled_anchors, bundled_held_out, network_frame, sample_files
from ._safetensors import TensorPlace, read_header, read_tensors, write_tensors
from ._shape import Shape
from ._speciality import Speciality
from ._symbol_encoder import ReferenceSymbols, signs, token_places
from ._symbols import Symbols, symbols
from ._symbols_config import STRATEGIES, Strategy, SymbolsConfig
from ._taking import Taking, pool, taking
from ._transformer import LAYER_NORM_EPSILON, ReferenceTransformer, gelu, rotation, turns
from ._weights import Weights, bundled, load_model, load_weights, locate, weights_digest

__all__ = [
    "ARCHITECTURE",
    "ARCHITECTURES",
    "BYTES",
    "COLLAPSED",
    "CONTEXTS",
    "ENTRY_STEP",
    "EOS",
    "FIRST_BYTE_BITS",
    "LAYER_NORM_EPSILON",
    "MAX_CHUNKS",
    "MAX_ITEM",
    "MAX_LOSS",
    "PAD",
    "POLICIES",
    "STRATEGIES",
    "V1",
    "VOCABULARY",
    "Agreement",
    "Forward",
    "FrameMap",
    "Item",
    "ModelConfig",
    "ModelFiles",
    "Policy",
    "Reading",
    "Referee",
    "ReferenceSymbols",
    "ReferenceTransformer",
    "Regulariser",
    "Rows",
    "Score",
    "Setting",
    "Shape",
    "Speciality",
    "Strategy",
    "Symbols",
    "SymbolsConfig",
    "Taking",
    "TensorPlace",
    "Weights",
    "Work",
    "agreement",
    "bundled",
    "bundled_anchors",
    "bundled_held_out",
    "byte_places",
    "chunks",
    "cut",
    "directions",
    "erf",
    "evaluate",
    "fit_frame",
    "foreign_digest",
    "foreign_info",
    "gelu",
    "groups",
    "has_collapsed",
    "load_model",
    "load_weights",
    "locate",
    "network_frame",
    "normal",
    "onnx_model",
    "pool",
    "read_config",
    "read_eval_config",
    "read_frame",
    "read_header",
    "read_pack",
    "read_tensors",
    "referee",
    "rotation",
    "rows",
    "sample_files",
    "sample_statistic",
    "signs",
    "slice_statistic",
    "store",
    "symbols",
    "taking",
    "token_budget",
    "token_places",
    "turns",
    "unit",
    "weights_digest",
    "whiten",
    "write_pack",
    "write_tensors",
]
