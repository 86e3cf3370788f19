"""What holds for the repository as a whole."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from soma_core.plugins import KINDS

ROOT = Path(__file__).resolve().parents[1]
PROJECTS = sorted(ROOT.glob("plugins/*/pyproject.toml"))
DISTRIBUTIONS = [path.parent for path in PROJECTS]
LONGEST = 400
WEIGHTS_MOST = 1_500_000


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [path for name in listed.decode().split("\0") if name and (path := ROOT / name).is_file()]


@pytest.fixture(scope="module")
def texts() -> dict[Path, str]:
    found = {}
    for path in tracked():
        data = path.read_bytes()
        if b"\0" not in data and len(data) < 1 << 20:
            found[path] = data.decode("utf-8", "replace")
    return found


def test_no_path_of_a_machine_and_no_host_of_a_registry_is_named(texts: dict[Path, str]) -> None:
    forbidden = re.compile(r"/(?:home|Users|work)/\w+/|py" + r"pi\.org|python" + r"hosted|npm" + r"js|deb\.debian")
    samples = ROOT / "plugins" / "soma-encoders" / "src" / "soma_encoders" / "data"
    named = [
        str(path.relative_to(ROOT))
        for path, text in texts.items()
        if samples not in path.parents and forbidden.search(text)
    ]
    assert named == []


def test_no_module_is_longer_than_a_person_reads(texts: dict[Path, str]) -> None:
    lengths = {
        str(path.relative_to(ROOT)): text.count("\n")
        for path, text in texts.items()
        if path.suffix == ".py" and "tests" not in path.relative_to(ROOT).parts
    }
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST} == {}


def entry_points(*folders: Path) -> list[str]:
    """Names of the plugins in the distributions in `folders`, all of them if none is named."""
    texts = ((folder / "pyproject.toml").read_text("utf-8") for folder in folders or DISTRIBUTIONS)
    return [
        name
        for text in texts
        for name in tomllib.loads(text)["project"].get("entry-points", {}).get("soma.plugins", {})
    ]


@pytest.mark.parametrize("folder", DISTRIBUTIONS, ids=lambda folder: folder.name)
def test_every_distribution_is_whole(folder: Path) -> None:
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    core = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["name"] == folder.name
    assert project["version"] == core["version"]
    assert project["license"].startswith("Apache-2.0")
    assert any(need.startswith("soma-core") for need in project["dependencies"])
    assert (folder / "README.md").read_text("utf-8").startswith("# ")
    assert (folder / "LICENSE").read_text("utf-8") == (ROOT / "LICENSE").read_text("utf-8")  # wheels carry their own
    assert list(folder.glob("tests/test_*.py"))
    for name in entry_points(folder):
        assert re.fullmatch(rf"({'|'.join(KINDS)})-[a-z0-9]+(-[a-z0-9]+)*", name)
    wanted = [(ROOT / name).read_text("utf-8") for name in ("requirements.txt", "requirements-all.txt")]
    assert "".join(wanted).count(f"-e plugins/{folder.name}\n") == 1


def test_weights_are_small() -> None:
    weights = list(ROOT.glob("plugins/*/src/**/*.safetensors"))
    assert len(weights) == 6
    assert all(path.stat().st_size <= WEIGHTS_MOST for path in weights)


def test_the_readme_names_only_commands_there_are() -> None:
    from soma_core.cli import VERBS

    named = set(re.findall(r"`soma ([a-z]+)", (ROOT / "README.md").read_text("utf-8")))
    assert named <= set(VERBS) | {name.partition("-")[2] for name in entry_points() if name.startswith("command-")}


def test_the_example_is_at_most_sixty_lines() -> None:
    folder = ROOT / "examples" / "soma-encoder-hello"
    files = [path for path in tracked() if folder in path.parents]
    assert sum(len(path.read_text("utf-8").splitlines()) for path in files) <= 60


def test_what_is_required_is_pinned() -> None:
    """Exactly, by name and version alone: the same environment everywhere, and no file of one machine."""
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = {
        canonicalize_name(name): version
        for name, version in (line.split("==") for line in lines if line and not line.startswith("#"))
    }
    projects = [tomllib.loads(path.read_text("utf-8"))["project"] for path in (ROOT / "pyproject.toml", *PROJECTS)]
    own = {project["name"] for project in projects}
    needs = [Requirement(need) for project in projects for need in project["dependencies"]]
    tools = (ROOT / "requirements-dev.txt").read_text("utf-8").splitlines()
    needs += [Requirement(line) for line in tools if line and not line.startswith(("#", "-"))]
    wrong = [
        str(need)
        for need in needs
        if need.name not in own and pins.get(canonicalize_name(need.name), "") not in need.specifier
    ]
    assert wrong == []


def test_test_files_have_names_of_their_own(texts: dict[Path, str]) -> None:
    names = [path.name for path in texts if path.match("test_*.py") and "examples" not in path.parts]
    assert sorted(names) == sorted(set(names))


def test_links_between_documents_lead_somewhere(texts: dict[Path, str]) -> None:
    broken = [
        f"{path.relative_to(ROOT)}: {target}"
        for path, text in texts.items()
        if path.suffix == ".md"
        for target in re.findall(r"\]\(([^)#\s]+)", text)
        if "://" not in target and not (path.parent / target).exists()
    ]
    assert broken == []
