"""The chapter of the node and the code say the same."""

from constants import SPECS, constants

from soma_core.node import (
    _checker,
    _early,
    _evidence,
    _inbox,
    _lag,
    _shell,
    accusing,
    control,
    driver,
    mempool,
    space,
    store,
)


def test_constants_are_those_of_the_code() -> None:
    modules = (accusing, mempool, driver, store, control, space, _checker, _early, _evidence, _inbox, _lag, _shell)
    for name, value in constants("40-node.md").items():
        assert [getattr(module, name) for module in modules if hasattr(module, name)] == [value], name


def test_rules_are_numbered_without_gaps() -> None:
    text = (SPECS / "40-node.md").read_text("utf-8")
    found = [line.split("**")[1] for line in text.splitlines() if line.startswith("- **O")]
    assert found == [f"O{number}." for number in range(1, len(found) + 1)]
