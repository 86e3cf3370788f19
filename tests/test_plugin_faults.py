"""Every line of plugin-surface section 4: one fault each, one right line each. See specs/60-plugins.md."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_distributions import GOOD_ENCODER, forget, install

from soma_core.api.spec import API_CURRENT, SPECS
from soma_core.errors import PluginError
from soma_core.plugins import (
    DEFAULT_PROFILE,
    KINDS,
    REFERENCE,
    Plugin,
    Plugins,
    open_failed,
    open_hangs,
    scan,
    worker_ended,
)
from soma_core.plugins._select import complete


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path in which nothing but its own distributions provides plugins."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    forget(tmp_path)


@pytest.fixture
def fault(world: Path) -> Callable[..., str]:
    """The line that loading the named plugins ends with."""

    def run(*names: str) -> str:
        plugins = Plugins(plugin for plugin in scan() if _is_ours(plugin))
        with pytest.raises(PluginError) as caught:
            for plugin in [plugins.find(name) for name in names]:
                plugins.load(plugin)
        assert caught.value.exit_code == 3
        line = str(caught.value)
        assert "\n" not in line
        return line

    return run


def _is_ours(plugin: Plugin) -> bool:
    return not plugin.distribution.startswith("soma-") or plugin.version == "0.3"


def encoder(world: Path, source: str, *, requires: tuple[str, ...] = ("soma-core>=0.1",)) -> None:
    install(
        world, "soma-encoder-foo", {"encoder-foo": "soma_encoder_foo"}, {"soma_encoder_foo": source}, requires=requires
    )


HEAD = "encoder-foo (soma-encoder-foo 0.3): "


# Metadata only --------------------------------------------------------------------------------------------------------


def test_missing_suggests_the_nearest_name(fault: Callable[..., str]) -> None:
    assert fault("encoder-jaxx") == "encoder-jaxx: no such plugin; did you mean encoder-jax?"
    assert fault("quux") == "quux: no such plugin; `soma plugins` lists what is installed"


@pytest.mark.parametrize(("name", "distribution"), sorted(REFERENCE.items()))
def test_missing_reference_plugin_says_what_to_install(name: str, distribution: str) -> None:
    with pytest.raises(PluginError) as caught:
        Plugins(()).find(name)
    assert str(caught.value) == f"{name}: not installed; python3 -m pip install {distribution}"


def test_duplicate_names_both_and_a_qualified_name_chooses(world: Path, fault: Callable[..., str]) -> None:
    install(world, "foo-tools", {"encoder-foo": "foo_tools"}, {"foo_tools": GOOD_ENCODER})
    encoder(world, GOOD_ENCODER)
    assert fault("encoder-foo") == (
        "encoder-foo: provided by foo-tools 0.3 and soma-encoder-foo 0.3; "
        "uninstall one, or name it foo-tools:encoder-foo"
    )
    plugins = Plugins()
    assert plugins.find("foo-tools:encoder-foo").module == "foo_tools"
    assert plugins.find("Foo_Tools:encoder-foo").name == "encoder-foo"
    assert fault("bar:encoder-foo") == "bar:encoder-foo: bar provides no encoder-foo; name it foo-tools:encoder-foo"


def test_one_distribution_that_names_it_twice(fault: Callable[..., str]) -> None:
    twice = [Plugin("encoder-foo", module, "foo-tools", "0.3", "soma-core") for module in ("a", "b")]
    with pytest.raises(PluginError, match=r"^encoder-foo: provided more than once by foo-tools 0\.3; report"):
        Plugins(twice).find("encoder-foo")


@pytest.mark.parametrize("name", ["foo", "encoder-", "Encoder-foo", "encoder-foo_bar", "encoder--foo", "oracle-foo"])
def test_grammar(world: Path, fault: Callable[..., str], name: str) -> None:
    install(world, "foo-tools", {name: "foo_tools"})
    expected = f"the name is not <kind>-<short>; kinds are {', '.join(SPECS)}"
    assert fault(name) == f"{name} (foo-tools 0.3): {expected}"


def test_an_entry_point_names_a_module(world: Path, fault: Callable[..., str]) -> None:
    install(world, "foo-tools", {"encoder-foo": "foo_tools:soma_encoder"})
    assert fault("encoder-foo") == (
        "encoder-foo (foo-tools 0.3): the entry point names 'foo_tools:soma_encoder', which is not a module; "
        "name the module alone, without an object"
    )


@pytest.mark.parametrize("requires", [(), ("numpy",), ("soma-core-tools",), ('soma-core>=0.1; extra == "soma"',)])
def test_no_core(world: Path, fault: Callable[..., str], requires: tuple[str, ...]) -> None:
    encoder(world, GOOD_ENCODER, requires=requires)
    assert fault("encoder-foo") == (
        HEAD + 'the distribution does not require soma-core; add dependencies = ["soma-core"] to its pyproject.toml'
    )


@pytest.mark.parametrize(
    "requirement", ["soma-core", "Soma_Core >=0.1", "soma.core[all]>=0.1", "soma-core; python_version>'3'"]
)
def test_the_core_is_found_however_it_is_written(world: Path, requirement: str) -> None:
    encoder(world, GOOD_ENCODER, requires=(requirement,))
    assert Plugins().find("encoder-foo").requires.lower()[:4] == "soma"


def test_exclusive() -> None:
    installed = [Plugin(f"consensus-{short}", short, f"soma-{short}", "1", "soma-core") for short in ("solo", "dag")]
    with pytest.raises(PluginError) as caught:
        Plugins([*installed, *_fillers()]).select(["consensus-solo", "consensus-dag"])
    assert str(caught.value) == (
        "consensus-dag (soma-dag 1) and consensus-solo (soma-solo 1): a node has one consensus; name one"
    )


@pytest.mark.parametrize("broken", [b"[soma.plugins]\nwithout a value\n", b"[soma.plugins]\n\xff = x\n", b"\x00"])
def test_a_distribution_with_unreadable_entry_points_hides_no_other(world: Path, broken: bytes) -> None:
    install(world, "broken", {"encoder-broken": "broken"})
    (world / "broken-0.3.dist-info" / "entry_points.txt").write_bytes(broken)
    encoder(world, GOOD_ENCODER)
    assert "encoder-broken" not in [plugin.name for plugin in scan()]
    assert Plugins().spec("encoder", "encoder-foo").api == 1


def test_a_distribution_with_unreadable_metadata_is_listed_and_said(world: Path, fault: Callable[..., str]) -> None:
    encoder(world, GOOD_ENCODER)
    install(world, "broken", {"encoder-broken": "broken"})
    (world / "broken-0.3.dist-info" / "METADATA").write_bytes(b"Name: \xff\xfe\n")
    assert "encoder-foo" in [plugin.name for plugin in scan()]
    assert fault("encoder-broken").startswith("encoder-broken (unknown 0): the distribution does not require soma-core")


def test_metadata_faults_come_before_any_import(world: Path) -> None:
    encoder(world, "raise AssertionError('imported')")
    plugins = Plugins()
    with pytest.raises(PluginError, match=r"^encoder-torchh: no such plugin"):
        plugins.select(["encoder-foo", "encoder-torchh"])
    assert "soma_encoder_foo" not in sys.modules


# After importing ------------------------------------------------------------------------------------------------------


def test_import_of_a_missing_module(world: Path, fault: Callable[..., str]) -> None:
    encoder(world, "import torhc")
    assert fault("encoder-foo") == (
        HEAD + "import of soma_encoder_foo failed: ModuleNotFoundError: No module named 'torhc'; "
        "reinstall soma-encoder-foo with its dependencies, or report it"
    )


def test_import_that_raises(world: Path, fault: Callable[..., str]) -> None:
    encoder(world, "raise RuntimeError('CUDA\\n not found')")
    assert fault("encoder-foo") == (
        HEAD + "import of soma_encoder_foo failed: RuntimeError: CUDA not found; "
        "`soma plugins check encoder-foo` shows the traceback"
    )


def test_import_that_exits_does_not_end_the_program(world: Path, fault: Callable[..., str]) -> None:
    encoder(world, "import sys; sys.exit(7)")
    assert "import of soma_encoder_foo failed: SystemExit: 7;" in fault("encoder-foo")


def test_import_whose_error_cannot_be_shown(world: Path, fault: Callable[..., str]) -> None:
    encoder(world, "class E(Exception):\n    def __str__(self): raise ValueError\nraise E")
    assert "import of soma_encoder_foo failed: E;" in fault("encoder-foo")


def test_import_of_a_newer_api(world: Path, fault: Callable[..., str]) -> None:
    encoder(world, "from soma_core.api import Gradient", requires=("soma-core>=0.9", "numpy"))
    assert fault("encoder-foo") == (
        HEAD + "import of soma_encoder_foo failed: ImportError: cannot import name 'Gradient' from 'soma_core.api', "
        "it requires 'soma-core>=0.9' and this is 0.1.0; python3 -m pip install --upgrade soma-core soma-encoder-foo"
    )


def test_no_hook(world: Path, fault: Callable[..., str]) -> None:
    encoder(world, "x = 1")
    assert fault("encoder-foo") == HEAD + "soma_encoder_foo has no soma_encoder; write it under @hookimpl"


def test_unmarked(world: Path, fault: Callable[..., str]) -> None:
    encoder(world, GOOD_ENCODER.replace("@hookimpl", ""))
    assert fault("encoder-foo") == HEAD + "soma_encoder is not marked; write @hookimpl above it"


def test_unmarked_doctor_beside_a_good_hook(world: Path, fault: Callable[..., str]) -> None:
    encoder(world, GOOD_ENCODER + "\n    def soma_doctor(name, config):\n        return []\n")
    assert fault("encoder-foo") == HEAD + "soma_doctor is not marked; write @hookimpl above it"


@pytest.mark.parametrize("mark", ["@hookimpl", ""])
def test_misspelled(world: Path, fault: Callable[..., str], mark: str) -> None:
    encoder(world, GOOD_ENCODER.replace("@hookimpl", mark).replace("soma_encoder()", "soma_encodr()"))
    assert fault("encoder-foo") == HEAD + "there is no hook soma_encodr; did you mean soma_encoder?"


def test_misspelled_beside_a_good_hook(world: Path, fault: Callable[..., str]) -> None:
    encoder(world, GOOD_ENCODER + "\n    @hookimpl\n    def soma_docter(name, config):\n        return []\n")
    assert fault("encoder-foo") == HEAD + "there is no hook soma_docter; did you mean soma_doctor?"


def test_async_hook(world: Path, fault: Callable[..., str]) -> None:
    encoder(world, GOOD_ENCODER.replace("def soma_encoder", "async def soma_encoder"))
    assert fault("encoder-foo") == (
        HEAD + "soma_encoder is async, hooks are plain functions; await inside what `open` returns"
    )


def test_wrong_kind(world: Path, fault: Callable[..., str]) -> None:
    encoder(world, GOOD_ENCODER.replace("def soma_encoder()", "def soma_ledger()"))
    assert fault("encoder-foo") == (
        HEAD + "soma_encoder_foo does not implement soma_encoder (it implements soma_ledger); "
        "the name's kind and the hook must agree"
    )


def test_same_kind_twice(world: Path, fault: Callable[..., str]) -> None:
    install(world, "two", {"encoder-a": "soma_two", "encoder-b": "soma_two"}, {"soma_two": GOOD_ENCODER})
    expected = "encoder-b (two 0.3): soma_two is also encoder-a; give each encoder a module of its own"
    assert fault("encoder-a", "encoder-b") == expected
    assert fault("encoder-b") == expected


def test_wrong_argument(world: Path, fault: Callable[..., str]) -> None:
    encoder(world, GOOD_ENCODER.replace("soma_encoder()", "soma_encoder(config)"))
    assert fault("encoder-foo") == (
        HEAD + "hook soma_encoder takes no argument 'config'; see soma_core/hookspecs.py for what it may take"
    )


def test_hook_raises(world: Path, fault: Callable[..., str]) -> None:
    encoder(world, GOOD_ENCODER.replace("api=1", "api=1, features={'los'}"))
    assert fault("encoder-foo") == (
        HEAD + "soma_encoder() raised ValueError: unknown feature 'los', did you mean 'loss'?; "
        "report it to the author of soma-encoder-foo"
    )


def test_wrong_return(world: Path, fault: Callable[..., str]) -> None:
    encoder(world, GOOD_ENCODER.replace("return EncoderSpec(", "EncoderSpec("))
    assert fault("encoder-foo") == HEAD + "soma_encoder() returned NoneType, not EncoderSpec; is `return` missing?"


def test_wrong_return_of_something_else(world: Path, fault: Callable[..., str]) -> None:
    encoder(world, GOOD_ENCODER.replace("return EncoderSpec(", "return dict("))
    assert fault("encoder-foo") == HEAD + "soma_encoder() returned dict, not EncoderSpec; return an EncoderSpec"


def test_a_hook_that_yields(world: Path, fault: Callable[..., str]) -> None:
    encoder(world, GOOD_ENCODER.replace("return EncoderSpec(", "yield EncoderSpec("))
    assert fault("encoder-foo") == HEAD + "soma_encoder() returned generator, not EncoderSpec; is `return` missing?"


@pytest.mark.parametrize(
    ("api", "upgrade"), [(API_CURRENT + 1, "soma-core"), (0, "soma-encoder-foo"), ("'1'", "soma-core")]
)
def test_api_outside_the_window(world: Path, fault: Callable[..., str], api: object, upgrade: str) -> None:
    encoder(world, GOOD_ENCODER.replace("api=1", f"api={api}"))
    shown = str(api).strip("'")
    assert fault("encoder-foo") == (
        HEAD + f"speaks plugin API {shown}, this soma-core speaks 1; python3 -m pip install --upgrade {upgrade}"
    )


def test_api_window_of_two(world: Path, fault: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soma_core.plugins._load.API_FLOOR", 2)
    monkeypatch.setattr("soma_core.plugins._load.API_CURRENT", 3)
    encoder(world, GOOD_ENCODER.replace("api=1", "api=4"))
    assert fault("encoder-foo") == (
        HEAD + "speaks plugin API 4, this soma-core speaks 2 and 3; python3 -m pip install --upgrade soma-core"
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("config=Config", "config=dict", "config is <class 'dict'>, not an attrs class; write @frozen"),
        ("config=Config", "config=Config()", "not an attrs class; write @frozen"),
        ("open=open_encoder", "open='engine:open'", "open is 'engine:open', not a function; give the function itself"),
        ("    def open_encoder", "    async def open_encoder", "open is async, it is a plain function; await inside"),
    ],
)
def test_a_spec_that_cannot_be_opened(world: Path, fault: Callable[..., str], old: str, new: str, said: str) -> None:
    encoder(world, GOOD_ENCODER.replace(old, new))
    assert said in fault("encoder-foo")


def test_open_raises_says_where(world: Path) -> None:
    encoder(world, GOOD_ENCODER)
    plugins = Plugins()
    plugin = plugins.find("encoder-foo")
    spec = plugins.spec("encoder", "encoder-foo")
    with pytest.raises(OSError) as caught:
        spec.open(spec.config(), None)  # type: ignore[arg-type]  # this one looks at neither
    line = 1 + (world / "soma_encoder_foo.py").read_text("utf-8").split("\n").index(
        '    raise OSError("weights.safetensors not found")'
    )
    assert str(open_failed(plugin, caught.value)) == (
        HEAD + f"open raised OSError: weights.safetensors not found (soma_encoder_foo.py:{line}); "
        "`soma plugins check encoder-foo` shows the traceback"
    )


def test_open_hangs_and_worker_ends() -> None:
    plugin = Plugin("encoder-foo", "m", "soma-encoder-foo", "0.3", "soma-core")
    assert str(open_hangs(plugin, 30)) == (
        HEAD + "not open after 30 s; raise [node] open_timeout, or run `soma plugins check encoder-foo`"
    )
    assert str(worker_ended(plugin, -9)) == HEAD + "the worker ended with status -9; see the log above"


# What holds when nothing is wrong -------------------------------------------------------------------------------------


def test_scanning_and_selecting_import_nothing(world: Path) -> None:
    encoder(world, "raise AssertionError('imported')")
    assert "encoder-foo" in [plugin.name for plugin in scan()]
    plugins = Plugins([*(plugin for plugin in scan() if plugin.name == "encoder-foo"), *_fillers()])
    chosen = plugins.select(["encoder-foo"], "--plugin")
    assert [plugin.name for plugin in chosen.plugins] == ["encoder-foo", "transport-libp2p", "ledger-sqlite"]
    assert chosen.origin == "--plugin"
    assert chosen.of("consensus") == ()
    assert chosen.has("encoder-foo")
    assert not chosen.has("consensus-solo")


def test_what_is_named_and_what_the_default_profile_adds() -> None:
    assert complete(()) == DEFAULT_PROFILE
    assert complete(["consensus-dag", "consensus-dag"]) == ("consensus-dag", "transport-libp2p", "ledger-sqlite")
    assert complete(["x:transport-memory"]) == ("x:transport-memory", "ledger-sqlite")
    assert complete(["encoder-a", "ledger-memory", "transport-memory"]) == (
        "encoder-a",
        "ledger-memory",
        "transport-memory",
    )


def test_one_module_may_serve_several_kinds_and_is_called_alone(world: Path) -> None:
    ledger = GOOD_ENCODER.replace("soma_encoder()", "soma_ledger()").replace("EncoderSpec", "LedgerSpec")
    ledger = ledger.replace("EncoderContext, ", "").replace("class Config", "class LedgerConfig")
    ledger = ledger.replace("config=Config", "config=LedgerConfig").replace("[Config]", "[LedgerConfig]")
    both = {"soma_both": GOOD_ENCODER + ledger}
    install(world, "both", {"encoder-both": "soma_both", "ledger-both": "soma_both"}, both)
    encoder(world, GOOD_ENCODER + "\n    CALLS = []\n")
    plugins = Plugins()
    first = plugins.spec("encoder", "encoder-both")
    assert plugins.spec("encoder", "encoder-both") is first, "a hook is called once"
    assert plugins.spec("ledger", "ledger-both").config.__name__ == "LedgerConfig"
    assert plugins.spec("encoder", "encoder-foo").config is not first.config
    with pytest.raises(PluginError, match=r"^ledger-both \(both 0\.3\): this is not a plugin of kind encoder"):
        plugins.spec("encoder", "ledger-both")


def test_a_raising_neighbour_is_not_called(world: Path) -> None:
    install(world, "bad", {"encoder-bad": "soma_bad"}, {"soma_bad": GOOD_ENCODER.replace("return", "1 / 0; return")})
    encoder(world, GOOD_ENCODER)
    plugins = Plugins()
    with pytest.raises(PluginError, match=r"^encoder-bad \(bad 0\.3\): soma_encoder\(\) raised ZeroDivisionError"):
        plugins.spec("encoder", "encoder-bad")
    assert plugins.spec("encoder", "encoder-foo").api == 1


def test_doctor_and_vectors_are_optional(world: Path) -> None:
    encoder(world, GOOD_ENCODER)
    more = """
    from soma_core.api import Finding

    @hookimpl
    def soma_doctor(name, config):
        yield Finding("ok", name, str(config.dim))

    def conformance_vectors(file):
        return [file]
    """
    install(world, "well", {"encoder-well": "soma_well"}, {"soma_well": GOOD_ENCODER + more})
    plugins = Plugins()
    plain, well = plugins.find("encoder-foo"), plugins.find("encoder-well")
    config = plugins.load(plain).config()
    assert plugins.findings(plain, config) == ()
    assert plugins.vectors(plain) is None
    assert [(f.what, f.detail) for f in plugins.findings(well, plugins.load(well).config())] == [
        ("encoder-well", "128")
    ]
    vectors = plugins.vectors(well)
    assert vectors is not None
    assert list(vectors(Path("x"))) == [Path("x")]


def test_doctor_that_raises_is_named(world: Path) -> None:
    more = "\n    @hookimpl\n    def soma_doctor(config):\n        raise KeyError('dim')\n"
    encoder(world, GOOD_ENCODER + more)
    plugins = Plugins()
    plugin = plugins.find("encoder-foo")
    with pytest.raises(PluginError, match=r"soma_doctor\(\) raised KeyError: 'dim'; report it to the author"):
        plugins.findings(plugin, plugins.load(plugin).config())


def test_tracing_shows_calls(world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SOMA_TRACE_PLUGINS", "1")
    encoder(world, GOOD_ENCODER)
    Plugins().spec("encoder", "encoder-foo")
    assert "soma_encoder" in capsys.readouterr().err


def test_kinds_are_those_of_the_api() -> None:
    from soma_core import hookspecs

    assert tuple(SPECS) != ()
    assert set(KINDS) == set(SPECS)
    hooks = {name for name in vars(hookspecs) if name.startswith("soma_")}
    assert hooks == {f"soma_{kind}" for kind in KINDS} | {"soma_doctor"}


def _fillers() -> list[Plugin]:
    return [
        Plugin(name, name.replace("-", "_"), REFERENCE[name], "0.1.0", "soma-core")
        for name in ("transport-libp2p", "ledger-sqlite")
    ]
