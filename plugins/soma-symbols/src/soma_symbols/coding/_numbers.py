"""Whole numbers, the more frequent magnitudes in fewer bits. Rules CZ9 to CZ11.

A number n has the magnitude m = bits of n + 1, less one, and m bits below its highest. Magnitudes have codes of
Huffman's, whose lengths come first.
"""

from heapq import heapify, heappop, heappush
from typing import Final

import numpy as np

from ._reader import Reader, varint
from ._slots import Integers

MAGNITUDES: Final = 32
LONGEST: Final = 15
"""Bits of a code."""


def write_numbers(numbers: Integers) -> bytes:
    """`numbers` [n], each 0 to 2^31 − 2: how many, the lengths of codes, how many bytes of bits, the bits."""
    values = np.asarray(numbers, np.int64) + 1
    magnitudes = np.frexp(values.astype(np.float64))[1].astype(np.int64) - 1
    lengths = _lengths(np.bincount(magnitudes, minlength=MAGNITUDES).tolist())
    codes = _codes(lengths)
    words = (np.array(codes, np.int64)[magnitudes] << magnitudes) | (values - (np.int64(1) << magnitudes))
    widths = np.array(lengths, np.int64)[magnitudes] + magnitudes
    ends = np.cumsum(widths)
    bits = np.zeros(int(ends[-1]) if len(ends) else 0, np.uint8)
    for place in range(int(widths.max(initial=0))):
        there = widths > place
        bits[ends[there] - 1 - place] = words[there] >> place & 1
    packed = np.packbits(bits).tobytes()
    table = bytes(a << 4 | b for a, b in zip(lengths[::2], lengths[1::2], strict=True))
    return b"".join((varint(len(values)), table, varint(len(packed)), packed))


def read_numbers(reader: Reader, most: int, below: int) -> list[int]:
    """At most `most` numbers, each below `below`. Raises `ValueError` for anything else."""
    count = reader.varint(most)
    lengths = [half for byte in reader.take(MAGNITUDES // 2) for half in (byte >> 4, byte & 15)]
    longest = max(lengths)
    table = _table(lengths, longest)
    data = reader.take(reader.varint(len(reader.data)))
    bits, end = data + bytes(8), 8 * len(data)
    numbers, place = [], 0
    for _ in range(count):
        window = int.from_bytes(bits[place >> 3 : (place >> 3) + 8], "big") << (place & 7) & ((1 << 64) - 1)
        magnitude, width = table[window >> (64 - longest)]
        place += width + magnitude
        if not width or place > end:
            raise ValueError("packed bytes: numbers cut short, or by no code")
        number = (1 << magnitude | (window << width & ((1 << 64) - 1)) >> (64 - magnitude)) - 1 if magnitude else 0
        if number >= below:
            raise ValueError(f"packed bytes: a number of {number}, where all are below {below}")
        numbers.append(number)
    if end - place >= 8:
        raise ValueError("packed bytes: bits behind the last number")
    return numbers


def _lengths(counts: list[int]) -> list[int]:
    """Of each magnitude the length of its code, 0 for one that does not occur: Huffman's, at most `LONGEST`."""
    while True:
        lengths = [0] * len(counts)
        heap: list[tuple[int, int, tuple[int, ...]]] = [
            (count, place, (place,)) for place, count in enumerate(counts) if count
        ]
        if len(heap) == 1:
            lengths[heap[0][1]] = 1
        heapify(heap)
        while len(heap) > 1:
            first, second = heappop(heap), heappop(heap)
            for place in first[2] + second[2]:
                lengths[place] += 1
            heappush(heap, (first[0] + second[0], min(first[1], second[1]), first[2] + second[2]))
        if max(lengths) <= LONGEST:
            return lengths
        counts = [(count + 1) // 2 for count in counts]  # flatter counts give shorter codes


def _codes(lengths: list[int]) -> list[int]:
    """Canonical: shorter codes first, of equal length the lower magnitude first."""
    codes, code, before = [0] * len(lengths), 0, 0
    for length, place in sorted((length, place) for place, length in enumerate(lengths) if length):
        code <<= length - before
        codes[place], before = code, length
        code += 1
    return codes


def _table(lengths: list[int], longest: int) -> list[tuple[int, int]]:
    """For every `longest` bits the magnitude whose code they begin with, and its length; (0, 0) for none."""
    if sum(1 << (longest - length) for length in lengths if length) > 1 << longest:
        raise ValueError("packed bytes: lengths that no codes have")
    table = [(0, 0)] * (1 << longest)
    for place, (code, length) in enumerate(zip(_codes(lengths), lengths, strict=True)):
        if length:
            first, size = code << (longest - length), 1 << (longest - length)
            table[first : first + size] = [(place, length)] * size
    return table
