"""``soma compress`` and ``soma decompress``: whole files or none, checked blocks, one clear line for anything else."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from soma_core.api import MAX_BLOCK
from soma_core.cli._container import MAGIC, pack, read_name, unpack
from soma_core.cli._progress import Progress
from soma_core.cli.compress import compress
from soma_core.cli.decompress import decompress
from soma_core.errors import DecodeError, PluginError, SettingsError, UsageError

TEXT = b"def packed(block):\n    return block\n" * 6


class Stored:
    """A coder that packs nothing, so that these tests see the container alone."""

    def compress(self, block: bytes) -> bytes:
        return b"+" + block

    def decompress(self, packed: bytes) -> bytes:
        if packed[:1] != b"+":
            raise ValueError("no plus sign")
        return packed[1:]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "source.py"
    path.write_bytes(TEXT)
    return path


def ran(command: object, *arguments: object, given: bytes = b"") -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments], input=given)  # type: ignore[arg-type]


def packed(data: bytes, size: int) -> bytes:
    out = io.BytesIO()
    pack(io.BytesIO(data).read, out, Stored(), "coder-stored", size, lambda *_: None)
    return out.getvalue()


def unpacked(data: bytes) -> bytes:
    source = io.BytesIO(data)
    assert read_name(source.read) == "coder-stored"
    return b"".join(block for block, _ in unpack(source.read, Stored()))


def test_a_file_comes_back_bit_for_bit(file: Path, tmp_path: Path) -> None:
    small, back = tmp_path / "small", tmp_path / "back"
    told = ran(compress, file, "-o", small)
    assert told.exit_code == 0
    assert f"{len(TEXT):,} bytes" in told.stderr
    assert told.stdout == ""
    assert small.stat().st_size < len(TEXT)
    assert ran(decompress, small, "-o", back).exit_code == 0
    assert back.read_bytes() == TEXT
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back", "small", "source.py"]


@pytest.mark.parametrize("method", ["adaptive", "rle", "pattern", "frequency"])
def test_it_goes_from_standard_input_to_standard_output(method: str) -> None:
    small = ran(compress, "--method", method, "-", given=TEXT)
    assert small.exit_code == 0
    assert ran(decompress, "-", given=small.stdout_bytes).stdout_bytes == TEXT


def test_nothing_is_packed_too(tmp_path: Path) -> None:
    small = ran(compress, "-")
    assert ran(decompress, "-", given=small.stdout_bytes).stdout_bytes == b""


def test_json_says_sizes_time_and_the_size_of_the_model(file: Path, tmp_path: Path) -> None:
    told = json.loads(ran(compress, "--model", "code", "--json", file, "-o", tmp_path / "small").stdout)
    assert (told["bytes"], told["packed"]) == (len(TEXT), (tmp_path / "small").stat().st_size)
    assert told["ratio"] == told["packed"] / told["bytes"]
    assert told["model"]["bytes"] == 1_335_928
    assert told["seconds"] > 0
    back = json.loads(ran(decompress, "--json", tmp_path / "small", "-o", tmp_path / "back").stdout)
    assert (back["bytes"], back["packed"] < told["packed"]) == (len(TEXT), True)
    assert (tmp_path / "back").read_bytes() == TEXT


def test_the_size_of_the_model_is_told_to_a_person(file: Path, tmp_path: Path) -> None:
    told = ran(compress, "--model", "text", file, "-o", tmp_path / "small").stderr
    assert "model text: 1,335,928 bytes, not in the file" in told


def test_json_leaves_standard_output_to_the_bytes(file: Path) -> None:
    small = ran(compress, "--json", file)
    assert json.loads(small.stderr)["packed"] == len(small.stdout_bytes)
    back = ran(decompress, "--json", "-", given=small.stdout_bytes)
    assert json.loads(back.stderr)["bytes"] == len(back.stdout_bytes) == len(TEXT)


def test_a_file_that_is_there_stays_unless_forced(file: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_bytes(b"kept")
    assert isinstance(ran(compress, file, "-o", there).exception, UsageError)
    assert there.read_bytes() == b"kept"
    assert isinstance(ran(compress, file, "-o", tmp_path, "--force").exception, UsageError)
    assert ran(compress, file, "-o", there, "--force").exit_code == 0
    assert isinstance(ran(decompress, there, "-o", file).exception, UsageError)
    assert ran(decompress, there, "-o", file, "--force").exit_code == 0
    assert file.read_bytes() == TEXT


def test_what_fails_leaves_nothing_behind(file: Path, tmp_path: Path) -> None:
    ran(compress, file, "-o", tmp_path / "small")
    whole = (tmp_path / "small").read_bytes()
    (tmp_path / "small").write_bytes(whole[:-1])
    failed = ran(decompress, tmp_path / "small", "-o", tmp_path / "back")
    assert isinstance(failed.exception, DecodeError)
    assert "cut short" in str(failed.exception)
    assert str(tmp_path / "small") in str(failed.exception)
    there = tmp_path / "there"
    there.write_bytes(b"kept")
    assert isinstance(ran(decompress, tmp_path / "small", "-o", there, "--force").exception, DecodeError)
    assert there.read_bytes() == b"kept"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small", "source.py", "there"]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--method", "zip"), SettingsError),
        (("--model", "nobody"), SettingsError),
        (("--method", "rle", "--model", "code"), SettingsError),
        (("--set", "coder.soma.stream=nothing", "--method", "rle"), SettingsError),
        (("--plugin", "ledger-memory"), UsageError),
        (("--plugin", "coder-soma", "--plugin", "coder-soma"), UsageError),
        (("--plugin", "coder-none"), PluginError),
        (("-o", "no/such/directory/out"), UsageError),
    ],
)
def test_bad_wishes_are_said(arguments: tuple[str, ...], error: type[Exception], file: Path) -> None:
    refused = ran(compress, *arguments, file)
    assert isinstance(refused.exception, error)
    assert "\n" not in str(refused.exception)
    assert refused.stdout == ""


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        for command in (compress, decompress):
            assert isinstance(ran(command, path).exception, UsageError)


def test_bytes_of_another_plugin_or_of_none_are_said() -> None:
    other = ran(decompress, "-", given=packed(TEXT, 100))
    assert isinstance(other.exception, UsageError)
    assert "--plugin coder-stored" in str(other.exception)
    assert "standard input: this is no packed file" in str(ran(decompress, "-", given=TEXT).exception)


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=300), size=st.integers(1, 100))
def test_blocks_come_back_in_order(data: bytes, size: int) -> None:
    assert unpacked(packed(data, size)) == data


def _broken(whole: bytes) -> Iterator[bytes]:
    yield from (whole[:cut] for cut in range(len(whole)))
    for bit in range(8 * len(whole)):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        yield bytes(changed)
    yield whole + b"\0"
    yield whole + whole


def test_every_cut_and_every_bit_is_found() -> None:
    whole = packed(b"one block, two blocks", 11)
    for broken in _broken(whole):
        source = io.BytesIO(broken)
        try:
            if read_name(source.read) != "coder-stored":
                continue
            made = b"".join(block for block, _ in unpack(source.read, Stored()))
        except DecodeError:
            continue
        raise AssertionError(f"{broken!r} unpacks to {made!r}")


def test_blocks_do_not_change_places() -> None:
    head, frame = len(MAGIC) + 13, 1 + 4 + 32 + 11
    whole = packed(b"0123456789" * 2, 10)
    first, second = whole[head : head + frame], whole[head + frame : head + 2 * frame]
    assert unpacked(whole[:head] + first + second + whole[head + 2 * frame :]) == b"0123456789" * 2
    with pytest.raises(DecodeError, match="not the one that was packed there"):
        unpacked(whole[:head] + second + first + whole[head + 2 * frame :])


def test_a_claimed_length_is_refused_before_it_is_read() -> None:
    asked: list[int] = []
    source = io.BytesIO(b"B" + (MAX_BLOCK + 65).to_bytes(4, "big") + bytes(100))

    def read(size: int) -> bytes:
        asked.append(size)
        return source.read(size)

    with pytest.raises(DecodeError, match="at most"):
        list(unpack(read, Stored()))
    assert max(asked) == 4


def test_progress_is_told_on_a_terminal_after_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    told = io.StringIO()
    told.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stderr", told)
    waits: list[float] = []

    class Twice:
        """An event that is set at the second wait."""

        def wait(self, seconds: float) -> bool:
            waits.append(seconds)
            return len(waits) > 1

        def set(self) -> None:
            pass

    monkeypatch.setattr("soma_core.cli._progress.Event", Twice)
    progress = Progress("compress", 5000)
    progress.close()
    assert waits == [1, 1]
    assert "compress: 0 of 5,000 bytes" in told.getvalue()
    assert told.getvalue().endswith("\r\x1b[K")
