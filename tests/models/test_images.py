"""Stamps: equal to what astropy reads and the authors compute, and clear about what they cannot be."""

from __future__ import annotations

import gzip
import io
import tarfile
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import pyarrow.parquet
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from boom_streams.astro.fits import pixels
from boom_streams.errors import BadRecord
from boom_streams.models.images import SIZE, triplet, triplets
from boom_streams.surveys import get_survey
from boom_streams.testing import sample_alerts

STAMPS = get_survey("ZTF").stamps.names


def with_astropy(stamp: bytes) -> Any:
    """Pixels as astropy reads them, float32."""
    data = gzip.decompress(stamp) if stamp[:2] == b"\x1f\x8b" else stamp
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with fits.open(io.BytesIO(data), ignore_missing_simple=True) as units:
            image = units[0].data if units[0].data is not None else units[1].data
            return np.asarray(image, np.float32)


def normalised(values: Any) -> Any:
    """The authors' preparation of one stamp, in single precision throughout."""
    values = np.where(np.isfinite(values), values, 0).astype(np.float32)
    with np.errstate(over="ignore"):
        values = values / np.linalg.norm(values)
    missing = [(0, SIZE - size) for size in values.shape]
    return np.pad(values, missing, constant_values=1e-9).astype(np.float32)


def containers(folder: Path) -> Iterator[bytes]:
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if path.suffix == ".avro":
            yield path.read_bytes()
        elif path.name.endswith(".tar.gz"):
            with tarfile.open(path) as archive:
                for member in archive:
                    file = archive.extractfile(member)
                    if file is not None and member.name.endswith(".avro"):
                        yield file.read()


def real_stamps(folder: Path) -> Iterator[bytes]:
    """All stamps of all files that can be read without mending their schemas."""
    for data in containers(folder):
        try:
            for packet in fastavro.reader(io.BytesIO(data)):
                for name in (name for name in packet if name.startswith("cutout") and packet[name]):
                    yield packet[name]["stampData"] if isinstance(packet[name], dict) else packet[name]
        except (ValueError, EOFError, KeyError, TypeError, IndexError, fastavro.schema.SchemaParseException):
            continue
    for path in sorted(folder.rglob("*.parquet")):
        table = pyarrow.parquet.read_table(path)
        for name in (name for name in table.column_names if name.startswith("cutout")):
            for value in table[name].to_pylist():
                yield value["stampData"] if isinstance(value, dict) else value


def test_made_up_stamps_are_as_astropy_reads_them() -> None:
    for alert in sample_alerts("ZTF", 30):
        for stamp in alert.cutouts.values():
            expected = with_astropy(stamp)
            np.testing.assert_array_equal(pixels(stamp), expected)
            image = triplet(dict.fromkeys(STAMPS, stamp), STAMPS)
            for channel in range(3):
                np.testing.assert_allclose(image[..., channel], normalised(expected), rtol=1e-6, atol=0)


@pytest.mark.slow
def test_real_stamps_are_as_astropy_reads_them(shared: Path) -> None:
    read, refused = 0, Counter[str]()
    for stamp in real_stamps(shared / "data/alerts"):
        try:
            values = pixels(stamp)
        except BadRecord as error:
            refused[str(error)] += 1
            with pytest.raises((OSError, ValueError, TypeError)):
                with_astropy(stamp)
            continue
        expected = with_astropy(stamp)
        np.testing.assert_array_equal(values, expected)
        read += 1
        if max(values.shape) <= SIZE and np.any(np.nan_to_num(values)):
            image = triplet(dict.fromkeys(STAMPS, stamp), STAMPS)
            for channel in range(3):
                np.testing.assert_allclose(image[..., channel], normalised(expected), rtol=1e-6, atol=0)
    assert read > 2500
    broken = "it cannot be gunzipped: Error -3 while decompressing data: incorrect data check"
    assert refused == {"it is no FITS image but a JPEG": 48, broken: 3}


def fits_bytes(values: Any, *, cards: int = 0, packed: bool = True) -> bytes:
    header = fits.Header([(f"KEY{number}", number, "END of nothing") for number in range(cards)])
    stream = io.BytesIO()
    fits.PrimaryHDU(values, header).writeto(stream)
    return gzip.compress(stream.getvalue(), 1) if packed else stream.getvalue()


GOOD = fits_bytes(np.ones((63, 63), np.float32))


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["f4", "f8", "u1", "i2", "u2", "i4"]),
    st.tuples(st.integers(1, 63), st.integers(1, 63)),
    st.integers(0, 120),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_any_image_is_as_astropy_reads_it(
    code: str, shape: tuple[int, int], cards: int, packed: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(100, 50, shape).astype(code)
    if code[0] == "f":
        values[rng.random(shape) < 0.1] = np.nan
        values[rng.random(shape) < 0.02] = np.inf
    stamp = fits_bytes(values, cards=cards, packed=packed)
    np.testing.assert_array_equal(pixels(stamp), with_astropy(stamp))
    if np.any(np.where(np.isfinite(values), values, 0)):
        image = triplet(dict.fromkeys(STAMPS, stamp), STAMPS)
        np.testing.assert_allclose(image[..., 1], normalised(with_astropy(stamp)), rtol=1e-6)


def test_an_image_whose_norm_overflows_is_0_but_for_its_padding() -> None:
    values = np.full((63, 60), 100.0, np.float32)
    values[3, 4] = -3.4e38
    stamps = dict.fromkeys(STAMPS, GOOD) | {STAMPS[1]: fits_bytes(values)}
    image = triplet(stamps, STAMPS)
    np.testing.assert_array_equal(image[..., 1], normalised(values))
    assert not image[:, :60, 1].any()
    assert (image[:, 60:, 1] == np.float32(1e-9)).all()
    assert image[..., 0].any()


@pytest.mark.parametrize("rest", [b"", bytes(64), b"what is no gzip"])
def test_a_stamp_in_parts_is_read_as_gzip_reads_it(rest: bytes) -> None:
    whole = gzip.decompress(GOOD)
    parts = b"".join(gzip.compress(whole[at : at + 3000]) for at in range(0, len(whole), 3000))
    np.testing.assert_array_equal(pixels(parts + rest), with_astropy(GOOD))
    with pytest.raises(BadRecord, match="ends too early"):
        pixels(parts[:-9])
    with pytest.raises(BadRecord, match="64 parts"):
        pixels(gzip.compress(b"") * 65 + GOOD)


def test_what_a_stamp_may_become_is_bounded() -> None:
    small = gzip.compress(bytes(9 << 20))
    with pytest.raises(BadRecord, match="more than 8388608 bytes"):
        pixels(small)
    with pytest.raises(BadRecord, match="more than 8388608 bytes"):
        pixels(gzip.compress(bytes(8 << 20)) + small)
    with pytest.raises(BadRecord, match="2000 x 2000 pixels"):
        pixels(fits_bytes(np.zeros((2000, 2000), np.uint8)))
    assert pixels(fits_bytes(np.zeros((700, 700), np.float64))).shape == (700, 700)


@settings(max_examples=150, deadline=None)
@given(
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=5),
    st.one_of(st.none(), st.integers(0, 10**6)),
)
def test_a_damaged_stamp_is_an_image_or_has_a_reason(
    packed: bool, edits: list[tuple[int, int]], cut: int | None
) -> None:
    data = bytearray(GOOD if packed else gzip.decompress(GOOD))
    for place, value in edits:
        data[place % min(len(data), 3000)] = value  # the header's bytes, mostly
    try:
        values = pixels(bytes(data[: None if cut is None else cut % len(data)]))
    except BadRecord:
        return
    assert values.dtype == np.float32
    assert values.size <= 1 << 20


def test_scaled_and_blank_pixels() -> None:
    unit = fits.PrimaryHDU(np.arange(12, dtype=np.int16).reshape(3, 4))
    unit.header["BSCALE"], unit.header["BZERO"], unit.header["BLANK"] = 0.5, 10.0, 7
    stream = io.BytesIO()
    unit.writeto(stream)
    values = pixels(stream.getvalue())
    np.testing.assert_array_equal(values, with_astropy(stream.getvalue()))
    assert np.isnan(values[1, 3])


@pytest.mark.parametrize(
    ("stamp", "reason"),
    [
        (b"", "cutoutTemplate is missing"),
        (b"\xff\xd8\xff\xe0" + bytes(100), "cutoutTemplate: it is no FITS image but a JPEG"),
        (b"nonsense", "cutoutTemplate: it is no FITS image"),
        (gzip.compress(b"nonsense", mtime=0), "cutoutTemplate: it is no FITS image"),
        (GOOD[: len(GOOD) // 2], "cutoutTemplate: it cannot be gunzipped: it ends too early"),
        (b"\x1f\x8bnot gzip at all", "cutoutTemplate: it cannot be gunzipped"),
        (gzip.decompress(GOOD)[:4000], "cutoutTemplate: the image ends too early"),
        (gzip.decompress(GOOD)[:400], "cutoutTemplate: its FITS header has no end"),
        (fits_bytes(np.zeros((63, 63), np.float32)), "cutoutTemplate is blank"),
        (fits_bytes(np.full((63, 63), np.nan, np.float32)), "cutoutTemplate is blank"),
        (fits_bytes(np.ones((63, 64), np.float32)), "cutoutTemplate has 64 x 63 pixels; the models take up to 63 x 63"),
        (fits_bytes(np.ones((2, 3, 4), np.float32)), "cutoutTemplate: it has 3 dimensions, not 2"),
        (fits_bytes(None), "cutoutTemplate: it has 0 dimensions, not 2"),
    ],
)
def test_what_cannot_be_an_image_has_a_reason(stamp: bytes, reason: str) -> None:
    found, reasons = triplets(
        [{**dict.fromkeys(STAMPS, GOOD), "cutoutTemplate": stamp}, dict.fromkeys(STAMPS, GOOD)], STAMPS
    )
    assert reasons[0] is not None
    assert reasons[0].startswith(reason)
    assert reasons[1] is None
    assert not found[0].any()
    assert found[1].all()
