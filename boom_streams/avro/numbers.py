"""Numbers as Avro writes them."""

from __future__ import annotations

from boom_streams.errors import BadRecord

__all__ = ["decode_long", "encode_long"]


def encode_long(number: int) -> bytes:
    """An int or a long of Avro: zigzag, 7 bits a byte, the lowest first."""
    rest = (number << 1) ^ (number >> 63)
    digits = bytearray()
    while rest > 0x7F:
        digits.append(rest & 0x7F | 0x80)
        rest >>= 7
    digits.append(rest)
    return bytes(digits)


def decode_long(data: bytes, at: int, *, zigzag: bool = True) -> tuple[int, int]:
    """Give the number at a place, and where it ends; `BadRecord` if it does not.

    With `zigzag` off, it is one of snappy's, which are not negative.
    """
    value = shift = 0
    for byte in data[at : at + 10]:
        value |= (byte & 0x7F) << shift
        shift += 7
        at += 1
        if byte < 0x80:
            return ((value >> 1) ^ -(value & 1) if zigzag else value), at
    raise BadRecord("the Avro container is truncated, or a number in it has no end")
