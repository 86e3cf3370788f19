"""The integer arithmetic of the rules, for plugins that score or encode. Rules Q1 to Q15 of ``specs/03-quantiser.md``.

Not imported by ``soma_core.api`` itself: who needs it imports this module.
"""

from soma_core.fixed import (
    COORDINATE_MAX,
    DIMENSION_MAX,
    ONE,
    SQUARED_NORM_MAX,
    SQUARED_NORM_MIN,
    TABLE_DIGEST,
    VECTOR_SCALE,
    cosq,
    dots,
    exp2neg,
    geometric_median,
    half_even,
    is_vector,
    log2q,
    median,
    quant,
    quantise,
    share,
    squared_norm,
    table,
    vector_bytes,
    vector_from_bytes,
)

__all__ = [
    "COORDINATE_MAX",
    "DIMENSION_MAX",
    "ONE",
    "SQUARED_NORM_MAX",
    "SQUARED_NORM_MIN",
    "TABLE_DIGEST",
    "VECTOR_SCALE",
    "cosq",
    "dots",
    "exp2neg",
    "geometric_median",
    "half_even",
    "is_vector",
    "log2q",
    "median",
    "quant",
    "quantise",
    "share",
    "squared_norm",
    "table",
    "vector_bytes",
    "vector_from_bytes",
]
