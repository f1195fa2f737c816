"""A table of fingerprints: buckets of 16 places, two buckets for each fingerprint.

A fingerprint is a hash of 64 bits. Its lower and its upper half each address a bucket, and it is added to the emptier
one; none is ever dropped. Once both are full, the table doubles: each bucket is split in two by one more bit. It is 85
to 91 % full then, so a fingerprint takes 9 to 19 bytes. With one bucket for each, a table of a million places would
double when it is 30 % full.

References:
    Azar, Broder, Karlin, Upfal, Balanced Allocations, SIAM Journal on Computing 29 (1), 1999.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["PLACES", "add", "split"]

PLACES = 16
"""Places in a bucket, 8 bytes each; 0 is a free one."""

_UPPER = 32
"""First bit of the upper half."""


def add(fingerprint: int, buckets: int, bucket: Callable[[int], list[int]]) -> bool | None:
    """Add a fingerprint to its emptier bucket; return whether it is new, or None if there is no room for it.

    Args:
        fingerprint: Unsigned number of 64 bits, not 0.
        buckets: Number of buckets, a power of two.
        bucket: Returns a bucket by its number, shape (PLACES,), which this function may change.
    """
    lower = bucket(fingerprint & buckets - 1)
    upper = bucket(fingerprint >> _UPPER & buckets - 1)
    if fingerprint in lower or fingerprint in upper:
        return False
    emptier = upper if upper.count(0) > lower.count(0) else lower
    if 0 not in emptier:
        return None
    emptier[emptier.index(0)] = fingerprint
    return True


def split(table: NDArray[np.uint64], first: int, buckets: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return the buckets of a table twice as large that the fingerprints of some buckets move to.

    Bucket *i* becomes the buckets *i* and ``buckets + i``.

    Args:
        table: Consecutive buckets, shape (n, PLACES).
        first: Number of the first of them.
        buckets: Number of buckets in the whole table, a power of two.

    Returns:
        Buckets ``first`` to ``first + n``, and buckets ``buckets + first`` to ``buckets + first + n``.
    """
    numbers = np.arange(first, first + len(table), dtype=np.uint64)[:, np.newaxis]
    is_by_lower = table & np.uint64(buckets - 1) == numbers
    deciding = np.where(is_by_lower, table, table >> np.uint64(_UPPER)) & np.uint64(buckets)
    zero = np.uint64(0)
    return np.where(deciding == 0, table, zero), np.where(deciding == 0, zero, table)
