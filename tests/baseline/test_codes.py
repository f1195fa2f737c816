"""The codes of outputs: which number comes back, and which code a validation gets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from flask_boxkite.baseline.codes import (
    FINE,
    NEAREST,
    PointCode,
    SingleCode,
    largest_step,
    number_code,
    typical_coarseness,
)
from flask_boxkite.baseline.validation import RegressionValidation

LARGEST = 3.4028234663852886e38

# --- floats in their bins --------------------------------------------------------------------------------------------

BOUNDS = st.floats(allow_nan=False)


def rounded(value: float, code: SingleCode) -> float | None:
    bits = code.bits(value)
    return None if bits is None else code.value(bits)


def between(*ends: float) -> SingleCode:
    """Return the code of numbers in bins with these ends."""
    return SingleCode(tuple(filter(math.isfinite, ends)))


@given(st.floats(allow_nan=False, allow_infinity=False), BOUNDS, BOUNDS)
@example(0.3, 0.3 - 2**-54, 0.3)
@example(math.nextafter(0.5, 0), -math.inf, math.nextafter(0.5, 0))
@example(math.nextafter(0.5, 1), 0.5, math.inf)
@example(5e-324, 0.0, 1.0)
@example(LARGEST + 2.0**100, LARGEST, math.inf)
@example(1e39, 1.0, math.inf)
def test_a_float_stays_in_its_bin(value: float, one: float, other: float) -> None:
    lower, upper = min(one, other), max(one, other)
    assume(lower < value <= upper)
    found = rounded(value, between(lower, upper))

    with np.errstate(all="ignore"):
        nearest = np.float32(value)
        neighbours = [nearest, *(np.nextafter(nearest, np.float32(end)) for end in (-math.inf, math.inf))]
    # As float64: NumPy would round the bounds to float32.
    inside = [single for single in map(float, neighbours) if lower < single <= upper and math.isfinite(single)]
    if not inside or math.isinf(nearest):
        assert found is None
    else:
        assert found in inside
        assert abs(found - value) == min(abs(single - value) for single in inside)


@pytest.mark.parametrize(
    ("value", "lower", "upper", "expected"),
    [
        pytest.param(0.5, 0.25, 0.5, 0.5, id="exact"),
        pytest.param(0.1, 0.0, 1.0, 0.10000000149011612, id="nearest"),
        pytest.param(0.1, 0.0, 0.1, 0.09999999403953552, id="below the upper bound"),
        pytest.param(0.3, 0.29999999999999993, 1.0, 0.30000001192092896, id="nearest above"),
        pytest.param(0.7, 0.6999999999999999, 1.0, 0.7000000476837158, id="above the lower bound"),
        pytest.param(0.3, 0.29999999999999993, 0.3, None, id="bin without a float32"),
        pytest.param(math.nan, 0.0, 1.0, None, id="not a number"),
        pytest.param(math.inf, 0.0, math.inf, None, id="infinite"),
        pytest.param(-math.inf, 0.0, 1.0, None, id="infinite below"),
    ],
)
def test_the_nearest_float_in_the_bin(value: float, lower: float, upper: float, expected: float | None) -> None:
    assert rounded(value, between(lower, upper)) == expected


# --- probabilities ---------------------------------------------------------------------------------------------------

NEARLY_ONE = math.nextafter(1.0, 0.0)


@given(st.floats(0, 1))
@example(0.0)
@example(0.5)
@example(math.nextafter(0.5, 1))
@example(NEARLY_ONE)
@example(1.0)
@example(1e-300)
def test_a_probability_is_as_close_near_one_as_near_zero(value: float) -> None:
    """The loss of a probability of 1 - 1e-12 that is wrong is 27.6; as float32, it would be the one of 1, 36.04."""
    found = rounded(value, SingleCode(is_probability=True))
    assert found is not None
    assert found == pytest.approx(value, rel=2**-24, abs=1e-45)
    assert 1 - found == pytest.approx(1 - value, rel=2**-23 if value > 0.5 else 1e-7, abs=0)
    assert (found == 1) == (value == 1)


@given(st.floats(allow_nan=False, allow_infinity=False), st.lists(st.floats(-2, 2), max_size=5, unique=True))
@example(1.0, [0.0, NEARLY_ONE])
@example(NEARLY_ONE, [0.0, NEARLY_ONE])
@example(-1e-300, [0.0])
@example(1.0, [1.0])
def test_what_is_carried_of_a_probability_lies_in_its_bin(value: float, bounds: list[float]) -> None:
    """Numbers that are no probabilities come, too."""
    code = SingleCode(tuple(sorted(bounds)), is_probability=True)
    found = rounded(value, code)
    if found is not None:
        assert np.searchsorted(code.bounds, found) == np.searchsorted(code.bounds, value)
        assert found == pytest.approx(value, rel=1e-6, abs=1e-6)
    else:
        assert bounds or abs(value) > LARGEST


# --- distances from an origin ----------------------------------------------------------------------------------------


def carried(value: float, code: PointCode) -> float:
    bits = code.bits(value)
    assert bits is not None
    assert 0 <= bits < 2**32
    return code.value(bits)


CODES = [PointCode(0.0, 1.0), PointCode(1.7e9, 2.0**22), PointCode(-1e-3, 2.0**-30), PointCode(1e12, 2.0**-4)]


@pytest.mark.parametrize("code", CODES, ids=[code.name for code in CODES])
@given(distance=st.floats(-300, 300))
@example(distance=255.0)
@example(distance=-1.0)
@example(distance=math.nextafter(255, 0))
def test_a_number_comes_back_within_a_step(code: PointCode, distance: float) -> None:
    value = code.origin + distance * code.unit
    error, step = abs(carried(value, code) - value), code.step(value)
    if abs(distance) <= 255:
        assert error <= step + math.ulp(value)
        assert step <= code.unit * (2**-30 if abs(distance) <= 1 else 2**-26 * abs(distance))
    else:  # float32 rounds it before
        assert error <= 1.25 * step + math.ulp(value)


@given(st.floats(allow_nan=False, allow_infinity=False))
@example(LARGEST)
@example(-LARGEST)
@example(5e-324)
def test_a_number_far_from_training_comes_back_as_nearly_as_float32_can(value: float) -> None:
    code = PointCode(0.0, 2.0**-900)
    bits = code.bits(value)
    if bits is None:
        assert abs(value) > LARGEST * (1 - 2**-21)
    else:
        assert code.value(bits) == pytest.approx(value, rel=2**-21, abs=1e-44)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e39, -1e39, 1.7e308, LARGEST])
def test_no_bits_stand_for_what_float32_cannot_hold(value: float) -> None:
    assert PointCode(0.0, 1.0).bits(value) is None


@pytest.mark.parametrize(
    ("code", "decimals"),
    [
        (PointCode(1.7e9, 2.0**22), 2),
        (PointCode(2e7, 2.0**24), 1),
        (PointCode(50.0, 64.0), 7),
        (PointCode(-(2.0**-10), 2.0**-20), 15),
    ],
    ids=["seconds", "cents", "tens", "tiny"],
)
def test_numbers_of_few_decimals_come_back_as_they_were(
    code: PointCode, decimals: int, rng: np.random.Generator
) -> None:
    """Else a model that is often exactly right would be wrong by a little, which the ranks of errors see."""
    values = code.origin + code.unit * rng.uniform(-1, 1, 2000)
    assert all(carried(value, code) == value for value in (round(each, decimals) for each in values.tolist()))


def test_whole_numbers_come_back_far_from_training() -> None:
    code = PointCode(100.0, 64.0)
    assert all(carried(value, code) == value for value in [0.0, -7.0, 16_000.0, 40_001.0, 2_000_001.0, 1e9])


# --- the choice ------------------------------------------------------------------------------------------------------


def validated(bounds: Sequence[float], errors: Sequence[float]) -> RegressionValidation:
    """Return a validation with ten rows in each bin of the output, by their mean absolute errors."""
    rows, squares = (10,) * len(errors), tuple(error * error for error in errors)
    return RegressionValidation("y", tuple(bounds), rows, tuple(errors), tuple(errors), squares, (), (sum(rows),))


def test_the_step_is_far_smaller_than_errors_that_are_small_beside_the_output() -> None:
    seconds = validated(np.linspace(1.7e9, 1.7e9 + 90 * 86400, 20).tolist(), [30.0] * 21)
    assert number_code(seconds) == PointCode(6500 * 2.0**18, 2.0**22)
    assert largest_step(number_code(seconds), seconds.upper_bounds) == 2**-8
    cents = validated(np.linspace(0, 2e7, 20).tolist(), [1.0] * 21)
    assert largest_step(number_code(cents), cents.upper_bounds) == 2**-6


def seen(bounds: Sequence[float]) -> RegressionValidation:
    """Return a validation with errors of 2.0, and no row outside of the bounds."""
    validation = validated(bounds, [2.0] * (len(bounds) + 1))
    return replace(validation, counts=(0, *validation.counts[1:-1], 0))


@pytest.mark.parametrize("outlier", [1e10, -1e12, 1e15], ids=["above", "below", "far"])
@pytest.mark.parametrize(("middle", "width"), [(50.0, 10.0), (1.7e9, 2e6)], ids=["tens", "seconds"])
def test_one_number_far_from_all_others_does_not_make_their_steps_large(
    outlier: float, middle: float, width: float
) -> None:
    """Its bin reaches from the last tenth of the others to itself, so the code has small steps without both tenths."""
    bounds = sorted([outlier, *np.linspace(middle - width, middle + width, 11).tolist()])
    validation = seen(bounds)
    code = number_code(validation)
    numbers = np.linspace(middle - width, middle + width, 101).tolist()
    assert max(abs(carried(number, code) - number) for number in numbers) < 2.0 / 4 / 2
    assert typical_coarseness(code, validation) < FINE
    assert carried(outlier, code) == pytest.approx(outlier, rel=2**-21)


def test_outliers_of_both_sides_do_neither() -> None:
    bounds = [-1e12, *np.linspace(40.0, 60.0, 11).tolist(), 1e12]
    code = number_code(seen(bounds))
    assert max(abs(carried(number, code) - number) for number in np.linspace(40.0, 60.0, 101).tolist()) < 1e-6


def test_numbers_of_many_magnitudes_are_carried_as_float32() -> None:
    """A step that is equal for all would be larger than the errors of the smallest."""
    bounds = np.logspace(-12, 6, 30)
    validation = validated(bounds.tolist(), (0.1 * np.append(bounds, 1e6)).tolist())
    assert number_code(validation) is NEAREST
    assert largest_step(NEAREST, validation.upper_bounds) == 0.0625


@pytest.mark.parametrize("bounds", [[], [1.0], [-1e300, 1e300]], ids=["none", "one", "huge"])
def test_without_a_range_numbers_are_carried_as_float32(bounds: list[float]) -> None:
    assert number_code(validated(bounds, [1.0] * (len(bounds) + 1))) is NEAREST


def test_a_constant_output_has_a_code() -> None:
    code = number_code(validated([5.0, math.nextafter(5, 6)], [0.0] * 3))
    assert isinstance(code, PointCode)
    assert [carried(value, code) for value in (5.0, 7.0, -2.5)] == [5.0, 7.0, -2.5]
    assert number_code(validated([0.0, 5e-324], [0.0] * 3)).step(0.0) > 0
