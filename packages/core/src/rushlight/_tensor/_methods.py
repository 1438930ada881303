"""Where Tensor's methods from the operator families are told to type checkers: in the stub."""

from __future__ import annotations


class TensorMethods:
    """What the operator families add to Tensor when they are imported."""

    __slots__ = ()
