"""``specs/50-network.md`` and the code say the same: constants, kinds, channels, operations, fields."""

import re
from pathlib import Path
from types import ModuleType

import attrs
import make_net_vectors
import pytest
from constants import SPECS
from vectors import DIRECTORY, load

import soma_core.net
from soma_core import budget
from soma_core.api import CHANNELS
from soma_core.net import _address, _blobs, _fetch, _hello, _link, _message, _peers, _queues, _requests, _shelf, _sync
from soma_core.node import checkpoints, submission, witness

TEXT = (SPECS / "50-network.md").read_text("utf-8")
MODULES = (_address, _blobs, _fetch, _hello, _link, _message, _peers, _queues, _requests, _shelf, _sync)


def rows(columns: int) -> list[list[str]]:
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in TEXT.splitlines() if line[:3] == "| `"]
    return [[cells[0].strip("`"), *cells[1:]] for cells in found if len(cells) == columns]


def numbers(module: ModuleType) -> dict[str, float]:
    """Constants that a module defines itself."""
    source = Path(module.__file__ or "").read_text("utf-8")
    defined = re.findall(r"^([A-Z][A-Z_]*): Final", source, re.MULTILINE)
    return {name: getattr(module, name) for name in defined if isinstance(getattr(module, name), (int, float))}


def test_every_module_is_looked_at() -> None:
    files = {path.stem for path in Path(soma_core.net.__file__).parent.glob("*.py")}
    plain = {"__init__", "_counters", "_text"}
    assert {module.__name__.rpartition(".")[2] for module in MODULES} == files - plain


def test_constants() -> None:
    in_code = [(name, float(value)) for module in (*MODULES, budget) for name, value in numbers(module).items()]
    assert len(in_code) > 35
    assert sorted((row[0], float(row[1])) for row in rows(4) if row[0].isupper()) == sorted(in_code)


def test_kinds_and_channels() -> None:
    said = {True: "yes", False: {"op": "empty", "body": "empty", "payload": "no"}}
    written = {row[0]: row[1:] for row in rows(6)}
    assert written.keys() == _message._RULES.keys()
    for kind, (number, op, body, payload, channels) in written.items():
        rule = _message._RULES[kind]
        assert number == {True: "from 1", False: "0", None: "any"}[rule.numbered], kind
        assert op == ("needed" if rule.operation else said[False]["op"]), kind
        assert body == ("yes" if rule.body else said[False]["body"]), kind
        assert payload == ("yes" if rule.payload else said[False]["payload"]), kind
        heard = {channel for channel in CHANNELS if kind in _link._HEARD[channel]}
        assert set(re.findall(r"`(\w+)`", channels)) == heard, kind


def test_operations_and_their_fields() -> None:
    written = {row[0]: (row[1].strip("`"), re.findall(r"`(\w+)`", row[2])) for row in rows(4) if "." in row[0]}

    def names(record: type) -> list[str]:
        return [field.name for field in attrs.fields(record)]

    assert written == {
        _fetch.MANIFEST: ("blobs", names(_fetch.AskManifest)),
        _fetch.CHUNK: ("blobs", names(_fetch.AskChunk)),
        _sync.ENTRIES: ("sync", names(_sync.AskEntries)),
        submission.SUBMIT: ("sync", []),
        witness.SIGNED: ("sync", names(checkpoints.Signed)),
    }
    assert f"`{_link.CONSENSUS_NOTE}`" in TEXT


@pytest.mark.parametrize(
    "record", [_message._Header, _hello.Hello, _hello.Fault, _blobs.Manifest, _sync.Entry, _sync.Head, _sync.Entries]
)
def test_fields_of_records(record: type) -> None:
    assert [field.name for field in attrs.fields(record) if f"`{field.name}`" not in TEXT] == []


def test_codes_of_refusals() -> None:
    source = "".join(Path(module.__file__ or "").read_text("utf-8") for module in MODULES)
    codes = set(re.findall(r'(?:Refusal|Fault|Fault\.of)\(\s*"(\w+)"', source))
    assert codes == {"absent", "busy", "fault", "late", "malformed", "refused", "unknown"}
    assert {code for code in codes if f"`{code}`" not in TEXT} == set()


def test_vectors_name_rules_that_exist() -> None:
    rules = set(re.findall(r"^\*\*(N\d+)\.\*\*", TEXT, re.MULTILINE)) | {"E1"}
    net, blobs = load("net.json"), load("blobs.json")
    named = {case["rule"] for case in net["invalid_messages"] + net["invalid_hellos"] + blobs["invalid_manifests"]}
    assert named <= rules
    assert named >= {"N1", "N2", "N3", "N4", "N5", "N6", "N7", "N8", "N10", "N34", "N35"}


@pytest.mark.parametrize("name", make_net_vectors.FILES)
def test_the_files_are_those_that_the_code_makes(name: str) -> None:
    made = make_net_vectors.rendered(name)
    assert (DIRECTORY / name).read_text("utf-8") == made, "run `python tests/make_net_vectors.py`"
