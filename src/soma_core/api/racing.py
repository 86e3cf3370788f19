"""What programs ask a node about the race for targets, and have it do in it.

Records of `soma_core.api.control`'s operations. Money in shannons; losses, radii and distances Q16 (65536 is 1).
"""

from attrs import frozen

from soma_core.records import octets, text, uint

TARGETS_MOST = 256
"""Targets in one reply, and fewer where vectors are long: their points are its payload."""
HITS_MOST = 1_024
"""Hits in one reply."""


@frozen(kw_only=True)
class AskTargets:
    """The open targets from number `first` on."""

    first: int = uint(default=0)


@frozen(kw_only=True)
class OpenTarget:
    """A target that is sought: within `radius` of its point, at a loss of at most `loss`, by one of `encoders`.

    `cell`: the kind of data it lies among, or null. `submissions`: how many wait.
    """

    number: int = uint()
    radius: int = uint()
    loss: int = uint()
    reward: int = uint()
    cell: int | None
    submissions: int = uint()
    encoders: tuple[bytes, ...]


@frozen(kw_only=True)
class WeakSpot:
    """A kind of data, and what became of its targets: `hits` and `expired` in 1/256 of a target, fading."""

    cell: int = uint()
    jobs: int = uint()
    hits: int = uint()
    expired: int = uint()
    loss: int | None


@frozen(kw_only=True)
class Targets:
    """The race in `epoch`: `goal` hits are wanted of it, there were `hits`; `pool` is in escrow for more.

    `dimension`: of points, which are the payload, int16 little endian, one for each of `targets`. `most`: bytes of a
    submission. `next`: where to go on, or null. `weak`: where targets are seldom hit, the weakest first.
    """

    epoch: int = uint()
    dimension: int = uint()
    most: int = uint()
    pool: int = uint()
    radius: int = uint()
    reward: int = uint()
    goal: int = uint()
    hits: int = uint()
    targets: tuple[OpenTarget, ...]
    next: int | None
    weak: tuple[WeakSpot, ...]


@frozen(kw_only=True)
class Hit:
    """A target that was hit and is not yet paid. `state`: ``audited`` still, or ``claimable``. `claimable`: ms.

    `rivals`: submissions that were sealed before it and wait, in case it is found false.
    """

    number: int = uint()
    submitter: bytes = octets(32)
    encoder: bytes = octets(32)
    blob: bytes = octets(32)
    size: int = uint()
    loss: int = uint()
    distance: int = uint()
    reward: int = uint()
    bond: int = uint()
    claimable: int = uint()
    state: str = text()
    rivals: int = uint()


@frozen(kw_only=True)
class Waiting:
    """A submission of the node's account to a target that another one has hit: it may be next, if that hit is false.

    `state`: ``shown``, or ``sealed``: then it has to be shown by `deadline`, ms. `before`: how many wait before it.
    """

    number: int = uint()
    bond: int = uint()
    state: str = text()
    deadline: int = uint()
    before: int = uint()


@frozen(kw_only=True)
class Hits:
    """The first `HITS_MOST` hits that are not paid, by number, and submissions that wait for what becomes of a hit.

    `account`: the node's own. `time`: ms of the chain.
    """

    account: bytes = octets(32)
    time: int = uint()
    hits: tuple[Hit, ...]
    waiting: tuple[Waiting, ...]


@frozen(kw_only=True)
class AskScores:
    """What the node's encoders make of the data in the payload, or those that it borrows where it has none.

    With `target`: what every encoder makes of them that this target is assigned to, as far as it can be had.
    """

    target: int | None = None


@frozen(kw_only=True)
class Score:
    """What one encoder makes of the data in the payload."""

    encoder: bytes = octets(32)
    loss: int = uint()
    vector: bytes = octets(most=1 << 14)


@frozen
class Scores:
    """One for each encoder that was asked for and can be had."""

    scores: tuple[Score, ...]


@frozen(kw_only=True)
class Submit:
    """Have the data in the payload sealed and shown for a target. What `encoder` makes of them is the caller's word.

    A false one costs the bond.
    """

    target: int = uint()
    encoder: bytes = octets(32)
    loss: int = uint()
    vector: bytes = octets(most=1 << 14)


@frozen(kw_only=True)
class Submitted:
    """`outcome`: ``hit``; ``lost``: somebody else hit it or it expired, and the bond is back; ``refused``, and why.

    Or ``waiting``: somebody who sealed earlier has hit; if that is found false, this is next.
    """

    blob: bytes = octets(32)
    outcome: str = text()
    text: str = text(most=400)
