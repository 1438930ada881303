"""Bits: logic on integers and bools, and shifts."""

from __future__ import annotations

from typing import Any

from .._errors import error
from .._operator import Operator, binary, unary
from ._public import method
from .elementwise import is_integral, operator_method, public_binary, public_unary

# operator -> (Python operator, what it does)
BITWISE: dict[str, tuple[str, str]] = {
    "bitwise_and": ("and", "Bits set in both elements; on bools, logical and."),
    "bitwise_or": ("or", "Bits set in one of two elements; on bools, logical or."),
    "bitwise_xor": ("xor", "Bits set in exactly one of two elements; on bools, logical xor."),
    "bitwise_left_shift": ("lshift", "`input * 2**other`, by moving bits."),
    "bitwise_right_shift": ("rshift", "`input / 2**other` rounded downwards, by moving bits."),
}


def _wants_integers(op: Operator) -> None:
    """Makes an operator refuse operands that have no bits of their own."""

    def check(*operands: Any) -> None:
        for x in operands:
            if not is_integral(x):
                raise error(
                    NotImplementedError,
                    op.name,
                    f'"{op.name}_cpu" not implemented for {getattr(x, "dtype", type(x).__name__)}',
                    expected="bools or integers",
                )

    op.check(check)


for _name, (_python, _doc) in BITWISE.items():
    _op = binary(_name, differentiable=False)
    _wants_integers(_op)
    public_binary(_op, _doc, scalar_first=True)
    operator_method(_python, _op, reflected=True, inplace=True)

bitwise_not = unary("bitwise_not", promotes="default", differentiable=False)
_wants_integers(bitwise_not)
public_unary(bitwise_not, "Each bit flipped; on bools, logical not.")
method("__invert__", bitwise_not.entry)
