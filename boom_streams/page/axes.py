"""Ticks of axes."""

from __future__ import annotations

import math

from boom_streams.astro.photometry import ZP_NJY

__all__ = ["magnitude_ticks", "nice_step", "nice_ticks", "round_number"]

_STEPS = (1.0, 2.0, 5.0, 10.0)
#: Magnitudes that are enough for a scale.
_FEW = 3
#: Powers of ten from which numbers have an exponent.
_PLAIN = 7


def nice_step(span: float, count: int) -> float:
    """The smallest of 1, 2 and 5 times a power of ten that divides a span into at most about `count` parts."""
    raw = span / count
    power = 10.0 ** math.floor(math.log10(raw))
    return power * next((step for step in _STEPS if step * power >= raw * (1 - 1e-9)), _STEPS[-1])


def nice_ticks(low: float, high: float, count: int) -> list[float]:
    """Round numbers between two bounds, at most about `count`."""
    if not high > low:
        return []
    step = nice_step(high - low, count)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def magnitude_ticks(top: float, height: float, apart: float) -> list[tuple[float, float]]:
    """Magnitudes for the scale beside a linear flux axis, each with its flux.

    Parameters
    ----------
    top
        Flux at the axis's upper end, nJy.
    height
        Distance between flux 0 and the upper end, in any unit of length.
    apart
        Smallest distance between two ticks, and between the last and flux 0, in the same unit.

    Returns
    -------
    list of (float, float)
        AB magnitude and flux in nJy, the brightest first: whole magnitudes; halves, too, where few fit; tenths
        where none does.
    """
    if not (top > 0 and height > apart):
        return []
    brightest = ZP_NJY - 2.5 * math.log10(top)
    faintest = brightest + 2.5 * math.log10(height / apart)
    places: dict[float, float] = {}
    for parts, enough in ((1, math.inf), (2, _FEW), (10, 1)):
        if len(places) >= enough:
            break
        for number in range(math.ceil(brightest * parts - 1e-9), math.floor(faintest * parts + 1e-9) + 1):
            place = _flux(number / parts) / top * height
            if all(abs(place - other) >= apart for other in places.values()):
                places[number / parts] = place
    return [(magnitude, _flux(magnitude)) for magnitude in sorted(places)]


def round_number(value: float, digits: int = 3) -> str:
    """Text of a number with some significant digits, a true minus sign and no needless zeros."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "–"
    power = math.floor(math.log10(abs(value)))
    if not -_PLAIN < power < _PLAIN:
        text = f"{value:.{digits - 1}e}"
        mantissa, _, exponent = text.partition("e")
        return f"{_shortest(mantissa)}e{int(exponent)}".replace("-", "−")
    return _shortest(f"{value:.{max(0, digits - 1 - power)}f}").replace("-", "−")


def _shortest(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def _flux(magnitude: float) -> float:
    return float(10.0 ** (-0.4 * (magnitude - ZP_NJY)))
