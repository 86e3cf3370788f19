"""Cases for the commit rule, drawn: a picture, what it shows, and by hand what must become of its slots.

`make_dag_cases` makes ``specs/vectors/dag_cases.json`` of them. They stand beside ``consensus_cases.json`` and pin what
that file says little or nothing of: stakes, ranks, the cursor, horizons, twins in every role, waves longer than three.
"""

from typing import Final

from attrs import frozen


@frozen
class Drawn:
    """A case. `leaders`: how many a round, or round → authors by rank. `sub_dags`: where a case is about them.

    `slots` reads: ``B1`` committed directly, ``B1@A4`` committed by the anchor A4, ``-C2`` skipped directly, ``-C2@A5``
    skipped by an anchor, ``?D3`` undecided.
    """

    id: str
    shows: str
    drawing: str
    slots: str
    tags: tuple[str, ...]
    leaders: int | dict[int, str] = 1
    wave: int = 3
    pipelined: bool = True
    gc_depth: int = 60
    last_decided: str = ""
    sub_dags: tuple[str, ...] = ()


CASES: Final = (
    # Stake. -----------------------------------------------------------------------------------------------------------
    Drawn(
        "stake-exact-certificates",
        "Stakes 4-3-2-1, quorum 7. A and B, 7 together, are all that vote and all that certify: exactly enough.",
        """
        stakes 4 3 2 1
        1  everybody
        2  A B: everybody
           C D: everybody except B
        3  A: A B
           B: B A
           C D: everybody except B
        """,
        "B1",
        ("stake", "direct-commit"),
    ),
    Drawn(
        "stake-certificates-one-short",
        "Certificates by A and C weigh 6 of 7, though they are two of the three that decide.",
        """
        stakes 4 3 2 1
        1  everybody
        2  A B: everybody
           C D: everybody except B
        3  A C: everybody
           D: everybody except B
        """,
        "?B1",
        ("stake", "undecided"),
    ),
    Drawn(
        "stake-exact-blame",
        "A, C and D blame with exactly 7; B's own vote of 3 is in vain.",
        """
        stakes 4 3 2 1
        1  everybody
        2  B: everybody
           A C D: everybody except B
        3  everybody
        """,
        "-B1",
        ("stake", "direct-skip"),
    ),
    Drawn(
        "stake-one-light-certificate",
        "The only certificate for B1 is that of D, of stake 1. It lies in the history of A4: one is enough for an "
        "anchor.",
        """
        stakes 4 3 2 1
        1  everybody
        2  A B: everybody
           C D: everybody except B
        3  A C: everybody except B
           D: everybody
        4..6 everybody
        """,
        "B1@A4 C2 D3 A4",
        ("stake", "indirect-commit"),
    ),
    Drawn(
        "stake-one-holds-the-quorum",
        "Stakes 7-1-1-1: A alone is a quorum and the others are silent. Their slots are skipped, A's are committed.",
        """
        stakes 7 1 1 1
        1..10 A
        """,
        "-B1 -C2 -D3 A4 -B5 -C6 -D7 A8",
        ("stake", "crash"),
    ),
    Drawn(
        "stake-large",
        "Stakes near 2^60, a total of 4·10^18: A, B and C vote for B1 and are short of the quorum by one unit.",
        """
        stakes 888888888888888889 888888888888888889 888888888888888888 1333333333333333334
        1  everybody
        2  A B: everybody except C
           C: everybody
           D: everybody except B
        3  everybody
        """,
        "?B1",
        ("stake", "undecided"),
    ),
    Drawn(
        "committee-of-one",
        "A committee of one commits each of its blocks two rounds later.",
        """
        committee 1
        1..5 A
        """,
        "A1 A2 A3",
        ("stake", "direct-commit"),
        sub_dags=("A1", "A2", "A3"),
    ),
    Drawn(
        "n3-all-needed",
        "n=3 bears no fault, quorum 3: all vote for B1, and two certificates are one too few.",
        """
        committee 3
        1..2 everybody
        3  A B
        """,
        "?B1",
        ("undecided",),
    ),
    Drawn(
        "n6-four-votes",
        "n=6, quorum 5 (not 2f+1 = 3): four votes make no certificate, two blames skip nothing.",
        """
        committee 6
        1  everybody
        2  A B C D: everybody
           E F: everybody except B
        3  everybody
        """,
        "?B1",
        ("stake", "undecided"),
    ),
    Drawn(
        "n6-four-certificates",
        "n=6: five votes, but only four blocks hold all five.",
        """
        committee 6
        1  everybody
        2  A B C D E: everybody
           F: everybody except B
        3  A B C D: everybody
           E F: everybody except A
        """,
        "?B1",
        ("stake", "undecided"),
    ),
    Drawn(
        "n6-five-certificates",
        "n=6: five votes, and five blocks that hold all five.",
        """
        committee 6
        1  everybody
        2  A B C D E: everybody
           F: everybody except B
        3  A B C D E: everybody
           F: everybody except A
        """,
        "B1",
        ("stake", "direct-commit"),
    ),
    Drawn(
        "n6-four-blames",
        "n=6: four blames are too few, and two votes as well.",
        """
        committee 6
        1  everybody
        2  A B: everybody
           C D E F: everybody except B
        3  everybody
        """,
        "?B1",
        ("stake", "undecided"),
    ),
    Drawn(
        "n6-five-blames",
        "n=6: five blames skip, though only one block of the decision round is here.",
        """
        committee 6
        1  everybody
        2  B: everybody
           A C D E F: everybody except B
        3  A
        """,
        "-B1",
        ("stake", "direct-skip"),
    ),
    # Whom to count, and as what. ------------------------------------------------------------------------------------
    Drawn(
        "blames-are-authors",
        "Three blocks blame, C2, D2 and D2', but of two authors: undecided.",
        """
        committee 4
        1  everybody
        2  A B: everybody
           C D D': everybody except B
        3  everybody
        """,
        "?B1",
        ("equivocation", "undecided"),
    ),
    Drawn(
        "blame-by-a-twin",
        "D votes with D2 and blames with D2'. With A and C that makes three authors against B1: skipped.",
        """
        committee 4
        1  everybody
        2  B D: everybody
           A C D': everybody except B
        3  everybody
        """,
        "-B1",
        ("equivocation", "direct-skip"),
    ),
    Drawn(
        "certificates-are-authors",
        "Three blocks certify, A3, C3 and C3', but of two authors: undecided.",
        """
        committee 4
        1  everybody
        2  A B C: everybody
           D: everybody except B
        3  A C C': everybody
           B: B A D
           D: D A B
        """,
        "?B1",
        ("equivocation", "undecided"),
    ),
    Drawn(
        "certificate-holds-the-blaming-twin",
        "D votes with D2 and blames with D2'. B3 and C3 reference D2': they hold two votes only, whatever D2 says.",
        """
        committee 4
        1  everybody
        2  A B D: everybody
           C D': everybody except B
        3  A D: everybody except C
           B: everybody except C D, D'
           C: everybody except D, D'
        """,
        "?B1",
        ("equivocation", "undecided"),
    ),
    Drawn(
        "certificate-holds-the-voting-twin",
        "D blames with D2 and votes with D2'. A3, B3 and D3' reference D2' and are certificates.",
        """
        committee 4
        1  everybody
        2  A B D': everybody
           C D: everybody except B
        3  A B: everybody except C D, D'
           C D: everybody
           D': D' A B
        """,
        "B1",
        ("equivocation", "direct-commit"),
    ),
    Drawn(
        "voter-on-both-sides",
        "A and B vote, C blames, D does both with two blocks. Three authors vote, but every block of round 3 "
        "references D2', which blames: no certificate. Two authors blame.",
        """
        committee 4
        1  everybody
        2  A B D: everybody
           C D': everybody except B
        3  A B C: everybody except D, D'
           D: D' A B C
        """,
        "?B1",
        ("equivocation", "undecided"),
    ),
    Drawn(
        "weak-link-is-no-vote",
        "B1 is referenced from round 3, through weak links of C and D. Only references of round 2 are votes: "
        "three blame.",
        """
        committee 4
        1  everybody
        2  A C D: everybody except B
        3  A: everybody
           C D: everybody, B1
        """,
        "-B1",
        ("weak-link", "direct-skip"),
    ),
    Drawn(
        "weak-link-is-blame",
        "D is slow: in round 4 the others reference D2. They blame D3, which nobody has; counted by author nobody "
        "blames.",
        """
        committee 4
        1..2 everybody
        3  A B C: everybody except D
        4  A B C: everybody, D2
        5  A B C
        """,
        "B1 C2 -D3",
        ("weak-link", "direct-skip", "variant"),
    ),
    # Twins of a leader. -----------------------------------------------------------------------------------------------
    Drawn(
        "twin-leader-later-one-commits",
        "All but D itself vote for D3', the later of two blocks of the leader.",
        """
        committee 4
        1..2 everybody
        3  everybody
           D': everybody
        4  A B C: everybody except D, D'
           D: everybody
        5  everybody
        """,
        "B1 C2 D3'",
        ("equivocation", "direct-commit"),
        sub_dags=("B1", "A1 C1 D1 C2", "A2 B2 D2 D3'"),
    ),
    Drawn(
        "twin-leader-three-blocks",
        "n=7, quorum 5: three, two and two votes for three blocks of the leader. Against B1 only four speak: "
        "undecided until the anchor E4, which holds no certificate. All three are put out, in two sub-DAGs.",
        """
        committee 7
        1  everybody
           B' B'': everybody
        2  A B D: everybody
           C E: everybody except B, B'
           F G: everybody except B, B''
        3..6 everybody
        """,
        "-B1@E4 C2 D3 E4",
        ("equivocation", "indirect-skip"),
        sub_dags=("A1 B1' C1 D1 E1 F1 G1 C2", "B1 B1'' A2 B2 D2 E2 F2 G2 D3", "A3 B3 C3 E3 F3 G3 E4"),
    ),
    Drawn(
        "twin-leader-indirect",
        "D3' has three votes but one certificate, A5, which the anchor C6 holds: D3' is committed, D3 has one vote.",
        """
        committee 4
        1..2 everybody
        3  everybody
           D': everybody
        4  A B C: everybody except D, D'
           D: everybody
        5  A: everybody
           B: everybody except C
           C D: everybody except B
        6..9 everybody
        """,
        "B1 C2 D3'@C6 A4 B5 C6 D7",
        ("equivocation", "indirect-commit"),
    ),
    # Anchors. ---------------------------------------------------------------------------------------------------------
    Drawn(
        "anchor-too-close",
        "C2 and D3 are committed but stand too close above B1; slot 4 is not decided yet. B1 stays undecided.",
        """
        committee 4
        1  everybody
        2  A B: everybody
           C D: everybody except B
        3..5 everybody
        """,
        "?B1 C2 D3",
        ("anchor", "undecided"),
    ),
    Drawn(
        "anchor-hides-the-certificate",
        "C3 is the only certificate for B1, and A4 does not reference it: B1 is skipped, although C3 is here.",
        """
        committee 4
        1  everybody
        2  A B D: everybody
           C: everybody except B
        3  A B: everybody except D
           C: everybody
           D: everybody except B
        4  A: everybody except C
           B C D: everybody
        5..6 everybody
        """,
        "-B1@A4 C2 D3 A4",
        ("anchor", "indirect-skip"),
    ),
    Drawn(
        "anchor-holds-the-certificate",
        "The same, but A4 references C3: B1 is committed.",
        """
        committee 4
        1  everybody
        2  A B D: everybody
           C: everybody except B
        3  A B: everybody except D
           C: everybody
           D: everybody except B
        4..6 everybody
        """,
        "B1@A4 C2 D3 A4",
        ("anchor", "indirect-commit"),
    ),
    Drawn(
        "anchor-holds-it-by-a-weak-link",
        "n=5, leaders B1, C4, A5. The certificate C3 is referenced by nobody in round 4, and C falls silent: its "
        "slot is skipped. The anchor A5 reaches C3 by a weak link alone, and that is history like any other.",
        """
        committee 5
        1  everybody
        2  A B C D: everybody
           E: everybody except B
        3  A: everybody except B
           B D E: everybody except A
           C: everybody
        4  A B D E: everybody except C
        5  A: everybody, C3
           B D E: everybody
        6..7 A B D E
        """,
        "B1@A5 -C4 A5",
        ("anchor", "weak-link", "indirect-commit"),
        leaders={1: "B", 2: "", 3: "", 4: "C", 5: "A"},
    ),
    Drawn(
        "anchor-decided-indirectly",
        "A4 has three votes but two certificates, and is committed by D7; only then B1 has its anchor, A4, and is "
        "skipped.",
        """
        committee 4
        1  everybody
        2  A B: everybody
           C D: everybody except B
        3..4 everybody
        5  A B D: everybody
           C: everybody except A
        6  A B: everybody
           C D: everybody except A
        7..9 everybody
        """,
        "-B1@A4 C2 D3 A4@D7 B5 C6 D7",
        ("anchor", "indirect-commit", "indirect-skip"),
    ),
    Drawn(
        "anchor-undecided-blocks",
        "Slot 4 is undecided: that B5 is committed does not make it the anchor of B1.",
        """
        committee 4
        1  everybody
        2  A B: everybody
           C D: everybody except B
        3..4 everybody
        5  A B: everybody
           C D: everybody except A
        6..7 everybody
        """,
        "?B1 C2 D3 ?A4 B5",
        ("anchor", "undecided"),
    ),
    Drawn(
        "anchor-next-rank-when-the-first-is-skipped",
        "Two leaders a round, A silent from round 4 on: the anchor of B1 is B4, the second leader of round 4.",
        """
        committee 4
        1  everybody
        2  A B: everybody
           C D: everybody except B
        3  everybody
        4..6 B C D
        """,
        "-B1@B4 C1 C2 D2 D3 A3 -A4 B4",
        ("anchor", "multi-leader"),
        leaders=2,
    ),
    Drawn(
        "anchor-first-rank-undecided",
        "Two leaders a round: A4 is undecided, so B4, committed in the same round, anchors nothing.",
        """
        committee 4
        1  everybody
        2  A B: everybody
           C D: everybody except B
        3..4 everybody
        5  A B: everybody
           C D: everybody except A
        6  everybody
        """,
        "?B1 C1 C2 D2 D3 A3 ?A4 B4",
        ("anchor", "multi-leader", "undecided"),
        leaders=2,
    ),
    # Several leaders. -------------------------------------------------------------------------------------------------
    Drawn(
        "ranks-head-of-line",
        "Two leaders a round: the first of round 1 is undecided and holds back the second, which is committed.",
        """
        committee 4
        1  everybody
        2  A B: everybody
           C D: everybody except B
        3  everybody
        """,
        "?B1 C1",
        ("multi-leader", "undecided"),
        leaders=2,
    ),
    Drawn(
        "ranks-by-the-schedule",
        "Three leaders a round in an order of their own: D1 before A1 before C1, and in round 2 C2 before B2; "
        "none in 3.",
        """
        committee 4
        1..5 everybody
        """,
        "D1 A1 C1 C2 B2",
        ("multi-leader", "schedule"),
        leaders={1: "DAC", 2: "CB", 3: ""},
        sub_dags=("D1", "A1", "C1", "B1 C2", "B2"),
    ),
    Drawn(
        "every-slot-a-leader",
        "Four leaders a round, D silent from round 2 on: every block of A, B and C is a commit, every slot of D "
        "is skipped.",
        """
        committee 4
        1  everybody
        2..5 A B C
        """,
        "B1 C1 D1 A1 C2 -D2 A2 B2 -D3 A3 B3 C3",
        ("multi-leader", "crash"),
        leaders=4,
        sub_dags=("B1", "C1", "D1", "A1", "C2", "A2", "B2", "A3", "B3", "C3"),
    ),
    Drawn(
        "paper-like-four-leaders",
        "Four leaders a round, A to D. B1 has one vote; C1 has three, which only C3 holds together, and A4, the "
        "first leader of round 4, holds C3; two vote for C2 and two do not: it ends the sequence, though all "
        "behind it is decided.",
        """
        committee 4
        1  everybody
        2  A C D: everybody except B
           B: everybody except C
        3  A D: everybody except C
           B: everybody except D
           C: everybody
        4..6 everybody
        """,
        "A1 -B1 C1@A4 D1 A2 B2 ?C2 D2 A3 B3 C3 D3 A4 B4 C4 D4",
        ("multi-leader", "anchor"),
        leaders=dict.fromkeys(range(1, 7), "ABCD"),
    ),
    # The cursor. ------------------------------------------------------------------------------------------------------
    Drawn(
        "cursor-trailing-skip",
        "D is silent: the decisions end with its skipped slot.",
        """
        committee 4
        1  everybody
        2..5 A B C
        """,
        "B1 C2 -D3",
        ("cursor", "crash"),
    ),
    Drawn(
        "cursor-on-a-skip",
        "The same, called again from the skipped slot: nothing is due, and the skip is not told twice.",
        """
        committee 4
        1  everybody
        2..5 A B C
        """,
        "B1 C2 -D3",
        ("cursor", "crash"),
        last_decided="D3",
    ),
    Drawn(
        "cursor-beyond-a-skip",
        "From the skipped slot with two rounds more: A4 follows, and its sub-DAG begins after C2, the last commit.",
        """
        committee 4
        1  everybody
        2..6 A B C
        """,
        "B1 C2 -D3 A4",
        ("cursor", "crash"),
        last_decided="D3",
        sub_dags=("A2 B2 A3 B3 C3 A4",),
    ),
    Drawn(
        "cursor-on-a-skip-inside-a-round",
        "Two leaders a round, D silent: the cursor is on D's slot, the first of round 3, and A3, the second, is due.",
        """
        committee 4
        1  everybody
        2..5 A B C
        """,
        "B1 C1 C2 -D2 -D3 A3",
        ("cursor", "multi-leader", "crash"),
        leaders=2,
        last_decided="D3",
        sub_dags=("A2 B2 A3",),
    ),
    # Sub-DAGs. --------------------------------------------------------------------------------------------------------
    Drawn(
        "gc-cut",
        "D2, D3 and D4 come to light in round 7. The last commit before A8 is C6, so that with a depth of 3 the "
        "horizon is 3: D4 is put out, D3 and D2 are not, now or later. By the skipped slot 7, or by A8 itself, D4 "
        "would be cut as well.",
        """
        committee 4
        1..2 everybody
        3..4 A B C: everybody except D
             D: everybody
        5    A B C: everybody except D
        6    A B C
        7    A: everybody, D4
             B C: everybody
        8..10 A B C
        """,
        "B1 C2 -D3 A4 B5 C6 -D7 A8",
        ("gc", "weak-link"),
        gc_depth=3,
        sub_dags=("B1", "A1 C1 D1 C2", "A2 B2 A3 B3 C3 A4", "B4 C4 B5", "A5 C5 C6", "D4 A6 B6 A7 B7 C7 A8"),
    ),
    Drawn(
        "gc-deep-enough",
        "The same with a depth of 4: the horizon is 2 and D3 is put out as well.",
        """
        committee 4
        1..2 everybody
        3..4 A B C: everybody except D
             D: everybody
        5    A B C: everybody except D
        6    A B C
        7    A: everybody, D4
             B C: everybody
        8..10 A B C
        """,
        "B1 C2 -D3 A4 B5 C6 -D7 A8",
        ("gc", "weak-link"),
        gc_depth=4,
        sub_dags=("B1", "A1 C1 D1 C2", "A2 B2 A3 B3 C3 A4", "B4 C4 B5", "A5 C5 C6", "D3 D4 A6 B6 A7 B7 C7 A8"),
    ),
    Drawn(
        "twins-in-one-sub-dag",
        "C2 references no block of D. D3 reaches D1 through A2 and D1' through B2: both are put out, the first by "
        "id first.",
        """
        committee 4
        1  everybody
           D': everybody
        2  A D: everybody
           B: everybody except D, D'
           C: everybody except D
        3..5 everybody
        """,
        "B1 C2 D3",
        ("equivocation", "linearize"),
        sub_dags=("B1", "A1 C1 C2", "D1 D1' A2 B2 D2 D3"),
    ),
    Drawn(
        "skipped-block-put-out-later",
        "B1 is skipped directly. B2 references it, and so it is put out with the first commit that reaches B2, "
        "that of D3.",
        """
        committee 4
        1  everybody
        2  B: everybody
           A C D: everybody except B
        3..5 everybody
        """,
        "-B1 C2 D3",
        ("linearize", "direct-skip"),
        sub_dags=("A1 C1 D1 C2", "B1 A2 B2 D2 D3"),
    ),
    # Longer waves. ----------------------------------------------------------------------------------------------------
    Drawn(
        "w4-direct",
        "Waves of four rounds: votes two rounds above the leader, certificates three.",
        """
        committee 4
        1..5 everybody
        """,
        "B1 C2",
        ("wave", "direct-commit"),
        wave=4,
    ),
    Drawn(
        "w4-votes-through-others",
        "B1 is referenced by B2 and D2 alone; the votes of round 3 reach it through them.",
        """
        committee 4
        1  everybody
        2  B D: everybody
           A C: everybody except B
        3..4 everybody
        """,
        "B1",
        ("wave", "direct-commit"),
        wave=4,
    ),
    Drawn(
        "w4-skip",
        "Only B2 references B1, and the others leave B2 out: the three of them blame in round 3.",
        """
        committee 4
        1  everybody
        2  B: everybody
           A C D: everybody except B
        3  B: everybody
           A C D: everybody except B
        4  everybody
        """,
        "-B1",
        ("wave", "direct-skip"),
        wave=4,
    ),
    Drawn(
        "w4-first-reference-wins",
        "B made B1 and B1'. C2 and D2 lead to B1', B2 to B1, A2 to neither. A block of round 3 votes for the one "
        "that it meets first, going deep by its references in order: B3 for B1, C3 and D3 for B1', and so does A3, "
        "which has C2 before B2.",
        """
        committee 4
        1  everybody
           B': everybody
        2  A: everybody except B
           B: everybody
           C D: everybody except B, B'
        3  A: A C D B
           B C D: everybody
        4  everybody
        """,
        "B1'",
        ("wave", "equivocation", "direct-commit"),
        wave=4,
    ),
    Drawn(
        "w4-anchor-too-close",
        "Waves of four: two reach B1 in the voting round 3 and two do not. A4, committed, is too close above it; "
        "B5 is its anchor.",
        """
        committee 4
        1  everybody
        2  B: everybody
           A C D: everybody except B
        3  A B: everybody
           C D: everybody except B
        4..8 everybody
        """,
        "-B1@B5 C2 D3 A4 B5",
        ("wave", "anchor", "indirect-skip"),
        wave=4,
    ),
    Drawn(
        "w5-every-fifth-round",
        "Waves of five rounds one after the other: the leader of round 5 is A; votes in round 8, certificates in "
        "round 9.",
        """
        committee 5
        1..9 everybody
        """,
        "A5",
        ("wave", "direct-commit"),
        wave=5,
        pipelined=False,
    ),
)
