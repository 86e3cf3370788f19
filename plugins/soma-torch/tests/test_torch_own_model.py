"""An operator's own Torch model, served by settings alone."""

import logging
import sys
from types import ModuleType

import numpy as np
import pytest
import torch

from soma_core.api import EncoderContext
from soma_core.errors import DecodeError, SettingsError
from soma_core.model import write_tensors
from soma_torch.model import Config, open_encoder


class Bag(torch.nn.Module):
    """[B, T] whole numbers → the rows of a table, [B, T, width]."""

    def __init__(self, width=3):
        super().__init__()
        self.table = torch.nn.Embedding(300, width)

    def forward(self, ids, keep=None):
        rows = self.table(ids)
        return rows if keep is None else rows * keep[..., None]


class Pair(Bag):
    def forward(self, ids):
        return ids, ids


@pytest.fixture
def opened(tmp_path, monkeypatch):
    module = ModuleType("somebodys_model")
    module.Bag, module.Pair, module.text = Bag, Pair, str
    monkeypatch.setitem(sys.modules, "somebodys_model", module)
    table = np.random.default_rng(1).standard_normal((300, 3)).astype(np.float32)
    file = tmp_path / "own.safetensors"
    file.write_bytes(write_tensors({"table.weight": table}))

    def open_(**config):
        settings = {"module": "somebodys_model:Bag", "file": file, "length": 8, "pool": "mean", "threads": 1, **config}
        return open_encoder(
            Config(**settings), EncoderContext("encoder-torch-model", tmp_path, logging.getLogger("test"))
        )

    return open_, table


def test_bytes_become_what_the_model_gives(opened):
    open_, table = opened
    encoder = open_(tail=3, pad=299)
    info = encoder.info
    assert (info.dim, info.architecture, info.numeric, len(info.weights)) == (3, "opaque", "other", 32)
    wanted = [table[[*b"01234789"]].mean(0), table[[*b"abab"]].mean(0)]
    assert np.allclose(encoder.encode([b"0123456789", b"ab"]), wanted, atol=1e-6)
    assert np.allclose(open_(mask="keep", pool="first").encode([b"ab"]), [table[b"a"[0]]])
    with pytest.raises(ValueError, match="item 1: empty"):
        encoder.encode([b"a", b""])


def test_the_digest_is_of_the_weights_and_of_what_changes_a_vector(opened):
    open_, _ = opened
    one = open_().info.weights
    assert open_(max_batch=3).info.weights == one
    assert open_(pad=1).info.weights != one


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"module": "somebodys_model"}, "makes no torch.nn.Module"),
        ({"module": "somebodys_model:text"}, "makes no torch.nn.Module"),
        ({"module": "somebodys_model:Nothing"}, "AttributeError"),
        ({"module": "nobodys_model:Bag"}, "ModuleNotFoundError"),
        ({"arguments": "{"}, "JSONDecodeError"),
        ({"arguments": '{"width": 4}'}, "size mismatch"),
        ({"module": "somebodys_model:Pair"}, "gives a tuple, not a tensor"),
        ({"pool": "none"}, "name another output, or set pool"),
        ({"length": 64, "pad": 1000}, "cannot be run so"),
        ({"device": "warp"}, "no such device"),
    ],
)
def test_settings_that_do_not_fit_are_said_in_a_line(opened, config, says):
    open_, _ = opened
    with pytest.raises(SettingsError, match=says) as caught:
        open_(**config)
    assert "\n" not in str(caught.value)


def test_a_pickle_is_refused_unread(opened, tmp_path):
    open_, _ = opened
    file = tmp_path / "model.pt"
    torch.save({"table.weight": torch.zeros(300, 3)}, file)
    with pytest.raises(DecodeError):
        open_(file=file)
