"""Four validators as processes over libp2p: they order together, bear the death of one, and go on after that of two."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kill_world import Member, founded, until
from running_node import RunningNode

from soma_core.api import control
from soma_core.cli._network import Plan

PLAN = Plan(encoder="encoder-numpy", encoders=("text",))
LIMIT = 60.0


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Member]]:
    members = founded(tmp_path_factory.mktemp("four") / "net", PLAN)
    try:
        for member in members:
            member.start()
        for member in members:
            member.up()
        yield members
        assert [member.stop() for member in reversed(members)] == [0] * 5
    finally:
        for member in members:
            member.end()
    assert [text for member in members for text in member.tracebacks()] == []


def statuses(members: list[Member]) -> list[control.Status]:
    found = [member.status() for member in members]
    return [status for status in found if status is not None]


def reach(members: list[Member], holds: Callable[[list[control.Status]], bool]) -> None:
    """Wait until all of `members` answer and `holds`."""
    seen: list[list[control.Status]] = []

    def look() -> bool:
        seen.append(statuses(members))
        return len(seen[-1]) == len(members) and holds(seen[-1])

    if not until(look, LIMIT, 0.2):
        raise AssertionError([(status.epoch, status.index) for status in seen[-1]])


def beyond(members: list[Member], index: int) -> None:
    reach(members, lambda found: all(status.index > index for status in found))


def top(members: list[Member]) -> int:
    return max(status.index for status in statuses(members))


def embed(member: Member, text: str, directory: Path) -> None:
    file = directory / f"{text}.txt"
    file.write_text(text * 40)
    said = RunningNode(member.directory).soma("embed", file)
    assert "winner" in said
    receipt = next((member.directory / "receipts").glob("*.receipt"))
    RunningNode(member.directory).soma("verify", receipt)


def test_four_order_together_and_any_of_them_embeds(network: list[Member], tmp_path: Path) -> None:
    *validators, encoder = network
    beyond(network, 2)
    assert all(status.validators == 4 for status in statuses(network))
    for member, text in ((validators[3], "owls"), (encoder, "mice")):
        embed(member, text, tmp_path)
    states: dict[int, set[bytes]] = {}
    for _ in range(20):
        for status in statuses(network):
            states.setdefault(status.index, set()).add(status.state)
    assert len(states) > 1
    assert all(len(alike) == 1 for alike in states.values())


def test_three_go_on_without_one_that_was_killed_and_it_comes_back_epochs_later(
    network: list[Member], tmp_path: Path
) -> None:
    *validators, _encoder = network
    victim, others = validators[0], validators[1:]
    epoch = statuses(others)[0].epoch
    victim.kill(next(seen for seen in victim.family() if seen.kind == "node"))
    embed(others[0], "cats", tmp_path)
    reach(others, lambda found: all(status.epoch > epoch + 1 for status in found))
    victim.start_again()
    victim.up()
    beyond(validators, top(others))
    embed(victim, "dogs", tmp_path)


def test_two_alone_order_nothing_and_all_four_go_on(network: list[Member]) -> None:
    *validators, _encoder = network
    gone, left = validators[1:3], [validators[0], validators[3]]
    for member in gone:
        member.kill(next(seen for seen in member.family() if seen.kind == "node"))
    until(lambda: False, 1.5)  # what the dead had said by then
    index = top(left)
    until(lambda: False, 3)
    assert top(left) == index
    for member in gone:
        member.start_again()
    for member in gone:
        member.up()
    beyond(validators, index + 2)


def test_a_restored_validator_takes_part_again(network: list[Member], tmp_path: Path) -> None:
    *validators, _encoder = network
    victim, others = validators[3], validators[:3]
    RunningNode(victim.directory).soma("backup", tmp_path / "early.backup", "--keys")
    beyond(validators, top(others) + 2)  # what it signs now, its backup does not know
    victim.kill(next(seen for seen in victim.family() if seen.kind == "node"))
    lost = victim.directory.rename(tmp_path / "lost")
    RunningNode(victim.directory).soma("restore", tmp_path / "early.backup")
    shutil.copy(lost / "keys" / "passphrase", victim.directory / "keys" / "passphrase")
    shutil.copy(lost / "soma.toml", victim.directory / "soma.toml")
    victim.start_again()
    victim.up()
    beyond(validators, top(others) + 2)
    assert "asking peers for what came after it" in victim.log.read_text("utf-8")
    gone = others[0]  # the other three are a quorum: the restored one among them
    gone.kill(next(seen for seen in gone.family() if seen.kind == "node"))
    left = [validators[1], validators[2], victim]
    beyond(left, top(left) + 3)
    gone.start_again()
    gone.up()
    beyond(validators, top(left))
