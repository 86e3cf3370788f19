"""``soma encoder report``, whole: a small run of bundled encoders, and an encoder of others that is hard to please."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from fake_distributions import forget, install

from soma_core.cli import main

FEW = ("--items", "3", "--functions", "8", "--digits", "12", "--pairs", "8", "--bytes", "96")
NONE = ("--items", "0", "--functions", "0", "--digits", "0", "--pairs", "0")

PICKY = """
    import numpy as np
    from attrs import frozen
    from soma_core.api import EncoderInfo, EncoderSpec, hookimpl, option

    @frozen
    class Config:
        refuses: str = option("", "items that begin so")
        nothing: bool = option(False, "whether every item is refused")

    @hookimpl
    def soma_encoder():
        return EncoderSpec(api=1, config=Config, open=Picky)

    class Picky:
        def __init__(self, config, context):
            self.config, self.info = config, EncoderInfo(dim=3, max_batch=4)

        def encode(self, batch):
            for place, item in enumerate(batch):
                if self.config.nothing or (self.config.refuses and item.startswith(self.config.refuses.encode())):
                    raise ValueError(f"item {place}: not taken")
            return np.array([[len(item), item[0], sum(item) % 251 + 1] for item in batch], np.float32)
"""


@pytest.fixture
def picky(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Any:
    root = tmp_path_factory.mktemp("picky")
    filed = PICKY.replace("    nothing:", "    file: str = option('', 'the model')\n        nothing:")
    entries = {"encoder-picky": "soma_picky", "encoder-filed": "soma_filed"}
    install(root, "soma-picky", entries, {"soma_picky": PICKY, "soma_filed": filed})
    monkeypatch.syspath_prepend(str(root))
    yield "encoder-picky"
    forget(root)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    notes = tmp_path / "notes"
    notes.mkdir()
    for number in range(6):
        (notes / f"{number}.txt").write_bytes(b"%d green bottles on the wall; " % number * (number + 1))
    return notes


def test_two_bundled_encoders_are_told_in_figures_and_pictures(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from matplotlib.image import imread

    chosen = ("--plugin", "encoder-numpy", "--weights", "text", "--weights", "image")
    out = tmp_path / "pictures" / "of it"
    assert main(["encoder", "report", *chosen, *FEW, "--data", str(folder), "--out", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert list(told["encoders"]) == ["text", "image"]
    assert {each["plugin"] for each in told["encoders"].values()} == {"encoder-numpy"}
    assert told["counts"] == {
        **{f"kind {kind}": 3 for kind in ("text", "code", "image", "audio", "notes")},
        **dict.fromkeys(("docstrings", "bodies", "ones", "others"), 8),
        "digits": 12,
    }
    bits = {row["kind"]: row for row in told["bits_per_byte"]}
    assert bits["text"]["encoders"]["text"] < 3 < 6 < bits["text"]["encoders"]["image"]
    assert bits["notes"]["encoders"]["text"] < bits["notes"]["xz"]["each"]
    assert all(0 < row["xz"]["joined"] < row["xz"]["each"] for row in bits.values())
    for found in (*told["found"].values(), told["beside"]["byte runs"]):
        assert 0 <= found["functions"]["first"] <= found["functions"]["ten"] <= 1
        assert 0 <= found["digits"] <= 1
        assert 0 <= found["paraphrases"] <= 1
    (agreed,) = told["agreement"]
    assert (agreed["one"], agreed["other"], agreed["items"]) == ("text", "image", 15)
    assert 0 < agreed["overlap"] < 1
    assert agreed["cosine"] > 0.1
    assert agreed["times_chance"] > 2
    spread = {(row["encoder"], row["kind"]): row for row in told["spread"]}
    assert spread.keys() == {(name, kind) for name in ("text", "image") for kind in ("all", *bits)}
    assert spread["text", "all"]["framed"]["rank"] > spread["text", "all"]["raw"]["rank"] > 1
    assert sorted(file.name for file in out.iterdir()) == ["agreement.png", "bits.png", "finding.png", "spread.png"]
    for file in out.iterdir():
        picture = imread(file)
        assert min(picture.shape[:2]) > 250
        assert len({tuple(colour) for colour in picture[::3, ::3].reshape(-1, picture.shape[2]).round(2)}) > 4


def test_people_read_tables(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["encoder", "report", "--plugin", "encoder-numpy", *NONE, "--pairs", "9", "--data", str(folder)]) == 0
    said, talked = capsys.readouterr()
    assert talked.split() == ["gathering", "items", "text", "code", "image", "audio", "generalist"]
    lines = said.splitlines()
    assert lines[1].split()[-5:] == ["text", "code", "image", "audio", "generalist"]
    assert lines[2].split()[:2] == ["notes", "6"]
    assert "What vectors find (more is better): 9 paraphrases (AUC)" in lines
    assert any(line.split() == ["encoder", "paraphrases"] for line in lines)
    assert sum(line.startswith("text") and " own " in line for line in lines) == 2  # of all, and of the folder
    agreed = lines[lines.index("Agreement of two encoders about the same items") + 2 :][:10]
    assert {tuple(line.split()[:2]) for line in agreed} >= {("text", "code"), ("audio", "generalist")}


def test_an_encoder_of_others_has_no_losses_and_leaves_out_what_it_refuses(
    picky: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    asked = ["encoder", "report", "--plugin", picky, *FEW, "--set", "refuses=P5", "--out", str(tmp_path)]
    assert main([*asked, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["encoders"]["picky"]["frame"] is False
    assert all(row["encoders"] == {"picky": None} for row in told["bits_per_byte"])
    found = told["found"]["picky"]
    assert found["digits"] is None  # they are all PGM
    assert found["functions"]["reciprocal"] > 0
    assert told["agreement"] == []
    assert all(len(row["raw"]["spectrum"]) <= 3 for row in told["spread"])
    assert sorted(file.name for file in tmp_path.iterdir()) == ["bits.png", "finding.png", "spread.png"]
    assert main(asked) == 0
    assert "–" in capsys.readouterr().out


def test_encoders_of_others_are_compared_with_ours(picky: str, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["encoder", "report", "--plugin", picky, *NONE, "--items", "2", "--bytes", "64", "--beside", "code"]
    assert main([*asked, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert list(told["encoders"]) == ["picky", "code"]
    assert told["encoders"]["code"]["plugin"] in ("encoder-jax", "encoder-numpy")
    (agreed,) = told["agreement"]
    assert (agreed["items"], agreed["cosine"], agreed["times_chance"]) == (8, None, None)  # no frame in common
    assert 0 <= agreed["overlap"] <= 1


def test_models_of_others_are_named_by_their_files(picky: str, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["encoder", "report", "--plugin", "encoder-filed", *NONE, "--items", "2", "--bytes", "64", "--json"]
    for options, titles in (
        (("--weights", "a/model.onnx", "--weights", "b/model.onnx"), ["a/model.onnx", "b/model.onnx"]),
        (("--weights", "a/one.onnx", "--weights", "b/two.onnx"), ["one", "two"]),
        (("--set", "file=a/model.onnx"), ["filed"]),
        ((), ["filed"]),
    ):
        assert main([*asked, *options]) == 0
        told = json.loads(capsys.readouterr().out)
        assert list(told["encoders"]) == titles
        for agreed in told["agreement"]:
            assert agreed["overlap"] == 1
            assert agreed["cosine"] == pytest.approx(1)


def test_an_encoder_that_takes_nothing_is_said(picky: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["encoder", "report", "--plugin", picky, *FEW, "--set", "nothing=true"]) == 1
    assert "takes none of the items" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (("--plugin", "encoder-none"), 3, "encoder-none"),
        (("--plugin", "ledger-memory"), 2, "only encoders are reported on"),
        (("--plugin", "encoder-numpy", "--weights", "txet"), 4, "did you mean text?"),
        (("--plugin", "encoder-numpy", "--set", "dtype"), 2, "write KEY=VALUE"),
        (("--plugin", "encoder-picky", "--weights", "text"), 2, "takes no weights"),
        (("--plugin", "encoder-numpy", "--weights", "text", "--weights", "text"), 2, "text: named twice"),
        (("--bytes", "1"), 2, "--bytes"),
        (("--items", "100000"), 2, "--items"),
    ],
)
def test_what_cannot_be_is_refused(
    picky: str, options: tuple[str, ...], status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["encoder", "report", *NONE, "--pairs", "2", *options]) == status
    assert said in capsys.readouterr().err


def test_nothing_to_try_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["encoder", "report", *NONE]) == 2
    assert "nothing is left" in capsys.readouterr().err
    assert main(["encoder", "report", *NONE, "--data", str(tmp_path)]) == 2
    assert "0 files that are not empty" in capsys.readouterr().err


def test_pictures_that_cannot_be_are_refused_before_anything_is_read(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.touch()
    assert main(["encoder", "report", "--out", str(file)]) == 2
    assert "name a folder that can be written" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["encoder", "report", "--out", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert 'drawing needs matplotlib; python3 -m pip install "soma-core[report]"' in told
    assert "gathering" not in told


def test_without_scikit_learn_digits_are_left_out_unless_they_were_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    monkeypatch.setattr("soma_core.cli._encoder_alone.find_spec", lambda _name: None)
    few = ["encoder", "report", "--plugin", "encoder-numpy", "--weights", "text"]
    few += ["--items", "2", "--functions", "0", "--pairs", "0", "--bytes", "64"]
    assert main([*few, "--json"]) == 0
    said = capsys.readouterr()
    assert "digits are left out: scikit-learn is not installed" in said.err
    assert json.loads(said.out)["found"]["text"]["digits"] is None
    assert main([*few, "--digits", "2"]) == 2
    assert "the digits need scikit-learn" in capsys.readouterr().err
