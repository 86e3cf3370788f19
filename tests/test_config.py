"""Settings: where they come from, what is refused, and that everything wrong is said at once."""

import re
from pathlib import Path
from typing import Any, Literal

import attrs
import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from soma_core.api import ConsensusSpec, EncoderSpec, option, required
from soma_core.api.spec import AnySpec
from soma_core.config import (
    HIDDEN,
    NodeConfig,
    Options,
    default_data_dir,
    gather,
    instance,
    plain,
)
from soma_core.config._convert import convert
from soma_core.config._sources import MAX_FILE, toml_or_text
from soma_core.errors import ConfigError
from soma_core.plugins import Plugin


@frozen
class Foo:
    dim: int = option(128, "length of a vector", min=1, max=4096)
    layers: int = option(2, "layers", min=1)
    rate: float = option(0.5, "rate", max=1)
    name: str = option("text", "a bundled name")
    fast: bool = option(default=False, help="hurry")
    form: Literal["small", "large"] = option("small", "how big")
    file: Path | None = option(None, "a file")
    tags: tuple[str, ...] = option((), "words")
    token: str = option("", "who we are", secret=True)


def _loud(text: str) -> str:
    return text.upper()


@frozen
class Webhook:
    url: str = required(str, "where the server listens")
    port: int = option(80, "port", min=1, max=65535)


def spec(config: type[Any]) -> AnySpec:
    def opener(_config: Any, _context: Any) -> Any:
        raise AssertionError("never opened here")

    return EncoderSpec(api=1, config=config, open=opener)


SPECS = {"encoder-foo": spec(Foo)}
INSTALLED = [Plugin(f"encoder-{short}", "m", "d", "1", "soma-core") for short in ("foo", "webhook", "sqlite-vec")]


class Place:
    """A directory with a settings file, an environment and options."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.environ: dict[str, str] = {}

    def options(self, *assignments: str, **more: Any) -> Options:
        standard = {"data_dir": self.path / "data", "directory": self.path, "environ": self.environ}
        return Options(assignments=assignments, **{**standard, **more})

    def write(self, text: str, name: str = "soma.toml") -> Path:
        path = self.path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
        return path

    def foo(self, *assignments: str) -> Foo:
        return gather(self.options(*assignments)).resolve(SPECS, INSTALLED).of("encoder-foo", Foo)

    def problems(self, *assignments: str, specs: dict[str, AnySpec] | None = None) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            gather(self.options(*assignments)).resolve(specs or SPECS, INSTALLED)
        assert caught.value.exit_code == 4
        return list(caught.value.problems)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


# Order and origin -----------------------------------------------------------------------------------------------------


def test_each_layer_covers_the_one_below_and_keeps_its_origin(place: Place) -> None:
    place.write("[encoder.foo]\ndim = 1\nlayers = 3\nrate = 0.25\n")
    place.environ = {"SOMA_ENCODER_FOO__LAYERS": "4", "SOMA_ENCODER_FOO__RATE": "0.75"}
    resolved = gather(place.options("encoder.foo.rate=1")).resolve(SPECS, INSTALLED)
    assert resolved.of("encoder-foo", Foo) == Foo(dim=1, layers=4, rate=1.0)
    origins = {row.key: row.origin for row in resolved.rows if row.section == "encoder.foo"}
    assert origins["dim"] == "soma.toml"
    assert origins["layers"] == "SOMA_ENCODER_FOO__LAYERS"
    assert origins["rate"] == "--set"
    assert origins["name"] == "default"


def test_dashes_of_a_name_are_underscores_in_the_environment(place: Place) -> None:
    place.environ = {"SOMA_ENCODER_SQLITE_VEC__DIM": "7"}
    resolved = gather(place.options()).resolve({"encoder-sqlite-vec": spec(Foo)}, INSTALLED)
    assert resolved.of("encoder-sqlite-vec", Foo).dim == 7


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("64", 64),
        ("1.5", 1.5),
        ("true", True),
        ('"64"', "64"),
        ("text", "text"),
        ("", ""),
        ("[1, 2]", [1, 2]),
        ("1\nw = 2", "1\nw = 2"),
        ("a = b", "a = b"),
        ("1 # a comment", 1),
    ],
)
def test_text_is_read_as_toml_else_as_it_is(text: str, value: object) -> None:
    assert toml_or_text(text) == value
    assert type(toml_or_text(text)) is type(value)


@given(st.text())
def test_any_text_is_some_value(text: str) -> None:
    toml_or_text(text)


def test_where_the_file_is_looked_for(place: Place) -> None:
    here = place.write("[encoder.foo]\ndim = 1\n")
    assert gather(place.options()).file == here
    (place.path / "data").mkdir()
    data = place.write("[encoder.foo]\ndim = 2\n", "data/soma.toml")
    assert gather(place.options()).file == data
    named = place.write("[encoder.foo]\ndim = 3\n", "other.toml")
    place.environ["SOMA_CONFIG"] = str(named)
    assert gather(place.options()).file == named
    assert gather(place.options(config=here)).file == here
    assert gather(Options(environ={}, directory=place.path / "data", data_dir=place.path)).file == here


def test_no_file_is_no_problem(place: Place) -> None:
    settings = gather(place.options())
    assert settings.file is None
    assert settings.resolve(SPECS, INSTALLED).of("encoder-foo", Foo) == Foo()


def test_a_named_file_must_be_there(place: Place) -> None:
    with pytest.raises(ConfigError, match=r"gone\.toml: cannot be read: No such file or directory; name another"):
        gather(place.options(config=place.path / "gone.toml"))


def test_data_dir_from_the_nearest_source(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(place.path / "xdg"))
    assert gather(Options(environ={}, directory=place.path)).resolve().node.data_dir == place.path / "xdg" / "soma"
    assert default_data_dir() == place.path / "xdg" / "soma"
    place.write("[node]\ndata_dir = 'from-file'\n")
    bare: dict[str, Any] = {"directory": place.path}
    assert gather(Options(environ={}, **bare)).resolve().node.data_dir == Path("from-file")
    place.environ["SOMA_DATA_DIR"] = "from-variable"
    assert gather(Options(environ=place.environ, **bare)).resolve().node.data_dir == Path("from-variable")
    place.environ["SOMA_NODE__DATA_DIR"] = "from-section-variable"
    assert gather(Options(environ=place.environ, **bare)).resolve().node.data_dir == Path("from-section-variable")
    with_set = Options(environ=place.environ, assignments=("node.data_dir=from-set",), **bare)
    assert gather(with_set).resolve().node.data_dir == Path("from-set")
    with_option = Options(environ=place.environ, data_dir=Path("from-option"), **bare)
    resolved = gather(with_option).resolve()
    assert resolved.node.data_dir == Path("from-option")
    assert next(row.origin for row in resolved.rows if row.key == "data_dir") == "--data-dir"


def test_plugins_are_named_by_the_highest_source_alone(place: Place) -> None:
    assert gather(place.options()).plugins == ()
    place.write('plugins = ["encoder-foo"]\n')
    settings = gather(place.options())
    assert (settings.plugins, settings.plugins_origin) == (("encoder-foo",), "soma.toml")
    place.environ["SOMA_PLUGINS"] = "encoder-a, encoder-b,"
    settings = gather(place.options())
    assert (settings.plugins, settings.plugins_origin) == (("encoder-a", "encoder-b"), "SOMA_PLUGINS")
    settings = gather(place.options(plugin=("consensus-dag",)))
    assert (settings.plugins, settings.plugins_origin) == (("consensus-dag",), "--plugin")


# What is refused ------------------------------------------------------------------------------------------------------


def test_every_problem_of_every_origin_at_once(place: Place) -> None:
    place.write("[encoder.foo]\ndimm = 3\n[encoder.webhook]\nport = 8080\n")
    place.environ = {"SOMA_ENCODER_FOO__DIM": "70000"}
    specs = {"encoder-foo": spec(Foo), "encoder-webhook": spec(Webhook)}
    assert place.problems("encoder.foo.layers=many", specs=specs) == [
        "soma.toml: encoder.foo.dimm: no such setting; did you mean dim?",
        "SOMA_ENCODER_FOO__DIM: encoder.foo.dim: 70000 is outside 1..4096",
        "--set: encoder.foo.layers: 'many' is not an int",
        "soma.toml: encoder.webhook.url: required; where the server listens",
    ]


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("dim='64'", "dim: '64' is not an int"),
        ("dim=3.9", "dim: 3.9 is not an int"),
        ("dim=true", "dim: True is not an int"),
        ("dim=0", "dim: 0 is outside 1..4096"),
        ("layers=0", "layers: 0 is below 1"),
        ("rate=1.5", "rate: 1.5 is above 1"),
        ("rate=nan", "rate: nan is not a float"),
        ("rate=true", "rate: True is not a float"),
        ("fast=no", "fast: 'no' is not a bool"),
        ("fast=1", "fast: 1 is not a bool"),
        ("name=5", 'name: 5 is not a str; write it in quotes: "5"'),
        ("form=smal", "form: 'smal' is not one of 'small', 'large'; did you mean small?"),
        ("form=1", "form: 1 is not one of 'small', 'large'"),
        ("file=5", "file: 5 is not a path"),
        ("file=", "file: '' is not a path"),
        ("tags=one", "tags: 'one' is not an array"),
        ("tags=[1]", 'tags: 1 is not a str; write it in quotes: "1"'),
        ("quite_unlike=1", "quite_unlike: no such setting; known are dim, layers, rate, name, fast, form, file, tags"),
    ],
)
def test_values_are_taken_strictly(place: Place, assignment: str, said: str) -> None:
    (problem,) = place.problems(f"encoder.foo.{assignment}")
    assert problem.startswith(f"--set: encoder.foo.{said}")


def test_a_secret_is_never_shown(place: Place) -> None:
    assert place.problems("encoder.foo.token=12345") == ["--set: encoder.foo.token: does not fit; it has to be a str"]
    resolved = gather(place.options("encoder.foo.token=hunter2")).resolve(SPECS, INSTALLED)
    assert resolved.of("encoder-foo", Foo).token == "hunter2"  # nobody's
    assert {row.value for row in resolved.rows if row.key == "token"} == {HIDDEN}


def test_toml_syntax_names_line_and_column(place: Place) -> None:
    place.write("[node]\nopen_timeout = \n")
    with pytest.raises(ConfigError, match=r"^soma\.toml: line 2, column 16: invalid value; TOML"):
        gather(place.options())
    place.write("plugins = [")
    with pytest.raises(ConfigError, match=r"^soma\.toml: line 1, column 12: "):
        gather(place.options())


def test_files_that_are_no_settings(place: Place) -> None:
    path = place.write("")
    path.write_bytes(b"a = 1\nb = '\xff'\n")
    with pytest.raises(ConfigError, match=r"^soma\.toml: line 2: not UTF-8; save the file as UTF-8$"):
        gather(place.options())
    path.write_bytes(b"#" * (MAX_FILE + 1))
    with pytest.raises(ConfigError, match=r"^soma\.toml: longer than 65536 bytes"):
        gather(place.options())
    for text, problem in {
        "node = 1\na" + ".a" * 129 + " = 1": "line 2: more than 128 dots",
        "plugins = " + "[" * 5_000: "a value stands in more than 16 tables and arrays",
        "plugins = " + "[" * 20 + "]" * 20: "a value stands in more than 16 tables and arrays",
        f"plugins = {1 << 63}": "an integer of more than 64 bits",
        "plugins = " + "9" * 5_000: "Exceeds the limit",
    }.items():
        place.write(text)
        with pytest.raises(ConfigError, match=rf"^soma\.toml: {problem}.*; no setting needs it$"):
            gather(place.options())
    with pytest.raises(ConfigError, match=r"cannot be read: Is a directory"):
        gather(place.options(config=place.path))


def test_sections_that_nobody_reads(place: Place) -> None:
    place.write("[nod]\na = 1\nb = 2\n[encoder.fooo]\n[encoder.torch]\nx = 1\n[encoder]\ndim = 1\n[ledger.zzz]\nx=1\n")
    place.environ = {"SOMA_ENCODER_WEBHOK__URL": "x", "SOMA_OTHER": "x", "SOMAX__Y": "x", "SOMA___": "x"}
    assert sorted(place.problems()) == [
        "SOMA_ENCODER_WEBHOK__URL: encoder.webhok: no such plugin; did you mean encoder.webhook?",
        "soma.toml: encoder.dim: not in a plugin's section; write [encoder.NAME] above it",
        "soma.toml: encoder.fooo: no such plugin; did you mean encoder.foo?",
        "soma.toml: ledger.zzz: no such plugin; `soma plugins` lists what is installed",
        "soma.toml: nod: no such section; did you mean node?",
    ]


def test_the_section_of_a_plugin_that_was_not_chosen_is_left_alone(place: Place) -> None:
    place.write("[encoder.webhook]\nanything = true\n")
    assert place.foo() == Foo()


@pytest.mark.parametrize("text", ["dim=3", "encoder.foo.dim", "=3", "encoder.=3"])
def test_an_assignment_that_is_none(place: Place, text: str) -> None:
    (problem,) = place.problems(text)
    assert problem == f"--set: {text!r}: not a setting; write SECTION.KEY=VALUE, such as node.open_timeout=60"


@pytest.mark.parametrize("value", ['"encoder-foo"', "[1]", "{a = 1}"])
def test_plugins_must_be_an_array_of_names(place: Place, value: str) -> None:
    place.write(f"plugins = {value}\n")
    (problem,) = place.problems()
    assert problem.startswith("soma.toml: plugins: ")
    assert problem.endswith('is not an array of names; write plugins = ["encoder-jax"]')


def test_a_key_outside_every_section(place: Place) -> None:
    place.write("open_timeout = 3\n")
    assert place.problems() == [
        "soma.toml: open_timeout: no such setting; settings stand in [node] or in a plugin's section"
    ]


def test_a_rule_of_the_network_is_no_setting(place: Place) -> None:
    @frozen
    class Params:
        quorum: int = 3

    def opener(_config: Any, _params: Any, _setup: Any) -> Any:
        raise AssertionError("never opened here")

    rule = ConsensusSpec(api=1, config=Foo, params=Params, rule_id="r", rule_version=1, open=opener)
    place.write("[consensus.foo]\nquorum = 4\n")
    installed = [Plugin("consensus-foo", "m", "d", "1", "soma-core")]
    with pytest.raises(ConfigError) as caught:
        gather(place.options()).resolve({"consensus-foo": rule}, installed)
    assert str(caught.value) == (
        "soma.toml: consensus.foo.quorum: no such setting; it is a rule of the network, read from genesis"
    )


def test_an_authors_own_validators_are_asked_one_by_one(place: Place) -> None:
    @frozen
    class Own:
        a: int = attrs.field(default=1, validator=attrs.validators.lt(10))
        b: int = attrs.field(default=1, validator=attrs.validators.gt(0))
        c: str = attrs.field(default="x", converter=_loud)

        def __attrs_post_init__(self) -> None:
            if self.a == self.b == 5:
                raise ValueError("a and b must not both be 5")

    specs = {"encoder-foo": spec(Own)}
    first, second = place.problems("encoder.foo.a=10", "encoder.foo.b=0", specs=specs)
    assert first == "--set: encoder.foo.a: 'a' must be < 10: 10"
    assert second == "--set: encoder.foo.b: 'b' must be > 0: 0"
    assert place.problems("encoder.foo.a=5", "encoder.foo.b=5", specs=specs) == [
        "soma.toml: encoder.foo: a and b must not both be 5"
    ]
    resolved = gather(place.options("encoder.foo.c=loud")).resolve(specs, INSTALLED)
    assert resolved.of("encoder-foo", Own).c == "LOUD"


# Types ----------------------------------------------------------------------------------------------------------------

_values = st.one_of(
    st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(), st.none(), st.lists(st.integers())
)


@given(_values, st.sampled_from([bool, int, str]))
def test_a_type_takes_its_own_values_and_no_others(value: object, kind: type[object]) -> None:
    if type(value) is kind:
        assert convert(value, kind) is value
    else:
        with pytest.raises(ValueError, match=re.escape(f"is not a{'n' if kind is int else ''} {kind.__name__}")):
            convert(value, kind)


def test_composed_types() -> None:
    assert convert([1, 2], tuple[int, ...]) == (1, 2)
    assert convert([1, "a"], tuple[int, str]) == (1, "a")
    assert convert(["a", "a"], frozenset[str]) == {"a"}
    assert convert([[1], []], list[list[int]]) == [[1], []]
    assert convert({"a": 1}, dict[str, int]) == {"a": 1}
    assert convert(3, float) == 3.0
    assert convert(None, int | None) is None
    assert convert("x", int | str) == "x"
    assert convert("~/a", Path) == Path.home() / "a"
    with pytest.raises(ValueError, match=r"does not have 2 items"):
        convert([1], tuple[int, str])
    with pytest.raises(ValueError, match=r"1\.5 is none of an int, a str"):
        convert(1.5, int | str)
    assert plain((Path("a"), (1, 2))) == ["a", [1, 2]]


def test_instance_for_settings_given_in_code() -> None:
    assert instance(Foo, {"dim": 3}, "encoder.foo", "load()") == Foo(dim=3)
    with pytest.raises(ConfigError) as caught:
        instance(Foo, {"dimm": 3, "layers": "2"}, "encoder.foo", "load()")
    assert caught.value.problems == (
        "load(): encoder.foo.dimm: no such setting; did you mean dim?",
        "load(): encoder.foo.layers: '2' is not an int",
    )


def test_node_settings(place: Place) -> None:
    place.write('[node]\nopen_timeout = 5\npeers = ["k@a"]\nlog_level = "debug"\ngenesis = "g.json"\n')
    node = gather(place.options()).resolve().node
    assert node == NodeConfig(
        data_dir=place.path / "data", open_timeout=5, peers=("k@a",), log_level="debug", genesis=Path("g.json")
    )
    assert place.problems("node.open_timeout=0") == ["--set: node.open_timeout: 0 is outside 1..3600"]
