"""``soma verify``: what is trusted, and how old it may be."""

import json
import time
from pathlib import Path

import pytest
import replays
from click.testing import CliRunner, Result

from soma_core import chain, genesis
from soma_core.chain import proofs
from soma_core.cli.verify import verify
from soma_core.errors import UsageError, VerificationError


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, str]:
    """A receipt, its genesis, and the digest of the record that was signed under it."""
    world = replays.settled_job()
    file = replays.honest_file(world, chain.job_key(replays.address(6), replays.BLOB, 0), (0,))
    (tmp_path / "receipt").write_bytes(proofs.dump(file))
    genesis.write(world.genesis, tmp_path / "genesis")
    return tmp_path / "receipt", tmp_path / "genesis", chain.record_digest(file.checkpoint.record).hex()


def run(files: tuple[Path, Path, str], *more: str, after: int = 0, patch: pytest.MonkeyPatch) -> Result:
    """The command, so many ms after the network began."""
    begun = genesis.read(files[1]).time
    patch.setattr(time, "time_ns", lambda: (begun + after) * 1_000_000)
    return CliRunner().invoke(verify, [str(files[0]), "--genesis", str(files[1]), *more])


def test_it_says_which_record_may_be_trusted_next(
    files: tuple[Path, Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = json.loads(run(files, "--json", patch=monkeypatch).stdout)
    assert (told["valid"], told["record"]) == (True, files[2])
    assert files[2] in run(files, patch=monkeypatch).output


def test_a_newer_record_is_a_younger_basis(files: tuple[Path, Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    record = proofs.load(files[0].read_bytes()).checkpoint.record
    trusted = genesis.read(files[1])
    late = trusted.parameters.unbonding_ms + 1
    old = run(files, after=late, patch=monkeypatch)
    assert isinstance(old.exception, VerificationError)
    assert "committee of the genesis" in old.exception.what
    assert record.time > trusted.time
    newer = run(files, "--record", files[2], "--json", after=late, patch=monkeypatch)
    assert json.loads(newer.stdout)["trusts"] == f"the record {files[2][:12]}, which you named"
    older = run(files, "--record", files[2], after=late + record.time - trusted.time, patch=monkeypatch)
    assert isinstance(older.exception, VerificationError)
    assert "committee of the record" in older.exception.what


@pytest.mark.parametrize("text", ["", "abc", "00" * 31, "no"])
def test_what_is_no_digest_is_said(text: str, files: tuple[Path, Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    refused = run(files, "--record", text, patch=monkeypatch)
    assert isinstance(refused.exception, UsageError)
    assert "no record's digest" in refused.exception.what
