"""Placeholder for generated method signatures."""

class TensorMethods:
    __slots__ = ()
