"""Numbers as Avro writes them."""

from __future__ import annotations

__all__ = ["encode_long"]


def encode_long(number: int) -> bytes:
    """An int or a long of Avro: zigzag, 7 bits a byte, the lowest first."""
    rest = (number << 1) ^ (number >> 63)
    digits = bytearray()
    while rest > 0x7F:
        digits.append(rest & 0x7F | 0x80)
        rest >>= 7
    digits.append(rest)
    return bytes(digits)
