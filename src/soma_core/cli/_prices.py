"""What embedding would cost."""

from collections.abc import Sequence

from soma_core.api import control

from ._client import Node
from ._money import soma
from ._print import columns, data, data_json


def print_prices(node: Node, names: Sequence[str], sizes: Sequence[int], *, as_json: bool) -> None:
    """The price of each of what is named, of `sizes` bytes, and of all."""
    prices = [node.ask(control.PRICE, control.AskPrice(size)) for size in sizes]
    totals = [p.pot + p.commission + p.fee for p in prices]
    if as_json:
        entries = [
            {"path": name, "bytes": size, "pot": p.pot, "commission": p.commission, "fee": p.fee, "total": total}
            for name, size, p, total in zip(names, sizes, prices, totals, strict=True)
        ]
        data_json({"inputs": entries, "total": sum(totals)})
        return
    rows = [(name, f"{size:,} bytes", soma(t)) for name, size, t in zip(names, sizes, totals, strict=True)]
    for line in columns([*rows, ("in all", "", soma(sum(totals)) + " SOMA")]):
        data(line)
