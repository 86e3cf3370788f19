import contextlib
import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from model.models import ruled_tensors
from vectors import load

from soma_core.errors import DecodeError, SettingsError
from soma_core.model import (
    ModelConfig,
    fit_frame,
    load_weights,
    read_header,
    read_tensors,
    weights_digest,
    write_tensors,
)
from soma_core.model import _safetensors as safetensors

FILES = load("safetensors.json")
NUMBERS = st.floats(-(2.0**100), 2.0**100, width=32)
CONFIG = ModelConfig(dim=8, ffn=12, layers=1, heads=2, seq=8, rope_base=10000, rope_scale=1)


def test_constants_are_those_of_the_spec():
    assert FILES["constants"] == {name: getattr(safetensors, name) for name in FILES["constants"]}


@pytest.mark.parametrize("case", FILES["valid"], ids=lambda c: c["why"])
def test_valid_files_are_read(case, tmp_path):
    data = bytes.fromhex(case["file"])
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    for source in (data, path):
        found = read_tensors(source)
        assert {name: {"shape": list(t.shape), "values": t.ravel().tolist()} for name, t in found.items()} == case[
            "tensors"
        ]
        assert not any(t.flags.writeable for t in found.values())
    assert (write_tensors(read_tensors(data)) == data) is case["canonical"]


@pytest.mark.parametrize("case", FILES["invalid"], ids=lambda c: c["why"])
def test_invalid_files_are_refused(case, tmp_path):
    data = bytes.fromhex(case["file"])
    with pytest.raises(DecodeError, match="weights file"):
        read_tensors(data)
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    with pytest.raises(DecodeError, match="weights file"):
        read_tensors(path)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data):
    with contextlib.suppress(DecodeError):
        read_tensors(data)


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8"), max_size=10).filter(lambda name: name != "__metadata__"),
        hnp.arrays(np.float32, hnp.array_shapes(max_dims=4, max_side=4), elements=NUMBERS),
        min_size=1,
        max_size=4,
    )
)
def test_what_is_written_is_read_again(tensors):
    file = write_tensors(tensors)
    found = read_tensors(file)
    assert found.keys() == tensors.keys()
    assert all(np.array_equal(found[name], tensors[name]) for name in tensors)
    assert write_tensors(found) == file


def test_a_huge_header_is_refused_without_reading_it():
    with pytest.raises(DecodeError, match="a header of 9223372036854775808 bytes"):
        read_header(struct.pack("<Q", 1 << 63), 1 << 30)
    with pytest.raises(DecodeError, match="more than the 8589934592 allowed"):
        read_header(b"", 1 << 40)


@pytest.mark.parametrize(
    "tensor", [np.ones(2), np.array([np.nan], np.float32), np.float32(1)], ids=["f64", "nan", "0d"]
)
def test_only_finite_float32_is_written(tensor):
    with pytest.raises(DecodeError, match="weights file"):
        write_tensors({"a": np.asarray(tensor)})


def stored(folder, name="mine"):
    tensors = ruled_tensors(CONFIG)
    path = folder / f"{name}.safetensors"
    path.write_bytes(write_tensors(tensors))
    path.with_suffix(".json").write_text(CONFIG.to_json())
    return path


def test_weights_are_loaded_from_a_path(tmp_path):
    path = stored(tmp_path)
    weights = load_weights(path)
    assert (weights.name, weights.config, weights.frame) == ("mine", CONFIG, b"")
    assert weights.modalities == {"bytes"}
    assert weights.digest == weights_digest(CONFIG, path)
    assert load_weights(str(path)).digest == weights.digest


def test_a_frame_must_belong_to_its_weights(tmp_path):
    path = stored(tmp_path)
    rng = np.random.default_rng(1)
    outputs, reference = rng.normal(size=(40, 8)), rng.normal(size=(40, 8))
    frame = fit_frame(weights_digest(CONFIG, path), outputs, reference).encoded()
    path.with_suffix(".frame").write_bytes(frame)
    assert load_weights(path).frame == frame
    path.with_suffix(".frame").write_bytes(fit_frame(bytes(32), outputs, reference).encoded())
    with pytest.raises(DecodeError, match="it was made for weights 000000000000"):
        load_weights(path)
    wrong = fit_frame(weights_digest(CONFIG, path), outputs[:, :5], reference).encoded()
    path.with_suffix(".frame").write_bytes(wrong)
    with pytest.raises(DecodeError, match="vectors of another length"):
        load_weights(path)


def test_a_digest_binds_config_and_file():
    file = write_tensors(ruled_tensors(CONFIG))
    other = ModelConfig(dim=8, ffn=12, layers=1, heads=2, seq=8, rope_base=100, rope_scale=1)
    assert weights_digest(CONFIG, file) != weights_digest(other, file)
    assert weights_digest(CONFIG, file) != weights_digest(CONFIG, file[:-1] + b"\x01")


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(SettingsError, match="no such file; give the path"):
        load_weights(tmp_path / "none.safetensors")
    path = stored(tmp_path)
    path.with_suffix(".json").unlink()
    with pytest.raises(SettingsError, match=r"mine\.json: No such file.*; put it beside mine\.safetensors"):
        load_weights(path)


def test_a_config_that_does_not_fit_is_refused(tmp_path):
    path = stored(tmp_path)
    config = json.loads(CONFIG.to_json()) | {"ffn": 16}
    path.with_suffix(".json").write_text(json.dumps(config))
    with pytest.raises(DecodeError, match=r"linear_inner.bias has shape \[12\], not \[16\]"):
        load_weights(path)


def test_without_the_data_package_names_say_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "soma_encoders", None)
    with pytest.raises(SettingsError, match="not installed; python3 -m pip install soma-encoders"):
        load_weights("text")
