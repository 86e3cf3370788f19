"""Money as people write it: SOMA with up to nine decimals."""

import re
from decimal import Decimal

from soma_core.errors import UsageError
from soma_core.genesis import SHANNONS, SUPPLY_MOST


def soma(shannons: int, places: int = 9) -> str:
    """Shannons as SOMA, grouped, with `places` decimals (rounded half-even below nine)."""
    return f"{Decimal(shannons) / SHANNONS:,.{places}f}"


def shannons(text: str) -> int:
    """An amount in SOMA as shannons, exactly. Raises `UsageError`."""
    match = re.fullmatch(r"([0-9]{1,12})?(?:\.([0-9]{1,9}))?", text.replace(",", "").replace("_", ""))
    amount = int(match[1] or 0) * SHANNONS + int((match[2] or "").ljust(9, "0")) if match else 0
    if not 0 < amount < SUPPLY_MOST:
        raise UsageError(
            f"{text!r:.60} cannot be sent",
            "write SOMA, such as 12.5: an amount is positive and has at most nine decimals",
        )
    return amount
