"""Drawings (`soma_core.testing.dag`) as the engine's own blocks and references; an id stands where a digest would."""

from collections.abc import Iterable, Mapping, Sequence

from soma_consensus_dag._block import Block
from soma_consensus_dag._dag import Ref
from soma_core.testing.dag import Block as Drawn
from soma_core.testing.dag import Dag, parse


def ref_of(drawn: Drawn) -> Ref:
    return drawn.round, drawn.author, drawn.id.encode().ljust(32, b"\0")


def id_of(ref: Ref) -> str:
    return ref[2].rstrip(b"\0").decode()


def refs(drawing: str | Dag) -> dict[str, Ref]:
    """Id → reference."""
    dag = parse(drawing) if isinstance(drawing, str) else drawing
    return {block.id: ref_of(block) for block in dag.blocks}


def blocks(
    drawing: str | Dag,
    times: Mapping[str, int] | None = None,
    payload: Mapping[str, Sequence[bytes]] | None = None,
    system: Mapping[str, bytes] | None = None,
) -> dict[str, Block]:
    """Id → block, without genesis. By id: `times`, else 0; `payload` and `system`, else nothing."""
    dag = parse(drawing) if isinstance(drawing, str) else drawing
    named = refs(dag)
    found = {}
    for one in dag.blocks:
        if one.round:
            items = (payload or {}).get(one.id, ())
            found[one.id] = Block(
                ref=named[one.id],
                time=(times or {}).get(one.id, 0),
                ancestors=tuple(named[parent] for parent in one.parents),
                votes=(),
                system=(system or {}).get(one.id, b""),
                sizes=tuple(map(len, items)),
                header=one.id.encode(),
                signature=bytes(64),
                wire=one.id.encode() + b"".join(items),
            )
    return found


def ids(found: Iterable[Block]) -> list[str]:
    return [id_of(block.ref) for block in found]
