"""`soma_core.load`: an encoder in this process, what it takes, what it refuses, what it gives."""

import gc
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fake_distributions import forget, install

import soma_core
from soma_core.errors import ConfigError, EncoderError, PluginError, SettingsError, UsageError

ENCODER = """
    from attrs import frozen
    from soma_core.api import EncoderInfo, EncoderSpec, Evaluation, hookimpl, option

    @frozen
    class Config:
        dim: int = option(4, "length", min=1, max=64)
        says: str = option("", "what goes wrong")
        token: str = option("", "secret", secret=True)

    @hookimpl
    def soma_encoder() -> EncoderSpec[Config]:
        return EncoderSpec(api=1, config=Config, open=Counting, features=FEATURES)

    FEATURES = {"loss"}
    DIRECTORIES = []
    CLOSED = []

    class Counting:
        def __init__(self, config, context):
            import numpy
            from soma_core.errors import SettingsError
            if config.says == "open":
                raise OSError("weights.safetensors not found")
            if config.says == "settings":
                raise SettingsError("no weights", "make some")
            assert context.sign is None
            self.np, self.says, self.batches = numpy, config.says, []
            self.info = EncoderInfo(dim=config.dim, max_batch=3)
            self.directory = context.directory
            DIRECTORIES.append(context.directory)

        def encode(self, batch):
            self.batches.append(len(batch))
            if b"bad" in batch:
                raise ValueError(f"item {batch.index(b'bad')}: bad")
            out = self.np.zeros((len(batch), self.info.dim), self.np.float32)
            for row, data in zip(out, batch):
                row[len(data) % self.info.dim] = 1 + len(data)
                row[0] += 1
            if self.says == "nan":
                out[-1, 0] = self.np.nan
            if self.says == "zero":
                out[-1] = 0
            return {"double": out.astype(float), "short": out[:-1]}.get(self.says, out)

        def evaluate(self, batch, seed):
            losses = self.np.array([float(len(data)) for data in batch])
            return Evaluation(self.encode(batch), -losses if self.says == "loss" else losses)

        def close(self):
            CLOSED.append(self)
"""


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    install(tmp_path, "counting", {"encoder-counting": "soma_counting"}, {"soma_counting": ENCODER})
    yield tmp_path
    forget(tmp_path)


@pytest.mark.usefixtures("world")
def test_text_bytes_and_paths_become_unit_vectors(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"abc")
    with soma_core.load("encoder-counting") as encoder:
        vectors = encoder.encode(["é", b"\x00\x00", tmp_path / "a.png"])
        assert vectors.dtype == np.float32
        assert vectors.shape == (3, 4)
        assert np.array_equal(vectors[0], vectors[1]), "two bytes each"
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
        assert encoder.info.dim == encoder.dim == 4
        assert encoder.encode([]).shape == (0, 4)


@pytest.mark.usefixtures("world")
def test_batches_are_never_larger_than_the_encoder_says() -> None:
    import soma_counting  # type: ignore[import-not-found]

    with soma_core.load("encoder-counting", dim=64) as encoder:
        vectors = encoder.encode([b"x" * size for size in range(1, 9)])
        assert vectors.argmax(axis=1).tolist() == list(range(1, 9))
    assert soma_counting.CLOSED[0].batches == [3, 3, 2]


@pytest.mark.usefixtures("world")
def test_losses_come_with_vectors() -> None:
    with soma_core.load("encoder-counting") as encoder:
        evaluation = encoder.evaluate(["a", "bb", "ccc", "dddd"])
        assert evaluation.bits_per_byte.tolist() == [1, 2, 3, 4]
        assert np.array_equal(evaluation.vectors, encoder.encode(["a", "bb", "ccc", "dddd"]))
        assert encoder.evaluate([]).bits_per_byte.shape == (0,)


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("item", ["two cats", b"two cats", bytearray(b"x"), Path("a.png")])
def test_a_bare_item_is_refused(item: object) -> None:
    with (
        soma_core.load("encoder-counting") as encoder,
        pytest.raises(UsageError, match=r"where a list of items belongs; write \[.*\], in brackets$"),
    ):
        encoder.encode(item)  # type: ignore[arg-type]  # the mistake itself


@pytest.mark.usefixtures("world")
def test_items_that_are_none(tmp_path: Path) -> None:
    with soma_core.load("encoder-counting") as encoder:
        with pytest.raises(UsageError, match=r"^item 1 is a int; give text, bytes or a pathlib\.Path$"):
            encoder.encode(["a", 3])  # type: ignore[list-item]  # the mistake itself
        with pytest.raises(
            EncoderError, match=r"^item 1: .*gone cannot be read: No such file or directory; name a file"
        ):
            encoder.encode(["a", tmp_path / "gone"])
        with pytest.raises(ValueError, match=r"^item 1: bad$"):
            encoder.encode(["a", "bad"])
        with pytest.raises(ValueError, match=r"^counting from item 3: item 1: bad$"):
            encoder.encode(["a", "a", "a", "a", "bad"])


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize(
    ("says", "match"),
    [
        ("nan", r"gave no direction for item 1: zero, or not finite"),
        ("zero", r"gave no direction for item 1: zero, or not finite"),
        ("double", r"gave float64 \[2, 4\] where float32 \[2, 4\] belongs"),
        ("short", r"gave float32 \[1, 4\] where float32 \[2, 4\] belongs"),
        ("loss", r"gave losses that are not 2 finite numbers, none negative"),
    ],
)
def test_answers_that_are_no_vectors(says: str, match: str) -> None:
    with (
        soma_core.load("encoder-counting", says=says) as encoder,
        pytest.raises(EncoderError, match=r"^encoder-counting \(counting 0\.3\) " + match),
    ):
        encoder.evaluate(["a", "b"])


@pytest.mark.usefixtures("world")
def test_repr_says_what_it_is_and_keeps_secrets() -> None:
    encoder = soma_core.load("encoder-counting", dim=8, token="hunter2")
    assert repr(encoder) == "<encoder-counting (counting 0.3), dim=8: D=8, opaque>"
    encoder.close()
    encoder.close()
    assert repr(encoder) == "<encoder-counting (counting 0.3), dim=8: closed>"
    with pytest.raises(UsageError, match=r"^encoder-counting is closed; load it again$"):
        encoder.encode(["a"])


@pytest.mark.usefixtures("world")
def test_its_directory_goes_with_it() -> None:
    encoder = soma_core.load("encoder-counting")
    import soma_counting

    (directory,) = soma_counting.DIRECTORIES
    assert directory.stat().st_mode & 0o777 == 0o700
    encoder.close()
    assert not directory.exists()
    second = soma_core.load("encoder-counting")
    directory = soma_counting.DIRECTORIES[-1]
    del second
    gc.collect()
    assert not directory.exists()


@pytest.mark.usefixtures("world")
def test_settings_are_checked_as_a_node_checks_them() -> None:
    with pytest.raises(ConfigError) as caught:
        soma_core.load("encoder-counting", dimm=3, dim=0)
    assert caught.value.problems == (
        "load(): encoder.counting.dimm: no such setting; did you mean dim?",
        "load(): encoder.counting.dim: 0 is outside 1..64",
    )


@pytest.mark.usefixtures("world")
def test_what_open_raises() -> None:
    with pytest.raises(
        PluginError, match=r"open raised OSError: weights\.safetensors not found \(soma_counting\.py:\d+"
    ):
        soma_core.load("encoder-counting", says="open")
    with pytest.raises(SettingsError, match=r"^no weights; make some$"):
        soma_core.load("encoder-counting", says="settings")


def test_names_that_are_no_encoder(world: Path) -> None:
    with pytest.raises(PluginError, match=r"did you mean encoder-counting\?$"):
        soma_core.load("encoder-countin")
    install(world, "led", {"ledger-led": "led"}, {"led": ""})
    with pytest.raises(UsageError, match=r"^ledger-led \(led 0\.3\): only encoders are loaded so; name one"):
        soma_core.load("ledger-led")
    needy = ENCODER.replace("features=FEATURES", "needs={'identity'}")
    install(world, "needy", {"encoder-needy": "needy"}, {"needy": needy})
    with pytest.raises(UsageError, match=r"needs a node's identity; soma run --plugin encoder-needy$"):
        soma_core.load("encoder-needy")
    plain = ENCODER.replace('FEATURES = {"loss"}', "FEATURES = set()")
    install(world, "plain", {"encoder-plain": "plain"}, {"plain": plain})
    with (
        soma_core.load("encoder-plain") as encoder,
        pytest.raises(UsageError, match=r"does not offer losses; use encode"),
    ):
        encoder.evaluate(["a"])


def test_no_node_event_loop_or_keys_are_imported(world: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(world)!r})\n"
        "import soma_core\n"
        "soma_core.load('encoder-counting').encode(['a'])\n"
        "sys.exit(', '.join({'trio', 'coincurve', 'soma_core.node', 'soma_core.chain'} & sys.modules.keys()) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
