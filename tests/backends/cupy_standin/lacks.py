"""What CuPy 14 has no loops for, of the functions that the array family uses."""

#: Ufuncs without bfloat16.
BFLOAT16 = frozenset(
    """bitwise_and bitwise_or bitwise_xor invert gcd lcm left_shift right_shift logical_not
    logical_xor""".split()
)
#: Ufuncs without complex numbers.
COMPLEX = frozenset(
    """bitwise_and bitwise_or bitwise_xor invert gcd lcm left_shift right_shift logical_and
    logical_or logical_xor logical_not ceil floor trunc floor_divide fmod frexp logaddexp
    logaddexp2 remainder signbit""".split()
)
