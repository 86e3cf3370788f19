"""Batches through a worker: what comes back, and what is refused of what an encoder answers or says of itself."""

import numpy as np
import pytest
import trio
from worker_world import cancel, encode_one, opened

from soma_core.errors import EncoderError, PluginError
from soma_core.node import _answers
from soma_core.node._frames import frame
from soma_core.node.encoding import _split
from soma_core.node.worker import BULK_MAX, ITEMS_MAX


async def test_batches_of_any_length_come_back_in_order(fake, tmp_path):
    async with opened(fake, tmp_path, dim=5, ratio=0.25) as worker:
        assert (worker.info.dim, worker.info.architecture, worker.info.frame) == (5, "fake", b"map")
        assert worker.info.weights == bytes(32)
        for count in (0, 1, 2, 3, 4, 7):
            items = [bytes([i + 1]) for i in range(count)]
            vectors = await worker.encode(items)
            assert vectors.dtype == np.float32
            assert vectors.shape == (count, 5)
            assert (vectors == np.arange(1, count + 1)[:, None]).all()
            evaluation = await worker.evaluate(items, bytes(32))
            assert (evaluation.vectors == vectors).all()
            assert evaluation.bits_per_byte.dtype == np.float64
            assert evaluation.bits_per_byte.tolist() == [2.5] * count
    assert (tmp_path / "plugins" / "encoder-fake" / "closed").exists()


async def test_other_layouts_of_the_same_numbers_are_the_same_vectors(fake, tmp_path):
    async with opened(fake, tmp_path) as worker:
        for item in (b"big_endian", b"fortran"):
            vectors = await worker.encode([b"a", item])
            assert vectors.tolist() == [[97] * 4, [item[0]] * 4]


async def test_many_callers_each_get_their_own(fake, tmp_path):
    async with opened(fake, tmp_path) as worker:
        found = {}

        async def ask(i):
            found[i] = await worker.encode([bytes([i]), b"\xff"])

        async with trio.open_nursery() as nursery:
            for i in range(1, 60):
                nursery.start_soon(ask, i)
        assert all(found[i].tolist() == [[i] * 4, [255] * 4] for i in range(1, 60))


async def test_a_cancelled_answer_is_dropped_and_the_next_caller_gets_the_right_vector(fake, tmp_path):
    directory = tmp_path / "plugins" / "encoder-fake"
    async with opened(fake, tmp_path) as worker:
        await cancel(worker, b"waits", b"counts")  # one is computed, one waits in the worker
        (directory / "go").touch()
        assert (await worker.encode([b"z"])).tolist() == [[ord("z")] * 4]


async def test_a_cancelled_batch_is_given_up_where_the_encoder_looks(fake, tmp_path):
    async with opened(fake, tmp_path) as worker:
        await cancel(worker, b"looks", b"counts")
        with trio.fail_after(20):  # of the 60 seconds that the batch would take
            assert (await worker.encode([b"z"])).tolist() == [[ord("z")] * 4]


# --- wrong answers ----------------------------------------------------------------------------------------------------


WRONG_VECTORS = [
    ([b"a", b"b", b"c", b"nan", b"d"], r"encoder-fake: vector 3 of 5 holds NaN; the answer is not used"),
    ([b"a", b"inf"], "vector 1 of 2 holds infinity"),
    ([b"zero"], "vector 0 of 1 is zero"),
    ([b"wide", b"a"], r"vectors have shape \[2, 8\] for 2 items of dim 4, not \[2, 4\]"),
    ([b"a", b"short"], r"vectors have shape \[1, 4\] for 2 items"),
    ([b"double"], "vectors are float64, not float32"),
    ([b"alist"], "it returned a list, not an array; return float32"),
    ([b"none"], "it returned a str, not an array"),
    ([b"objects"], "it returned 2 axes of object"),
    ([b"long_double"], "it returned 2 axes of (longdouble|float)"),
    ([b"deep"], "it returned 6 axes of float32"),
    ([b"huge"], r"it gave arrays of \[\(32768, 1024\)\]"),
    ([b"raises"], "encode raised ValueError: item 0 is bad; see the log above"),
    ([b"exits"], "encode raised SystemExit: 5"),
    ([b"unsayable"], "encode raised Odd"),
]


async def test_wrong_answers_are_named_and_the_worker_goes_on(fake, tmp_path):
    async with opened(fake, tmp_path) as worker:
        for items, text in WRONG_VECTORS:
            with pytest.raises(EncoderError, match=text):
                await worker.encode(items)
            assert (await encode_one(worker, b"a")).tolist() == [97] * 4


WRONG_LOSSES = [
    (b"bits=nan", "bits_per_byte 1 of 2 is nan, outside 0..16"),
    (b"bits=inf", "bits_per_byte 1 of 2 is inf"),
    (b"bits=-0.1", "bits_per_byte 1 of 2 is -0.1"),
    (b"bits=16.5", "bits_per_byte 1 of 2 is 16.5"),
    (b"bits32", r"bits_per_byte are float32 \[2\], not float64 \[2\]"),
    (b"nan", "vector 1 of 2 holds NaN"),
    (b"raises", "evaluate raised ValueError"),
]


async def test_wrong_losses_are_named(fake, tmp_path):
    async with opened(fake, tmp_path) as worker:
        for item, text in WRONG_LOSSES:
            with pytest.raises(EncoderError, match=text):
                await worker.evaluate([b"a", item], bytes(32))


async def test_items_above_the_limit_never_leave(fake, tmp_path):
    async with opened(fake, tmp_path) as worker:
        with pytest.raises(EncoderError, match=r"item 1 of 2 has .* bytes; an item has at most"):
            await worker.encode([b"a", bytes(BULK_MAX + 1)])


def test_batches_are_split_by_number_and_by_bytes():
    big = bytes(BULK_MAX // 2)
    assert [(first, len(items)) for first, items in _split([b"a"] * 7, 3)] == [(0, 3), (3, 3), (6, 1)]
    assert [(first, len(items)) for first, items in _split([big, big, b"a", big], 9)] == [(0, 2), (2, 2)]
    assert [len(items) for _, items in _split([b""] * 3000, 1 << 16)] == [ITEMS_MAX, ITEMS_MAX, 952]
    assert list(_split([], 3)) == []


@pytest.mark.parametrize(
    "change", [{"numeric": "f16"}, {"weights": b"x"}, {"max_batch": 0}, {"modalities": ["x"] * 99}]
)
def test_what_an_encoder_says_of_itself_is_checked(fake, change):
    fields = {
        "dim": 4,
        "weights": b"",
        "architecture": "opaque",
        "numeric": "f32",
        "modalities": ["bytes"],
        "max_batch": 64,
    }
    assert _answers.checked_info(fake, fields, b"").dim == 4
    with pytest.raises(PluginError, match=f"info: {next(iter(change))}"):
        _answers.checked_info(fake, fields | change, b"")
    with pytest.raises(PluginError, match="another type"):
        _answers.checked_info(fake, fields | {"dim": "4"}, b"")


@pytest.mark.parametrize(
    "header",
    [
        None,
        {},
        ["<f4"],
        [["<f4", [-1]]],
        [["<f4", [True]]],
        [["<f4", ["1"]]],
        [["object", [1]]],
        [["<f4", [1, 1, 1, 1, 1]]],
        [["<f4", [1 << 40]]],
        [["<f4", [1 << 24]], ["<f8", [1]]],
        [["<f4", [1]]] * 3,
    ],
)
def test_announced_arrays_are_bounded_before_anything_is_allocated(header):
    with pytest.raises(Exception, match=r"array|bytes"):
        _answers.bulk_size(header)


def test_the_longest_batch_has_a_frame():
    assert frame([1, "run", {"sizes": [BULK_MAX] * ITEMS_MAX, "seed": bytes(64), "job": bytes(32)}])
