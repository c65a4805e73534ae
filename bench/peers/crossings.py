"""What the peers compute."""

from __future__ import annotations

from collections.abc import Iterable


def count_crossings(signal: Iterable[float]) -> int:
    """Count changes of sign, sample by sample; zeros are passed over."""
    crossings = 0
    side = 0.0
    for sample in signal:
        if sample != 0:
            if side * sample < 0:
                crossings += 1
            side = sample
    return crossings
