"""Broadcasting, promotion and strides of elementwise binary operators, searched by hypothesis."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rushlight as rl
from rushlight.testing.checks import host_of, placed

# PyTorch's rules, told anew: the category of a type, and its rank within the category.
CATEGORY = {"bool": 0, "uint8": 1, "int8": 1, "int16": 1, "int32": 1, "int64": 1, "float16": 2,
            "bfloat16": 2, "float32": 2, "float64": 2, "complex64": 3, "complex128": 3}  # fmt: skip
DTYPES = sorted(CATEGORY)
BITS = {"uint8": 8, "int8": 8, "int16": 16, "int32": 32, "int64": 64}
PRECISION = {
    "float16": 1,
    "bfloat16": 1,
    "float32": 2,
    "complex64": 2,
    "float64": 3,
    "complex128": 3,
}

ARITHMETIC = {"add": np.add, "mul": np.multiply, "maximum": np.maximum, "fmin": np.fmin}
COMPARISONS = {"eq": np.equal, "lt": np.less, "logical_xor": np.logical_xor}

NUMBERS = {"bool": True, "int": 3, "float": 1.5, "complex": 1 + 2j}
DEFAULTS = {"bool": "bool", "int": "int64", "float": "float32", "complex": "complex64"}


def joined(a: str, b: str) -> str:
    """The type of two operands of one rank."""
    if a == b:
        return a
    low, high = sorted((a, b), key=CATEGORY.__getitem__)
    if CATEGORY[high] == 3:
        double = 3 in (PRECISION.get(a, 0), PRECISION.get(b, 0))
        return "complex128" if double else "complex64"
    if CATEGORY[low] != CATEGORY[high]:
        return high
    if CATEGORY[high] == 2:
        return "float32" if {a, b} == {"float16", "bfloat16"} else max(a, b, key=PRECISION.get)  # type: ignore[arg-type]
    wide = max(BITS[a], BITS[b])
    if "uint8" not in (a, b):
        return f"int{wide}"
    return "int16" if wide == 8 else f"int{wide}"


def expected_dtype(operands: list[tuple[str, int]]) -> str:
    """The type of operands given as (type, rank): 2 with dimensions, 1 without, 0 a Python number.

    Each rank joins in itself; a lower rank counts only if its category is higher.
    """
    result = ""
    for rank in (2, 1, 0):
        here = ""
        for dtype, own in operands:
            if own == rank:
                here = joined(here, dtype) if here else dtype
        if not result:
            result = here
        elif here and CATEGORY[here] > CATEGORY[result]:
            if CATEGORY[here] == 3 and CATEGORY[result] == 2:
                here = "complex128" if PRECISION[result] == 3 else "complex64"
            result = here
    return result


def host(shape: tuple[int, ...], name: str, seed: int) -> np.ndarray[Any, Any]:
    random = np.random.default_rng(seed)
    dtype = getattr(rl, name).numpy
    values = random.integers(0, 5, shape)
    return (values + 1j * random.integers(0, 5, shape) if "complex" in name else values).astype(
        dtype
    )


def rank(x: Any) -> int:
    return 2 if x.ndim else 1


def check(name: str, numpy_function: Any, x: Any, y: Any, tags: list[tuple[str, int]]) -> None:
    wanted = expected_dtype(tags)
    if name in ("maximum", "fmin", "lt") and CATEGORY[wanted] == 3:
        return  # complex numbers have no order; that is refused, and tested elsewhere
    kind = getattr(rl, wanted).numpy
    sides = [host_of(v) if isinstance(v, rl.Tensor) else np.asarray(v) for v in (x, y)]
    with np.errstate(all="ignore"):
        left, right = (s.astype(kind) for s in sides)
        expected = np.asarray(numpy_function(left, right))
    result = getattr(rl, name)(x, y)
    if name in COMPARISONS:
        assert result.dtype is rl.bool
    else:
        assert result.dtype is getattr(rl, wanted), f"{result.dtype}, expected {wanted}"
    assert tuple(result.shape) == expected.shape
    # Small whole numbers are exact in every type.
    assert np.array_equal(host_of(result).astype(np.complex128), expected.astype(np.complex128))


@settings(max_examples=300)
@given(
    st.sampled_from(sorted(ARITHMETIC | COMPARISONS)),
    st.sampled_from([(2, 3, 4), (3, 1), (0, 2), (3,), ()]),
    st.data(),
)
def test_operands_of_any_dtype_shape_and_layout(
    device: str, name: str, whole: tuple[int, ...], data: st.DataObject
) -> None:
    tensors, tags = [], []
    for seed in (1, 2):
        keep = data.draw(st.integers(0, len(whole)))
        shape = tuple(1 if data.draw(st.booleans()) else n for n in whole[len(whole) - keep :])
        dtype = data.draw(st.sampled_from(DTYPES))
        layout = data.draw(st.sampled_from(["contiguous", "transposed", "expanded", "strided"]))
        tensors.append(placed(host(shape, dtype, seed), layout, device))
        tags.append((dtype, rank(tensors[-1])))
    check(name, (ARITHMETIC | COMPARISONS)[name], *tensors, tags)


@settings(max_examples=150)
@given(
    st.sampled_from(sorted({"add", "mul", "eq"})),
    st.sampled_from([(2, 3), ()]),
    st.sampled_from(DTYPES),
    st.sampled_from(sorted(NUMBERS)),
)
def test_a_python_number_counts_only_by_its_category(
    device: str, name: str, shape: tuple[int, ...], dtype: str, number: str
) -> None:
    x = placed(host(shape, dtype, 1), "contiguous", device)
    tags = [(dtype, rank(x)), (DEFAULTS[number], 0)]
    check(name, (ARITHMETIC | COMPARISONS)[name], x, NUMBERS[number], tags)


@given(st.sampled_from(DTYPES), st.sampled_from(DTYPES))
def test_promote_types_is_the_type_of_a_sum(device: str, a: str, b: str) -> None:
    assert rl.promote_types(getattr(rl, a), getattr(rl, b)) is getattr(rl, joined(a, b))
    x, y = (placed(host((2,), name, 1), "contiguous", device) for name in (a, b))
    assert rl.result_type(x, y) is (x + y).dtype


@given(
    st.lists(st.integers(2, 4), min_size=1, max_size=3),
    st.lists(st.integers(2, 4), min_size=1, max_size=3),
)
def test_shapes_broadcast_as_in_numpy_or_are_refused(
    device: str, left: list[int], right: list[int]
) -> None:
    x, y = (placed(np.ones(shape, np.float32), "contiguous", device) for shape in (left, right))
    try:
        expected = np.broadcast_shapes(tuple(left), tuple(right))
    except ValueError:
        with pytest.raises(RuntimeError, match="must match the size"):
            x * y
    else:
        assert tuple((x * y).shape) == expected
