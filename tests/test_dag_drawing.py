"""The drawing language for DAGs: it says what is meant, draws any graph, and names the line of a mistake."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soma_core.errors import DecodeError
from soma_core.testing.dag import Block, Dag, draw, genesis, parse

EXAMPLE = """
committee 4                     # or: stakes 4 3 2 1
1     everybody                 # each references every genesis block, its own first
2     A B C: everybody except D
      D: everybody
      D': D B C                 # a twin: a second block of D in round 2
3     everybody: everybody except D, D'     # all, but of D the twin
4..6  A B C                     # D is silent
7     A: everybody, D3          # a weak link to an older round
      B C
"""


def parents(dag: Dag) -> dict[str, str]:
    return {block.id: " ".join(block.parents) for block in dag.blocks}


def test_the_example_means_what_its_remarks_say() -> None:
    dag = parse(EXAMPLE)
    assert dag.stakes == (1, 1, 1, 1)
    found = parents(dag)
    assert [id_ for id_ in found if id_.endswith("0")] == ["A0", "B0", "C0", "D0"]
    assert not any(found[id_] for id_ in ("A0", "B0", "C0", "D0"))
    assert found["C1"] == "C0 A0 B0 D0"
    assert found["B2"] == "B1 A1 C1"
    assert found["D2"] == "D1 A1 B1 C1"
    assert found["D2'"] == "D1 B1 C1"
    assert found["A3"] == "A2 B2 C2 D2'"
    assert found["D3"] == "A2 B2 C2 D2'", "what is excepted is excepted for itself too"
    assert found["B4"] == "B3 A3 C3 D3"
    assert found["C6"] == "C5 A5 B5"
    assert found["A7"] == "A6 B6 C6 D3"
    assert found["B7"] == "B6 A6 C6"
    assert "D4" not in found


def test_a_block_of_a_drawing_says_where_it_stands() -> None:
    by_id = {block.id: block for block in parse(EXAMPLE).blocks}
    twin = by_id["D2'"]
    assert (twin.author, twin.round, twin.twin, twin.parents) == (3, 2, 1, ("D1", "B1", "C1"))


def test_everybody_begins_with_the_newest_own_block() -> None:
    dag = parse("stakes 4 3 2 1\n1 everybody\n2 A B C\n3 everybody\n3 C': everybody except A\n")
    found = parents(dag)
    assert dag.stakes == (4, 3, 2, 1)
    assert found["D3"] == "D1 A2 B2 C2"
    assert found["A3"] == "A2 B2 C2"
    assert found["C3'"] == "C2 B2"


def test_a_twin_in_a_line_of_its_own_begins_with_what_came_before_the_round() -> None:
    found = parents(parse("committee 2\n2 A\n  A'\n3 A'"))
    assert (found["A2"], found["A2'"], found["A3'"]) == ("A0", "A0", "A2")


def test_a_drawing_of_its_committee_alone_is_the_genesis() -> None:
    assert parse("committee 3").blocks == tuple(genesis(3))


def test_order_and_repetition_of_references_are_kept() -> None:
    dag = parse("committee 3\n1 everybody\n2 A: C A, B A\n2 B:\n")
    assert parents(dag)["A2"] == "C1 A1 B1 A1"
    assert parents(dag)["B2"] == ""


def test_drawn_again_it_reads_as_before_with_remarks_where_blocks_have_them() -> None:
    text = draw(parse(EXAMPLE), {"D2'": "twin of D2", "A3": "commit"})
    assert text == (
        "committee 4\n"
        "1    everybody\n"
        "2    A B C: everybody except D   # D2' twin of D2\n"
        "     D\n"
        "     D': everybody except A\n"
        "3    everybody: everybody except D, D'   # A3 commit\n"
        "4    A B C\n"
        "5    A B C\n"
        "6    A B C\n"
        "7    A: everybody, D3\n"
        "     B C\n"
    )
    assert parse(text) == parse(EXAMPLE) == parse(str(parse(EXAMPLE)))


def test_leaving_out_a_block_that_another_references_is_refused() -> None:
    dag = parse(EXAMPLE)
    assert "A7" not in parents(dag.without("A7"))
    with pytest.raises(ValueError, match=r"A3 references D2'; leave it out as well"):
        dag.without("D2'")


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("", 1, "nothing is drawn"),
        ("# only a remark", 1, "nothing is drawn"),
        ("1 everybody", 1, "names no committee"),
        ("committee", 1, "names no committee"),
        ("committee four", 1, "names no committee"),
        ("committee 4 4", 1, "one size"),
        ("committee 0", 1, "1 to 26 authors"),
        ("committee 27", 1, "1 to 26 authors"),
        ("committee 99999999999999999", 1, "1 to 26 authors"),
        ("stakes 1 0", 1, "each with some stake"),
        ("committee 2\neverybody", 2, "belongs to no round"),
        ("committee 2\n0 everybody", 2, "count up from 1"),
        ("committee 2\n2 everybody\n1 everybody", 3, "in the order of their rounds"),
        ("committee 2\n3..2 everybody", 2, "count up from 1"),
        ("committee 2\n1..999999999 everybody", 2, "count up from 1"),
        ("committee 26\n1..9999 everybody", 2, "draw less"),
        ("committee 2\n1 A B\n\n1 A", 4, "A1 is drawn twice; a prime makes a twin of it: A1'"),
        ("committee 2\n1 A A", 2, "drawn twice"),
        ("committee 2\n1 : A", 2, "nobody makes a block"),
        ("committee 2\n1 A1", 2, "at the beginning of the line"),
        ("committee 2\n1 C", 2, "authors are A to B"),
        ("committee 2\n1 A: a", 2, "'a' is nobody's block"),
        ("committee 2\n1 A: A,", 2, "a comma with nothing beside it"),
        ("committee 2\n1 A: B1", 2, "there is no B1"),
        ("committee 2\n1 A B: A0'", 2, "A0'"),
        ("committee 2\n1 A: everybody without B", 2, "write `everybody except D`"),
        ("committee 2\n1 A: everybody except", 2, "write `everybody except D`"),
        ("committee 2\n1 A: everybody except B0", 2, "authors are left out, not blocks"),
        ("committee 2\n1 A: everybody except A'", 2, "authors are left out, not blocks"),
        ("committee 2\n1 A: A everybody", 2, "'everybody' is nobody's block"),
    ],
)
def test_a_mistake_is_named_with_its_line(text: str, line: int, what: str) -> None:
    with pytest.raises(DecodeError) as caught:
        parse(text)
    assert str(caught.value).startswith(f"line {line}: ")
    assert what in str(caught.value)


@st.composite
def dags(drawing: st.DrawFn) -> Dag:
    """Any graph at all: silent authors, twins, twins without a first, repeated and missing references, empty rounds."""
    stakes = drawing(st.lists(st.integers(1, 9), min_size=1, max_size=7))
    blocks = genesis(len(stakes))
    for round_ in range(1, drawing(st.integers(1, 5)) + 1):
        below = [block.id for block in blocks]
        before = [block.id for block in blocks if block.round == round_ - 1]
        for author, twin in drawing(
            st.lists(st.tuples(st.integers(0, len(stakes) - 1), st.integers(0, 2)), unique=True, max_size=len(stakes))
        ):
            own_first = sorted(before, key=lambda link: link[0] != "ABCDEFG"[author])
            links = drawing(
                st.one_of(
                    st.just(own_first),
                    st.lists(st.sampled_from(before or below), unique=True),
                    st.lists(st.sampled_from(below), max_size=6),
                )
            )
            blocks.append(Block(author=author, round=round_, twin=twin, parents=tuple(links)))
    return Dag(tuple(stakes), blocks)


@given(dags())
def test_any_graph_is_drawn_and_read_back(dag: Dag) -> None:
    text = draw(dag)
    assert parse(text) == dag
    assert draw(parse(text)) == text
