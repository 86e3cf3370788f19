"""Money as people write it: SOMA with up to nine decimals."""

from decimal import Decimal, InvalidOperation

from soma_core.errors import UsageError
from soma_core.genesis import SHANNONS


def soma(shannons: int, places: int = 9) -> str:
    """Shannons as SOMA, grouped, with `places` decimals (rounded half-even below nine)."""
    return f"{Decimal(shannons) / SHANNONS:,.{places}f}"


def shannons(text: str) -> int:
    """An amount in SOMA as shannons, exactly. Raises `UsageError`."""
    try:
        amount = Decimal(text.replace(",", "").replace("_", ""))
    except InvalidOperation as error:
        raise UsageError(f"{text!r} is not an amount", "write SOMA, such as 12.5") from error
    scaled = amount * SHANNONS
    if not amount.is_finite() or scaled != scaled.to_integral_value() or not 0 < scaled < 1 << 62:
        raise UsageError(f"{text} SOMA cannot be sent", "an amount is positive and has at most nine decimals")
    return int(scaled)
