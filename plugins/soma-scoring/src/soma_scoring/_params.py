"""The constants of the rules. Genesis may give others; they are part of the protocol digest."""

from attrs import frozen

from soma_core.api import option

_WHOLE = 1 << 31
_PARTS = 10_000
_Q16_BITS = 64 << 16


@frozen(kw_only=True)
class ShardParams:
    """Every constant of the shard rule, an integer each. Q16: 65536 is 1. The defaults are the measured ones."""

    clone_distance: int = option(1_311, "members this near in cosine distance are one group, Q16", min=0, max=1 << 17)

    outlier_groups: int = option(5, "groups from which on outliers are looked for", min=1, max=1 << 16)
    outlier_divisor: int = option(3, "at most (groups - 1) // this members are outliers", min=1, max=1 << 16)
    outlier_halves: int = option(7, "deviations above the median that make an outlier, in halves", min=0, max=1 << 16)
    outlier_deviation: int = option(
        97_164, "standard deviations in a median absolute deviation, Q16", min=0, max=_WHOLE
    )
    outlier_floor: int = option(6_554, "least deviation that counts, Q16 of cosine distance", min=0, max=1 << 17)

    gate_members: int = option(3, "members from which on the gate is scored", min=2, max=1 << 16)
    gate_slope: int = option(945_485, "bits in a cosine of 1, by temperature 1/10, Q16", min=0, max=_WHOLE)
    gate_depth: int = option(1 << 16, "a score is at least minus this, Q16 bits", min=0, max=_Q16_BITS)
    gate_height: int = option(3 << 16, "a score is at most this, Q16 bits", min=0, max=_Q16_BITS)
    gate_shift: int = option(5, "a score moves the gate by 2^-this of the difference", min=0, max=30)
    gate_open: int = option(1 << 16, "weights are open from this state on, Q16 bits", min=0, max=_Q16_BITS)

    loss_most: int = option(16 << 16, "greatest loss that is an answer, Q16 bits per byte", min=0, max=_Q16_BITS)
    loss_steepness: int = option(2, "weight is 2^-(this times the loss difference in bits)", min=0, max=64)
    weight_judged: int = option(2, "weight of a member with a loss", min=0, max=1 << 10)
    weight_opaque: int = option(1, "weight of an opaque member", min=0, max=1 << 10)
    weight_open: int = option(4, "factor of an open member's weight", min=0, max=1 << 10)
    weight_closed: int = option(1, "factor of a closed member's weight", min=0, max=1 << 10)
    cap: int = option(1 << 15, "greatest weight of one member, Q16", min=0, max=1 << 16)
    cap_members: int = option(3, "members from which on the greatest weight is capped", min=2, max=1 << 16)
    joined_norm: int = option(1 << 13, "least norm of the weighted sum, Q16 of a vector's", min=0, max=1 << 16)

    winner_band: int = option(
        1_311, "losses this near to the lowest are level, Q16 bits per byte", min=0, max=_Q16_BITS
    )
    weakest_margin: int = option(6_554, "how much worse than the next the weakest is, Q16 bits", min=0, max=_Q16_BITS)
    weakest_members: int = option(3, "judged members from which on there is a weakest", min=2, max=1 << 16)
    fine_pot: int = option(10, "a fine is at most the pot divided by this", min=1, max=1 << 30)
    fine_stake: int = option(1_000, "a fine is at most the member's stake divided by this", min=1, max=1 << 30)
    slash_stake: int = option(10, "proven false: the stake divided by this, for a first offence", min=1, max=1 << 30)


@frozen(kw_only=True)
class Params(ShardParams):
    """The shard rule's constants, and those of what ``scoring-soma`` adds to it."""

    outlier_fine: int = option(1_000, "an outlier is fined its stake divided by this, at once", min=1, max=1 << 30)

    hit_loss: int = option(491_520, "greatest loss of a hit, Q16 bits per byte", min=0, max=_Q16_BITS)
    bond_byte: int = option(65, "bond for each byte of a submission, shannons", min=0, max=_WHOLE)
    start_deviations: int = option(202_506, "the first radius is 1 less this, Q16 of 1/√D", min=0, max=_Q16_BITS)
    hits_kept: int = option(9_000, "of the average of hits an epoch keeps this, in 10,000", min=0, max=_PARTS)
    step_rate: int = option(10_000, "a step is this much of the radius's distance to 1, in 10,000", min=0, max=_PARTS)
    step_least: int = option(2 << 16, "a step is at least this, Q16 of 1/√D", min=1, max=_Q16_BITS)
    radius_least: int = option(655, "the radius is at least this, Q16 of cosine distance", min=0, max=1 << 16)
    radius_most: int = option(1 << 17, "the radius is at most this, Q16 of cosine distance", min=1 << 16, max=1 << 17)


@frozen(kw_only=True)
class BalancedParams(ShardParams):
    """The shard rule's constants, and those of the target rule of ``scoring-balanced``."""

    hit_loss: int = option(491_520, "greatest loss of a hit, Q16 bits per byte", min=0, max=_Q16_BITS)
    bond_byte: int = option(65, "bond for each byte of a submission, shannons", min=0, max=_WHOLE)
    bond_reward: int = option(1_000, "a bond is at least this much of the reward, in 10,000", min=0, max=1 << 20)
    manifold_share: int = option(8_000, "points that follow the observed vectors, in 10,000", min=0, max=_PARTS)
    manifold_least: int = option(64, "observed vectors from which on points follow them", min=1, max=1 << 16)
    tilt: int = option(141_826, "bits of weight in one deviation of closeness, 1.5·log2 e, Q16", min=0, max=_Q16_BITS)
    tilt_most: int = option(3 << 16, "closeness counts to this many deviations, Q16", min=0, max=8 << 16)
    work_weight: int = option(1 << 15, "of an epoch's surprise in bits, what moves the work, Q16", min=0, max=1 << 16)
    work_step: int = option(2 << 16, "the work moves by at most this in an epoch, Q16 bits", min=1, max=_Q16_BITS)
    cell_neighbours: int = option(64, "observed vectors nearest to a point that make its cell", min=1, max=1 << 16)
    ceiling_part: int = option(
        7_500, "the loss that this many of a cell keep, in 10,000, is its ceiling", min=0, max=_PARTS
    )
