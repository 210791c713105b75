"""The form of dead letters: any text, any record, and never more bytes than Kafka takes."""

from __future__ import annotations

import pytest

from boom_streams.kafka.limits import MAX_DEAD_BYTES, Headers, record_size
from boom_streams.schema.dead_letters import REPLAYED, Letter, make_letter, read_letter, read_original

RECORD = ("ztf.raw", 3, 118)
LARGEST = b"x" * (12 << 20)


def make(
    reason: str = "no", value: bytes | None = b"value", key: bytes | None = b"key", original: Headers = ()
) -> Letter:
    return make_letter("enrich", reason, RECORD, 1_700_000_000_000, value, key=key, original=original, traceback="…")


def read(letter: Letter) -> dict[str, object]:
    headers = {name: content or b"" for name, content in letter.headers}
    found = read_letter("ZTF", headers, letter.key, len(letter.value or b""), (0, 7))
    original = read_original(letter.value or b"", letter.key, letter.headers)
    known = {name: getattr(found, name) for name in ("id", "stage", "reason", "timestamp")}
    return {**known, "headers": original.headers, "traceback": original.traceback}


def test_a_letter_is_read_as_it_was_written() -> None:
    letter = make("no such thing", original=[("role", b"margin"), ("role", b"again"), ("none", None)])
    assert (letter.key, letter.value) == (b"key", b"value")
    assert letter.headers[-3:] == [("orig.role", b"margin"), ("orig.role", b"again"), ("orig.none", None)]
    assert read(letter) == {
        "id": "ztf.raw/3/118",
        "stage": "enrich",
        "reason": "no such thing",
        "traceback": "…",
        "timestamp": 1_700_000_000_000,
        "headers": [("role", b"margin"), ("role", b"again"), ("none", None)],
    }


def test_a_reason_is_one_line_that_is_not_too_long() -> None:
    reason = str(read(make("no\nsuch\r\n\tfield \ud800: " + "x" * 100_000))["reason"])
    assert reason.startswith("no such field \\ud800: xxx")
    assert reason.endswith("x … (100019 characters)")
    assert len(reason) < 600


def test_texts_may_hold_anything() -> None:
    letter = make("half a pair: \ud800, \x00, \x1b[31m", original=[("name \udcff", b"\xff")])
    assert all(name.encode() for name, _ in letter.headers)
    assert read(letter)["reason"] == "half a pair: \\ud800, \x00, \x1b[31m"


@pytest.mark.parametrize(
    ("value", "key", "original", "told"),
    [
        (LARGEST + bytes(64 << 10), b"key", [], "(its 12648448 bytes are too many to be kept)"),
        (b"value", b"key", [("h", b"")] * 1_200_000, "(its 5 bytes, 1200000 headers are too many to be kept)"),
        (None, LARGEST + bytes(64 << 10), [], "(its 0 bytes, 0 headers are too many to be kept)"),
    ],
    ids=["value", "headers", "key"],
)
def test_what_does_not_fit_is_left_out(value: bytes, key: bytes, original: Headers, told: str) -> None:
    letter = make("r" * 5000, value, key, original)
    assert record_size(letter.key, letter.value, letter.headers) <= MAX_DEAD_BYTES
    assert str(read(letter)["reason"]).endswith(told)


def test_the_largest_record_fits_with_its_reason() -> None:
    value = LARGEST[: -record_size(b"key", b"")]
    assert make("r" * 5000, value).value == value


@pytest.mark.parametrize("number", [b"", b"x", b"9" * 30, b"\xff"])
def test_a_letter_of_somebody_else_is_read(number: bytes) -> None:
    found = read_letter("ZTF", {"dead.offset": number, "dead.stage": b"\xff", REPLAYED: b"1"}, None, 0, (0, 1))
    assert (found.offset, found.stage, found.replayed) == (-1, "\ufffd", True)
