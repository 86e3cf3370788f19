"""The chapters of ``specs`` and the code say the same: constants, tables, fields, codes, rule numbers."""

import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import attrs
import pytest
import vectors
from constants import SPECS, constants
from vectors import DIRECTORY

from soma_core import beacon, chain, codec, crypto, fixed, genesis, records
from soma_core.api import index
from soma_core.chain import (
    audits,
    canaries,
    checks,
    claims,
    copies,
    delivery,
    encoders,
    epochs,
    faults,
    fees,
    hits,
    jobs,
    machine,
    members,
    objections,
    offers,
    openings,
    penalties,
    powers,
    proofs,
    race,
    receipts,
    routing,
    settlement,
    shards,
    sketches,
    specialities,
    targets,
    transactions,
    upgrades,
    weakness,
    weights,
)
from soma_core.chain import pools as pools_
from soma_core.chain import shares as shares_
from soma_core.chain import stakes as stakes_
from soma_core.chain import validators as validators_
from soma_core.model import _byte_model, _symbol_encoder, _symbols
from soma_core.quality import corpora, measures, report
from soma_core.vectors import _checks, _log, _recall, _scan, _store

ROOT = SPECS.parent
RULE = re.compile(r"^(?:- )?\*\*([A-Z]{1,2})(\d+)\.\*\*", re.MULTILINE)
CITATION = re.compile(r"[Rr]ules? ([A-Z]{1,2})(\d+)(?: (?:to|and) ([A-Z]{1,2})(\d+))?(?: of |, )``specs/([\w.-]+)``")
CHAPTERS = sorted(path.name for path in SPECS.glob("[0-9]*.md"))


def text(chapter: str) -> str:
    return (SPECS / chapter).read_text("utf-8")


def rows(chapter: str, columns: int) -> list[list[str]]:
    """The cells of a chapter's table rows with so many columns, without headings."""
    found = [
        [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        for line in text(chapter).splitlines()
        if line.startswith(("| `", "| 0x"))
    ]
    return [cells for cells in found if len(cells) == columns]


def numbered(chapter: str) -> dict[str, list[int]]:
    """Letter → numbers of the rules in a chapter, in order."""
    found: dict[str, list[int]] = {}
    for letter, number in RULE.findall(text(chapter)):
        found.setdefault(letter, []).append(int(number))
    return found


# Constants. -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chapter", "modules"),
    [
        ("01-encoding.md", (codec, records)),
        ("02-signatures.md", (crypto,)),
        ("03-quantiser.md", (fixed,)),
        ("04-beacon.md", (beacon,)),
        ("12-transactions.md", (transactions,)),
        ("13-accounts.md", (chain.accounts,)),
        ("14-validators.md", (faults, members, powers, validators_)),
        ("15-encoders.md", (copies, encoders, offers)),
        ("16-jobs.md", (jobs, settlement)),
        ("17-receipts.md", (proofs,)),
        ("18-epochs.md", (fees, upgrades)),
        ("22-staking.md", (shares_, stakes_)),
        ("23-routing.md", (routing, sketches, specialities)),
        ("24-targets.md", (hits, openings, race, targets, weakness)),
        ("25-audits.md", (audits, delivery, penalties, canaries, checks, claims)),
        ("61-report.md", (corpora, measures, report)),
        ("81-symbol-encoder.md", (_symbols, _symbol_encoder, _byte_model)),
        ("83-indexes.md", (index, _checks, _log, _recall, _scan, _store)),
    ],
)
def test_constants(chapter: str, modules: tuple[ModuleType, ...]) -> None:
    written = constants(chapter)
    in_code = {
        name: value
        for module in modules
        for name, value in vars(module).items()
        if name.isupper() and not name.startswith("_") and type(value) is int and _is_defined_in(module, name)
    }
    assert written == in_code


def _is_defined_in(module: ModuleType, name: str) -> bool:
    source = Path(module.__file__ or "").read_text("utf-8")
    return re.search(rf"^{name}\b.*=", source, re.MULTILINE) is not None


def test_constants_of_genesis() -> None:
    named = {name: value for name, value in vars(genesis).items() if name.isupper() and type(value) is int}
    parameters = {field.name: field.default for field in attrs.fields(genesis.Parameters)}
    written = constants("10-genesis.md")
    assert written == {name: value for name, value in {**named, **parameters}.items() if name in written}
    assert written.keys() >= parameters.keys()
    assert {"SHANNONS", "SUPPLY_MOST", "TIME_MOST", "NAME_MOST", "MAX_FILE"} <= written.keys()
    for name in (*genesis.RESERVED_NAMES, genesis.OPAQUE):
        assert f"`{name}`" in text("10-genesis.md")


@pytest.mark.parametrize("row", rows("10-genesis.md", 5), ids=lambda row: row[0])
def test_bounds_of_parameters(row: list[str]) -> None:
    name, _, least, most, _ = row
    for value in (int(least), int(most)):
        assert getattr(genesis.Parameters(**{name: value}), name) == value
    for value in (int(least) - 1, int(most) + 1):
        with pytest.raises(ValueError, match=f"{name}: {value} is outside {least}"):
            genesis.Parameters(**{name: value})


def test_domain_tags() -> None:
    written = {tag: use for tag, use in rows("02-signatures.md", 2) if tag.startswith("soma/")}
    assert written == crypto.DOMAINS


def test_tables_of_the_state() -> None:
    written = {int(prefix, 16): name for prefix, name, *_ in rows("11-state.md", 5)}
    assert written == {table.prefix: table.name for table in machine.TABLES}
    moneyed = {int(row[0], 16) for row in rows("11-state.md", 5) if row[4]}
    assert moneyed == {table.prefix for table in machine.TABLES if table.money.__name__ != "_nothing"}


def test_roles_of_operator_keys() -> None:
    written = {role: set(re.findall(r"`(\w+)`", f"`{kinds}`")) for role, kinds in rows("13-accounts.md", 2)}
    assert written == chain.accounts.ROLES
    assert frozenset().union(*chain.accounts.ROLES.values()) <= machine.ACTIONS.keys()


def test_kinds_of_transactions() -> None:
    written = {kind: re.findall(r"`(\w+)`", f"`{fields}`") for kind, fields, _ in rows("12-transactions.md", 3)}
    in_code = {kind: [a.name for a in attrs.fields(handler.record)] for kind, handler in machine.ACTIONS.items()}
    assert {kind: fields for kind, fields in written.items() if kind in in_code} == in_code
    assert written.keys() - in_code.keys() <= {"MAX_TRANSACTION", "WINDOW"}


@pytest.mark.parametrize(
    ("record", "chapter"),
    [
        (genesis.Genesis, "10-genesis.md"),
        (genesis.Charter, "10-genesis.md"),
        (genesis.Rule, "10-genesis.md"),
        (genesis.Allocation, "10-genesis.md"),
        (genesis.Validator, "10-genesis.md"),
        (genesis.Encoder, "10-genesis.md"),
        (pools_.Pools, "11-state.md"),
        (encoders.Registry, "11-state.md"),
        (encoders.Name, "11-state.md"),
        (settlement.SettledVector, "11-state.md"),
        (settlement.SettledCount, "11-state.md"),
        (chain.Transaction, "12-transactions.md"),
        (chain.Account, "13-accounts.md"),
        (chain.Operator, "13-accounts.md"),
        (chain.SetOperator, "13-accounts.md"),
        (chain.DropOperator, "13-accounts.md"),
        (chain.Transfer, "13-accounts.md"),
        (validators_.Validator, "14-validators.md"),
        (validators_.Beacon, "14-validators.md"),
        (validators_.Tally, "14-validators.md"),
        (validators_.Former, "14-validators.md"),
        (members.Member, "14-validators.md"),
        (members.MemberCount, "14-validators.md"),
        (members.KeyOwner, "14-validators.md"),
        (faults.Report, "14-validators.md"),
        (faults.Equivocation, "14-validators.md"),
        (chain.RegisterValidator, "14-validators.md"),
        (chain.UpdateValidator, "14-validators.md"),
        (chain.ReportValidator, "14-validators.md"),
        (chain.UndoReport, "14-validators.md"),
        (chain.AccuseValidator, "14-validators.md"),
        (chain.System, "14-validators.md"),
        (chain.RecordSignature, "14-validators.md"),
        (encoders.Encoder, "15-encoders.md"),
        (encoders.Wins, "15-encoders.md"),
        (chain.RegisterEncoder, "15-encoders.md"),
        (copies.Pair, "15-encoders.md"),
        (encoders.RegistrationSeal, "15-encoders.md"),
        (chain.SealRegistration, "15-encoders.md"),
        (objections.Objection, "15-encoders.md"),
        (chain.ReportEncoder, "15-encoders.md"),
        (chain.UndoEncoderReport, "15-encoders.md"),
        (weights.NextWeights, "15-encoders.md"),
        (weights.Shown, "15-encoders.md"),
        (weights.CommitWeights, "15-encoders.md"),
        (offers.Offer, "15-encoders.md"),
        (offers.Offers, "15-encoders.md"),
        (offers.OfferWeights, "15-encoders.md"),
        (weights.RevealWeights, "15-encoders.md"),
        (shards.Job, "16-jobs.md"),
        (shards.Member, "16-jobs.md"),
        (settlement.Done, "16-jobs.md"),
        (shards.Delivery, "16-jobs.md"),
        (shards.Opinion, "16-jobs.md"),
        (shards.Ending, "11-state.md"),
        (receipts.Step, "17-receipts.md"),
        (chain.CommitRecord, "17-receipts.md"),
        (chain.TransactionReceipt, "17-receipts.md"),
        (chain.JobReceipt, "17-receipts.md"),
        (receipts.MemberReceipt, "17-receipts.md"),
        (receipts.PaymentReceipt, "17-receipts.md"),
        (chain.ReceiptFile, "17-receipts.md"),
        (chain.Checkpoint, "17-receipts.md"),
        (epochs.Epoch, "18-epochs.md"),
        (epochs.Parked, "18-epochs.md"),
        (fees.Fees, "18-epochs.md"),
        (upgrades.Protocol, "18-epochs.md"),
        (upgrades.Support, "18-epochs.md"),
        (chain.SupportProtocol, "18-epochs.md"),
        (routing.Cell, "23-routing.md"),
        (routing.Score, "23-routing.md"),
        (race.Race, "24-targets.md"),
        (race.Opening, "24-targets.md"),
        (race.Target, "24-targets.md"),
        (race.Assigned, "24-targets.md"),
        (race.Submission, "24-targets.md"),
        (race.Hit, "24-targets.md"),
        (race.Spent, "24-targets.md"),
        (weakness.Outcomes, "24-targets.md"),
        (audits.Item, "25-audits.md"),
        (audits.Auditor, "25-audits.md"),
        (claims.Anchor, "25-audits.md"),
        (checks.Checked, "25-audits.md"),
        (audits.Audit, "25-audits.md"),
        (audits.Result, "25-audits.md"),
        (audits.Marks, "25-audits.md"),
        (audits.CommitVerdict, "25-audits.md"),
        (audits.RevealVerdict, "25-audits.md"),
        (shards.Dispute, "25-audits.md"),
        (delivery.DisputeAnswer, "25-audits.md"),
        (penalties.Lock, "25-audits.md"),
        (penalties.Offences, "25-audits.md"),
        (canaries.Canary, "25-audits.md"),
        (canaries.PlantCanaries, "25-audits.md"),
        (canaries.ConfessCanary, "25-audits.md"),
        (shares_.Shares, "22-staking.md"),
        (stakes_.StakePool, "22-staking.md"),
        (stakes_.Entry, "22-staking.md"),
        (stakes_.Delegation, "22-staking.md"),
        (stakes_.Departure, "22-staking.md"),
        (chain.Stake, "22-staking.md"),
        (chain.Unstake, "22-staking.md"),
        (chain.SetCommission, "22-staking.md"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_every_field_of_a_record_stands_in_its_chapter(record: type[Any], chapter: str) -> None:
    missing = [a.name for a in attrs.fields(record) if f"`{a.name}`" not in text(chapter)]
    assert missing == []


def test_every_record_of_the_state_is_looked_at() -> None:
    assert {table.record.__name__ for table in machine.TABLES} <= {
        mark.args[0].__name__
        for mark in test_every_field_of_a_record_stands_in_its_chapter.pytestmark  # type: ignore[attr-defined]
        for mark in [attrs.make_class("Row", ["args"])(row) for row in mark.args[1]]
    }


def test_codes_of_refusals_stand_in_the_chapters() -> None:
    source = "".join(path.read_text("utf-8") for path in (ROOT / "src/soma_core/chain").glob("*.py"))
    codes = set(re.findall(r'Refusal\(\s*"(\w+)"', source)) - {"code"}
    law = "".join(text(chapter) for chapter in CHAPTERS if chapter.startswith(("1", "2")))
    assert codes
    assert {code for code in codes if f"`{code}`" not in law} == set()


# Rules and chapters. --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_rules_are_numbered_from_one_on(chapter: str) -> None:
    for letter, numbers in numbered(chapter).items():
        assert numbers == list(range(1, len(numbers) + 1)), letter


def test_a_letter_belongs_to_one_chapter_and_the_list_says_which() -> None:
    listed = {name: letters.split(", ") for name, letters, _ in rows("README.md", 3)}
    found = {chapter: sorted(numbered(chapter)) for chapter in CHAPTERS}
    owners = [letter for letters in found.values() for letter in letters]
    assert len(owners) == len(set(owners)), found
    assert {chapter: sorted(listed.get(chapter, [])) for chapter in CHAPTERS} == found


def citations() -> Iterator[tuple[str, str, int, str]]:
    sources = [*ROOT.glob("src/**/*.py"), *ROOT.glob("plugins/*/src/**/*.py")]
    for path in sources:
        words = " ".join(path.read_text("utf-8").split())
        for letter, first, other, last, chapter in CITATION.findall(words):
            yield str(path.relative_to(ROOT)), letter, int(first), chapter
            if last:
                yield str(path.relative_to(ROOT)), other, int(last), chapter


def test_rules_that_the_code_cites_exist() -> None:
    cited = list(citations())
    assert len(cited) > 40
    wrong = [
        f"{path}: {letter}{number} of {chapter}"
        for path, letter, number, chapter in cited
        if not (SPECS / chapter).exists() or number not in numbered(chapter).get(letter, [])
    ]
    assert wrong == []


def test_chapters_that_chapters_and_code_name_exist() -> None:
    named = {
        name
        for path in (*SPECS.glob("*.md"), *ROOT.glob("src/**/*.py"), *ROOT.glob("plugins/*/src/**/*.py"))
        for name in re.findall(r"\b\d\d-[a-z-]+\.md", path.read_text("utf-8"))
    }
    assert sorted(named - set(CHAPTERS)) == []


@pytest.mark.parametrize("name", sorted(path.name for path in DIRECTORY.glob("*.json")))
def test_a_chapter_names_each_vector_file_and_a_test_reads_it(name: str) -> None:
    assert any(f"vectors/{name}" in text(chapter) for chapter in CHAPTERS)
    tests = [*ROOT.glob("tests/**/*.py"), *ROOT.glob("plugins/*/tests/**/*.py")]
    assert [path for path in tests if path.name != "make_vectors.py" and f'"{name}"' in path.read_text("utf-8")]


# A vector file that nobody reads. -------------------------------------------------------------------------------------


def _session(request: pytest.FixtureRequest, paths: list[Path], **options: Any) -> tuple[ModuleType, Any]:
    """`tests/conftest.py`, and a session as it sees one that ran the tests of `paths`."""
    (conftest,) = (
        plugin
        for plugin in request.config.pluginmanager.get_plugins()
        if getattr(plugin, "__file__", None) == str(ROOT / "tests" / "conftest.py")
    )
    chosen = SimpleNamespace(**{"keyword": "", "lf": False, "collectonly": False, **options})
    items = [SimpleNamespace(path=path) for path in paths]
    return conftest, SimpleNamespace(
        config=SimpleNamespace(option=chosen), items=items, shouldstop=False, shouldfail=False
    )


@pytest.fixture
def unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a vector file that no test names, beside the real ones."""
    name = "nobody" + ".json"
    for path in DIRECTORY.glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
        monkeypatch.setattr(vectors, "_READ", vectors._READ | {path.name})
    (tmp_path / name).write_text("{}")
    monkeypatch.setattr(vectors, "DIRECTORY", tmp_path)
    return name


def test_a_whole_run_fails_for_a_vector_that_nobody_read(request: pytest.FixtureRequest, unread: str) -> None:
    everything = list((ROOT / "tests").rglob("test_*.py"))
    conftest, session = _session(request, everything)
    assert conftest.not_read(session) == [unread]
    vectors.load(unread)
    assert conftest.not_read(session) == []


@pytest.mark.usefixtures("unread")
def test_a_part_of_the_tests_is_not_held_to_it(request: pytest.FixtureRequest) -> None:
    everything = list((ROOT / "tests").rglob("test_*.py"))
    conftest, session = _session(request, [path for path in everything if path.parent.name != "chain"])
    assert conftest.not_read(session) == []
    for options in ({"keyword": "job"}, {"lf": True}, {"collectonly": True}):
        conftest, session = _session(request, everything, **options)
        assert conftest.not_read(session) == []
