"""Lives of networks with targets, of which ``specs/vectors/targets.json`` keeps the commits and what they came to."""

from typing import Any

import replays
from committee_world import Committee
from race_world import (
    HUNTER,
    RIVAL,
    blob,
    claim,
    far,
    hit,
    hunting,
    judged,
    open_targets,
    parts,
    seal,
    show,
    turn,
)

from soma_core.chain import audits

Case = dict[str, Any]


def targets() -> list[Case]:
    """Rules Z."""
    return [replays.as_run(*story()) for story in _STORIES]


def _claimed() -> tuple[Committee, str, str]:
    world = hunting((2, 1))
    shown = hit(world)
    judged(world, 0, shown["loss"], shown["vector"])
    world.step(claim(world, RIVAL, 0))
    world.step(claim(world, RIVAL, 0), after=5_000)
    turn(world)
    return world, "a target is opened, hit, audited and claimed; the next epoch", "Z7 to Z12, Z16, Z19, Z21"


def _refused() -> tuple[Committee, str, str]:
    world = hunting()
    target = open_targets(world)[0]
    for number, changes in enumerate(
        ({"vector": far(target)}, {"loss": target.loss + 1}, {"encoder": bytes(32)}, {"vector": b""}), 4
    ):
        shown = parts(world, 0, **changes)
        world.step(seal(world, number, shown))
        world.step(show(world, number, shown))
    shown = parts(world, 1)
    world.step(show(world, HUNTER, shown))
    world.step(seal(world, HUNTER, shown), seal(world, HUNTER, shown), seal(world, RIVAL, shown, size=(1 << 20) + 1))
    world.step(show(world, HUNTER, {**shown, "blob": blob(1)}))
    world.step(show(world, HUNTER, shown), after=30_001)
    return world, "submissions that are refused, and one that is late", "Z14 to Z17"


def _first_sealed() -> tuple[Committee, str, str]:
    world = hunting()
    shown = parts(world, 0)
    world.step(seal(world, HUNTER, shown), seal(world, RIVAL, shown))
    world.step(show(world, RIVAL, shown))
    world.step(show(world, HUNTER, shown))
    again = parts(world, 1)
    world.step(seal(world, RIVAL, again))
    world.step(show(world, RIVAL, again))
    return world, "who sealed first hits; a blob hits once", "Z6, Z10, Z17, Z18"


def _withheld() -> tuple[Committee, str, str]:
    world = hunting(epoch_ms=10_000)
    shown = parts(world, 0)
    world.step(seal(world, RIVAL, parts(world, 0, blob=blob(1))), seal(world, HUNTER, shown))
    world.step(show(world, HUNTER, shown))
    turn(world)
    world.step(after=30_000)
    return world, "who seals and does not show pays; a target that outlives its epoch", "Z9, Z17"


def _not_confirmed() -> tuple[Committee, str, str]:
    world = hunting((1, 1, 1))
    for target, vectors in ((0, (far(open_targets(world)[0]),)), (1, (b"", b""))):
        hit(world, target=target, blob=blob(target))
        for vector in vectors:  # what is missing the whole committee looks for, too
            judged(world, target, 1 << 16, vector)
    return world, "hits that audits find false, and whose data are missing", "Z19, Z20"


def _next() -> tuple[Committee, str, str]:
    world = hunting((1, 1, 1))
    shown = [parts(world, 0, blob=blob(number)) for number in range(3)]
    sealed = list(zip((HUNTER, 5, RIVAL), shown, strict=True))
    world.step(*(seal(world, number, one) for number, one in sealed))
    world.step(*(show(world, number, one) for number, one in sealed if number != 5))
    world.step(show(world, 5, shown[1]))
    for vector in (far(open_targets(world)[1]), shown[2]["vector"]):
        judged(world, 0, 1 << 16, vector)
        world.step()
    world.step(claim(world, RIVAL, 0), after=9_000)
    turn(world)
    return world, "a made-up hit is found false, and the next one is paid", "Z17, Z18, Z20"


def _held() -> tuple[Committee, str, str]:
    world = hunting()
    shown = [parts(world, target, blob=blob(0)) for target in (1, 0)]
    world.step(seal(world, RIVAL, shown[0]), seal(world, HUNTER, shown[1]), seal(world, 5, parts(world, 0)))
    world.step(show(world, HUNTER, shown[1]))
    world.step(show(world, RIVAL, shown[0]))
    world.step(after=30_001)
    judged(world, 0, 1 << 16, far(open_targets(world)[1]))
    world.step()
    return world, "the blob of a hit that is found false is free for who sealed it earlier", "Z6, Z16, Z17, Z20"


def _not_lowest() -> tuple[Committee, str, str]:
    world = hunting((1, 1, 1), target_encoders=3)
    lower = audits.Result(loss=1 << 15, vector=far(open_targets(world)[1]))
    for target, other in enumerate((lower, audits.Result(loss=0, vector=b""))):
        shown = hit(world, target=target, blob=blob(target))
        judged(world, target, shown["loss"], shown["vector"], other)
    return world, "a hit of an encoder that is not the best, and one beside weights that are missing", "Z19, Z20"


_STORIES = (_claimed, _refused, _first_sealed, _withheld, _not_confirmed, _next, _held, _not_lowest)
