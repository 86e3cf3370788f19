"""Canaries: answers that are false on purpose, so that auditors who do not compute are found out.

An encoder seals a secret ahead. In about one job in `CANARY_ODDS`, which only the secret tells, it may answer falsely
and be excused: when the audit has found the answer false, it shows the secret. Who called the answer honest fails an
audit. Nobody else can tell such a job from another, and a liar is excused in one job of many. Rules AU17 to AU19 of
``specs/25-audits.md``.
"""

from collections.abc import Mapping
from typing import Final

from attrs import evolve, frozen

from soma_core import beacon
from soma_core.crypto import digest
from soma_core.records import octets, uint

from .accounts import pay
from .delivery import delivered, store
from .encoders import ENCODERS
from .execution import Execution, Handler, Refusal
from .pools import POOLS, add_to_pools
from .shards import Delivery
from .state import Table

CANARY_ODDS: Final = 64
"""One job in so many may be a canary."""


@frozen(kw_only=True)
class Canary:
    """A sealed secret. It counts for jobs that were drawn after `epoch`."""

    seal: bytes = octets(32)
    epoch: int = uint()


CANARIES: Final = Table("canary", 0x32, Canary)


def canary_seal(encoder: bytes, secret: bytes) -> bytes:
    """What an encoder publishes of its secret."""
    return digest("soma/canary", encoder, secret)


def may_lie(encoder: bytes, secret: bytes, job: bytes) -> bool:
    """Whether `job` is one in which the encoder with this secret is excused."""
    return beacon.uniform(digest("soma/canary", encoder, secret, job), 0, CANARY_ODDS) == 0


@frozen
class PlantCanaries:
    """Publish the seal of a secret, for jobs from the next epoch on. It replaces an earlier one."""

    seal: bytes = octets(32)


@frozen(kw_only=True)
class ConfessCanary:
    """Show that the sender's answer to `job`, which was found false, was a canary."""

    job: bytes = octets(32)
    secret: bytes = octets(32)


def _plant(run: Execution, sender: bytes, action: PlantCanaries) -> None:
    if run.state.get(ENCODERS, sender) is None:
        raise Refusal("encoder", "this account has no encoder")
    run.state.put(CANARIES, sender, Canary(seal=action.seal, epoch=run.epoch))


def _confess(run: Execution, sender: bytes, action: ConfessCanary) -> None:
    delivery, place = delivered(run, action.job, sender)
    canary = run.state.get(CANARIES, sender)
    if canary is None or canary.seal != canary_seal(sender, action.secret):
        raise Refusal("seal", "this is not the secret that was sealed")
    if delivery.job.epoch <= canary.epoch or not may_lie(sender, action.secret, action.job):
        raise Refusal("canary", "the secret does not excuse a false answer to this job")
    if delivery.verdicts[place] != "false":
        raise Refusal("verdict", f"the answer was found {delivery.verdicts[place]}, not false")
    if delivery.dispute is not None and delivery.dispute.place == place:
        raise Refusal("busy", "the committee looks at this answer; confess when it has decided")
    run.state.delete(CANARIES, sender)
    verdicts = (*delivery.verdicts[:place], "canary", *delivery.verdicts[place + 1 :])
    store(run, action.job, evolve(delivery, verdicts=verdicts))
    if any(opinion.place == place and opinion.word == "honest" for opinion in delivery.opinions):
        _reward(run, sender, delivery)


def _reward(run: Execution, sender: bytes, delivery: Delivery) -> None:
    """The treasury, which gets what the auditors forfeit, pays what the canary could have won."""
    amount = min(delivery.job.pot, run.state.need(POOLS).treasury)
    add_to_pools(run.state, treasury=-amount)
    pay(run.state, sender, amount)


ACTIONS: Final[Mapping[str, Handler]] = {
    "plant_canaries": Handler(PlantCanaries, _plant),
    "confess_canary": Handler(ConfessCanary, _confess),
}
