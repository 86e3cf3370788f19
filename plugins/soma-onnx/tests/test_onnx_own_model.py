"""An operator's own ONNX model: what is served by settings alone, and what is refused before it is run."""

import io
import logging
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from onnx import TensorProto, helper, numpy_helper

from soma_core.api import EncoderContext
from soma_core.errors import DecodeError, SettingsError
from soma_onnx.model import Config, open_encoder


def model(*nodes, inputs, outputs, constants=(), opset=20, domain="", **more):
    graph = helper.make_graph(
        list(nodes),
        "own",
        [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid(domain, opset)], ir_version=10, **more)


def of_bytes(inner="hidden"):
    """Ids [B, 8] → a table's rows [B, 8, 3] → their mean [B, 3]."""
    return model(
        helper.make_node("Gather", ["table", "ids"], [inner]),
        helper.make_node("ReduceMean", [inner, "axes"], ["vector"], keepdims=0),
        inputs=[("ids", TensorProto.INT32, ["B", 8])],
        outputs=["vector"],
        constants=[
            ("table", np.random.default_rng(1).standard_normal((300, 3)).astype(np.float32)),
            ("axes", np.array([1], np.int64)),
        ],
    )


@pytest.fixture
def opened(tmp_path):
    def open_(proto, **config):
        file = tmp_path / "own.onnx"
        file.write_bytes(proto if isinstance(proto, bytes) else proto.SerializeToString())
        context = EncoderContext("encoder-onnx-model", tmp_path, logging.getLogger("test"))
        return open_encoder(Config(file=file, threads=1, **config), context)

    return open_


def test_bytes_go_in_from_both_ends(opened):
    encoder = opened(of_bytes(), length=8, tail=3, pad=299)
    info = encoder.info
    assert (info.dim, info.architecture, info.numeric, len(info.weights), info.frame) == (3, "opaque", "other", 32, b"")
    table = numpy_helper.to_array(of_bytes().graph.initializer[0])
    wanted = [table[[*b"01234", *b"789"]].mean(0), table[[*b"ab", 299, 299, 299, 299, *b"ab"]].mean(0)]
    assert np.allclose(encoder.encode([b"0123456789", b"ab"]), wanted, atol=1e-6)
    with pytest.raises(ValueError, match="item 1: empty"):
        encoder.encode([b"a", b""])


def test_any_tensor_can_be_the_vector_and_is_pooled_over_what_counts(opened):
    table = numpy_helper.to_array(of_bytes().graph.initializer[0])
    mean = opened(of_bytes(), length=8, output="hidden", pool="mean").encode([b"ab"])
    assert np.allclose(mean, [table[[*b"ab"]].mean(0)], atol=1e-6)
    first = opened(of_bytes(), length=8, output="hidden", pool="first").encode([b"ab"])
    assert np.allclose(first, [table[b"a"[0]]])


def test_the_digest_is_of_the_file_and_of_what_changes_a_vector(opened):
    one = opened(of_bytes(), length=8).info.weights
    assert opened(of_bytes(), length=8, max_batch=3).info.weights == one
    assert opened(of_bytes(), length=8, pad=1).info.weights != one
    assert opened(of_bytes("other"), length=8).info.weights != one


def test_pictures(opened):
    from PIL import Image

    proto = model(
        helper.make_node("ReduceMean", ["pixels", "axes"], ["vector"], keepdims=0),
        inputs=[("pixels", TensorProto.FLOAT, ["B", 3, 4, 5])],
        outputs=["vector"],
        constants=[("axes", np.array([2, 3], np.int64))],
    )
    encoder = opened(proto, takes="image", width=5, height=4, mean=(0.0, 0.5, 0.0), deviation=(1.0, 1.0, 0.5))
    out = io.BytesIO()
    Image.new("RGB", (9, 9), (255, 0, 51)).save(out, "PNG")
    assert np.allclose(encoder.encode([out.getvalue()]), [[1.0, -0.5, 0.4]], atol=1e-6)
    with pytest.raises(ValueError, match="item 0: no picture"):
        encoder.encode([b"two cats"])
    pixels = opened(
        model(
            helper.make_node("ReduceMean", ["pixels", "axes"], ["vector"], keepdims=0),
            inputs=[("pixels", TensorProto.FLOAT, ["B", 4, 5, 3])],
            outputs=["vector"],
            constants=[("axes", np.array([1, 2], np.int64))],
        ),
        takes="image",
        width=5,
        height=4,
        layout="pixels",
        mean=(0.0,) * 3,
        deviation=(1.0,) * 3,
    )
    assert np.allclose(pixels.encode([out.getvalue()]), [[1.0, 0.0, 0.2]], atol=1e-6)


def test_text_through_its_tokenizer(opened, tmp_path):
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"two": 0, "cats": 1, "?": 2}, unk_token="?"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    words.save(str(tmp_path / "tokenizer.json"))
    proto = model(
        helper.make_node("Gather", ["table", "input_ids"], ["hidden"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["wide"]),
        helper.make_node("Mul", ["hidden", "wide"], ["vectors"]),
        inputs=[(name, TensorProto.INT64, ["B", "T"]) for name in ("input_ids", "attention_mask")],
        outputs=["vectors"],
        constants=[("table", np.eye(3, dtype=np.float32)), ("last", np.array([2], np.int64))],
    )
    encoder = opened(proto, takes="text", tokenizer=str(tmp_path / "tokenizer.json"), length=4, pool="mean")
    assert np.allclose(encoder.encode([b"two cats", b"two"]), [[0.5, 0.5, 0], [1, 0, 0]])
    with pytest.raises(ValueError, match="item 0: the tokenizer finds nothing"):
        encoder.encode([b"  "])
    with pytest.raises(SettingsError, match="without a tokenizer"):
        opened(proto, takes="text")


def external(proto):
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"
    return proto


def huge(proto):
    proto.graph.initializer[0].dims[:] = [1 << 20, 1 << 20]
    return proto


def empty(proto):
    proto.graph.initializer[0].dims[:] = [300, 30]
    return proto


def custom(proto):
    proto.graph.node[0].domain = "com.example"
    return proto


def imported(proto):
    proto.opset_import.append(helper.make_opsetid("com.example", 1))
    return proto


def function(proto):
    node = helper.make_node("Identity", ["a"], ["b"])
    proto.functions.append(helper.make_function("", "Own", ["a"], ["b"], [node], [helper.make_opsetid("", 20)]))
    return proto


def attribute(proto):
    tensor = helper.make_tensor("t", TensorProto.FLOAT, [2], [1.0, 2.0])
    tensor.dims[:] = [1 << 40]
    proto.graph.node.append(helper.make_node("Constant", [], ["c"], value=tensor))
    return proto


def nested(proto):
    graph = helper.make_graph([helper.make_node("Identity", ["a"], ["b"])], "g", [], [])
    for _ in range(9):
        graph = helper.make_graph([helper.make_node("If", ["a"], ["b"], then_branch=graph)], "g", [], [])
    proto.graph.node.append(helper.make_node("If", ["a"], ["x"], then_branch=graph))
    return proto


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (external, "lies in another file"),
        (huge, "numbers, more than"),
        (empty, "9000 numbers by its shape, and 900 are here"),
        (custom, "of 'com.example'"),
        (imported, "needs operators of 'com.example'"),
        (function, "functions of its own"),
        (attribute, "numbers, more than"),
        (nested, "nested more than"),
    ],
)
def test_a_file_that_could_do_harm_is_refused_in_a_line(opened, change, says):
    with pytest.raises(DecodeError, match=says) as caught:
        opened(change(of_bytes()), length=8)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"two cats", b"\x80\x02cnt\nsystem\n", of_bytes().SerializeToString()[:-40]])
def test_what_is_no_model_is_refused_in_a_line(opened, data):
    with pytest.raises(DecodeError) as caught:
        opened(data, length=8)
    assert "\n" not in str(caught.value)


def test_settings_that_do_not_fit_the_model_are_said_in_a_line(opened, tmp_path):
    for config, says in (
        ({"length": 7}, "cannot be run so"),
        ({"length": 8, "output": "nothing"}, "makes no such tensor"),
        ({"length": 8, "tail": 8}, "not in 0..7"),
        ({"length": 8, "output": "hidden"}, "name another output, or set pool"),
    ):
        with pytest.raises(SettingsError, match=says) as caught:
            opened(of_bytes(), **config)
        assert "\n" not in str(caught.value)
    missing = Config(file=Path(tmp_path / "missing.onnx"))
    with pytest.raises(DecodeError, match="cannot be read"):
        open_encoder(missing, EncoderContext("x", tmp_path, logging.getLogger("test")))


def test_the_map_beside_it_is_its_frame(opened, tmp_path):
    (tmp_path / "own.frame").write_bytes(b"a map")
    assert opened(of_bytes(), length=8).info.frame == b"a map"
