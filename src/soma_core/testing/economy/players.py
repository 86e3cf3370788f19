"""The players: honest encoders and hunters, and everybody whom the rules have to withstand."""

from collections.abc import Sequence
from typing import Final

from soma_core.genesis import SHANNONS

from .answers import Cached, Colluder, Copying, Lazy, Liar, Withholder
from .cast import Seat
from .data import KINDS, Source
from .models import Constant, Perturbed, generalist, specialist
from .race import Hunter

STAKE: Final = 1_000 * SHANNONS
TRIES: Final = 400
"""Items that an honest hunter looks at in an epoch."""


def honest(each: int = 3, kinds: Sequence[str] = KINDS) -> list[Seat]:
    """For each of `kinds` of data so many specialists, the first the best, and two generalists."""
    seats = [
        Seat(f"{kind}{place}", specialist(100 * number + place, kind, 0.12 * place))
        for number, kind in enumerate(kinds)
        for place in range(each)
    ]
    return [*seats, Seat("general0", generalist(900)), Seat("general1", generalist(901, 0.5))]


def cheats(source: Source) -> dict[str, list[Seat]]:
    """Those who cheat as encoders, by name: each with weights of its own, good at text, or with copied ones."""
    good = specialist(0, "text")
    head, fresh = specialist(1_000, "text"), (specialist(1_010 + number, "text") for number in range(10))

    def constants(name: str, count: int) -> list[Seat]:
        return [
            Seat(
                f"{name}_{place}",
                Constant(1_100 + 10 * count + place, head, line=count),
                role=name.replace("_", " "),
                party=name,
            )
            for place in range(count)
        ]

    return {
        "lazy": [Seat("lazy", next(fresh), Lazy(), role="lazy")],
        "loss liar": [Seat("loss_liar", next(fresh), Liar(), role="loss liar")],
        "copier of answers": [Seat("answer_copier", next(fresh), Copying(), role="copier of answers")],
        "copier of weights": [Seat("copier", good, role="copier of weights")],
        "perturbed copier": [Seat("perturbed_copier", Perturbed(1_001, good, 0.02), role="perturbed copier")],
        "constant direction": constants("constant", 1),
        "constant pair": constants("constant_pair", 2),
        "constant triple": constants("constant_triple", 3),
        "cached neighbour": [Seat("cached_neighbour", next(fresh), Cached(source), role="cached neighbour")],
        "colluders": [
            Seat(f"colluder_{place}", specialist(1_002 + place, "text"), Colluder(), role="colluder", party="colluders")
            for place in range(2)
        ],
        "Sybil": [Seat(f"sybil_{place}", head, stake=STAKE // 5, role="Sybil", party="Sybil") for place in range(5)],
        "withholder": [Seat("withholder", next(fresh), Withholder(), role="withholder")],
    }


def hunters(tries: int = TRIES) -> list[Hunter]:
    """Two honest hunters, and one of every other way."""
    return [
        Hunter("hunter0", tries=tries),
        Hunter("hunter1", tries=tries),
        Hunter("front_runner", "front-runner"),
        Hunter("garbage_optimiser", "garbage optimiser"),
        Hunter("random_bytes", "random bytes", tries=tries),
        Hunter("made_up_hit", "made-up hit"),
        Hunter("bond_withholder", "withholder", tries=tries),
    ]


def everybody(source: Source) -> Sequence[Seat]:
    """All at once: the honest registered first."""
    return [*honest(), *(seat for seats in cheats(source).values() for seat in seats)]
