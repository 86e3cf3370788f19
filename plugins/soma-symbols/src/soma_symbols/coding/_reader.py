"""Whole numbers in bytes, and a reader that never goes beyond the end."""

from attrs import define


def varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first, the highest bit set in all bytes but the last."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


@define
class Reader:
    """Reads `data` from `place` on. Whatever is not there or not in its shortest form raises `ValueError`."""

    data: bytes
    place: int = 0

    def byte(self) -> int:
        return self.take(1)[0]

    def take(self, size: int) -> bytes:
        part = self.data[self.place : self.place + size]
        if len(part) < size:
            raise ValueError("packed bytes: cut short")
        self.place += size
        return part

    def varint(self, most: int) -> int:
        """A number, at most `most`, in as few bytes as it needs."""
        number, shift = 0, 0
        while True:
            byte = self.byte()
            number |= (byte & 0x7F) << shift
            if number > most or shift > 63:
                raise ValueError(f"packed bytes: a number above {most}")
            if byte < 0x80:
                break
            shift += 7
        if not byte and shift:
            raise ValueError("packed bytes: a number longer than it need be")
        return number

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(len(self.data) - self.place)

    def end(self) -> None:
        """Raises `ValueError` if anything is left."""
        if self.place != len(self.data):
            raise ValueError(f"packed bytes: {len(self.data) - self.place} bytes too many")
