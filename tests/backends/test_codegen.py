"""The kernel-language family: descriptions become expressions, and these the text of kernels."""

import numpy as np
import pytest

from rushlight import _dtypes as d
from rushlight.backend import codegen
from rushlight.backend.codegen.array import coalesced
from rushlight.backend.codegen.expression import cast, load, ordered
from rushlight.backend.codegen.operations import UNRECORDED, recorded, recorded_family
from rushlight.backend.codegen.prelude import helpers
from rushlight.backend.codegen.printing import literal, statements
from rushlight.backend.codegen.tracing import Traced, TracingModule, Untraceable

DIALECT = codegen.Dialect(
    name="test", kernel="void", device="", local="", barrier="", function="static", header="",
    header_double="",
)  # fmt: skip


def text_of(function, *dtypes, double=True):
    roots = recorded(function, double, dtypes, (), (), ())
    lines, names = statements([e for e, _ in roots], DIALECT, lambda k: f"x{k}", lambda k: f"a{k}")
    return lines, names, roots


def test_a_function_of_arrays_becomes_statements() -> None:
    lines, names, ((_, dtype),) = text_of(lambda x, y: x * y + 1, d.float32, d.float32)
    assert lines[-1] == f"const f32 {names[0]} = (f32)(t2 + (0x1.0000000000000p+0f));"
    assert dtype is d.float32


def test_one_operation_of_the_same_operands_is_computed_once() -> None:
    ((e, _),) = recorded(lambda x: x.xp.exp(x) + x.xp.exp(x), True, (d.float32,), (), (), ())
    assert sum(node.op == "exp" for node in ordered((e,))) == 1


def test_writing_by_mask_becomes_a_select() -> None:
    def relu(x):
        out = x.copy()
        out[x < 0] = 0
        return out

    lines, _, _ = text_of(relu, d.float32)
    assert any("?" in line for line in lines)


def test_results_of_in_place_operators_and_out_are_seen() -> None:
    def function(x):
        y = x.copy()
        y += 1
        x.xp.multiply(y, y, out=y)
        return y

    ((e, _),) = recorded(function, True, (d.float32,), (), (), ())
    assert [node.op for node in ordered((e,))] == ["load", "const", "+", "*"]


def test_the_truth_of_an_element_is_refused() -> None:
    with pytest.raises(Untraceable, match="not known before the kernel runs"):
        recorded(lambda x: x if x > 0 else -x, True, (d.float32,), (), (), ())


def test_without_float64_nothing_is_computed_in_it() -> None:
    table = recorded_family(False)
    for name, entry in table.items():
        function = entry.get("floating", entry.get("default")) if isinstance(entry, dict) else entry
        if name in UNRECORDED or name in ("polygamma", "nan_to_num", "hardtanh", "round"):
            continue
        for arity in (1, 2, 3):
            try:
                roots = recorded(function, False, (d.float32,) * arity, (), (), ())
            except TypeError:
                continue
            for e, _ in roots:
                assert all(n.type.itemsize < 8 or not n.type.is_inexact for n in ordered((e,)))


@pytest.mark.parametrize("value", [0.1, -0.0, 1e-45, 3.4e38, np.inf, -np.inf, np.nan])
def test_literals_keep_their_bits(value: float) -> None:
    text = literal(value, d.float32, DIALECT)
    if np.isfinite(value):
        assert float.fromhex(text.strip("()f")) == value
        assert text.startswith("(-") == bool(np.signbit(value))
    else:
        assert ("NAN" in text) == bool(np.isnan(value))


def test_the_smallest_whole_number_is_no_overflow() -> None:
    assert literal(-(2**63), d.int64, DIALECT) == "((i64)(-9223372036854775807L - 1))"


def test_constants_are_converted_while_printing_is_prepared() -> None:
    assert cast(codegen.constant(2, d.int64), d.float32).op == "const"
    assert cast(load(0, d.int64), d.float32).op == "cast"


def test_helpers_come_before_what_uses_them_and_only_those() -> None:
    text = helpers("y = remainder_f32(a, b);", DIALECT)
    assert text.index("copysign_f32(") < text.index("remainder_f32(")
    assert "f64" not in text


@pytest.mark.parametrize(
    ("shape", "strides", "sizes"),
    [
        ((2, 3, 4), [(12, 4, 1)], [24]),
        ((2, 3, 4), [(12, 4, 1), (0, 4, 1)], [12, 2]),
        ((3, 2), [(1, 3)], [2, 3]),
        ((1, 5, 1), [(9, 2, 7)], [5]),
        ((), [()], [1]),
    ],
)
def test_dimensions_are_coalesced(shape, strides, sizes) -> None:
    assert coalesced(shape, strides)[0] == sizes


def test_python_numbers_do_not_widen() -> None:
    xp = TracingModule()
    x = Traced(xp, load(0, d.float32), d.float32)
    assert (x * 2).kind is d.float32
    assert (x + 1.5).kind is d.float32
    y = Traced(xp, load(0, d.int8), d.int8)
    assert (y + 1).kind is d.int8
    assert (y + 0.5).kind is d.float64
