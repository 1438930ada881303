"""Butterflies: the short Fourier transforms that a pass of a long one is made of, as statements.

`butterfly(r)` transforms the numbers `x0 ... x<r-1>`, given by their parts `x0r, x0i, ...`, and
leaves them in `y0r, y0i, ...`.  Texts are in a type `T`, the parts' type.
"""

from __future__ import annotations

import math
from functools import lru_cache

#: The largest prime that a pass takes; five bits hold it.
LARGEST = 31
#: Lengths with statements of their own; other primes are summed up as the definition says.
WRITTEN = (2, 3, 4, 5, 8)


class _Lines:
    """Statements as they are made, each naming one complex number."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.count = 0

    def name(self) -> str:
        self.count += 1
        return f"t{self.count}"

    def define(self, real: str, imag: str, name: str | None = None) -> str:
        name = name or self.name()
        self.text.append(f"const T {name}r = {real}, {name}i = {imag};")
        return name

    def add(self, a: str, b: str, name: str | None = None) -> str:
        return self.define(f"{a}r + {b}r", f"{a}i + {b}i", name)

    def sub(self, a: str, b: str, name: str | None = None) -> str:
        return self.define(f"{a}r - {b}r", f"{a}i - {b}i", name)

    def turned(self, a: str, name: str | None = None) -> str:
        """-i times a number."""
        return self.define(f"{a}i", f"-{a}r", name)

    def scaled(self, a: str, factor: float) -> str:
        return self.define(f"(T){factor!r} * {a}r", f"(T){factor!r} * {a}i")


def _two(lines: _Lines, x: list[str], y: list[str]) -> None:
    lines.add(x[0], x[1], y[0])
    lines.sub(x[0], x[1], y[1])


def _four(lines: _Lines, x: list[str], y: list[str]) -> None:
    even, apart = lines.add(x[0], x[2]), lines.sub(x[0], x[2])
    odd, turned = lines.add(x[1], x[3]), lines.turned(lines.sub(x[1], x[3]))
    lines.add(even, odd, y[0])
    lines.add(apart, turned, y[1])
    lines.sub(even, odd, y[2])
    lines.sub(apart, turned, y[3])


def _eight(lines: _Lines, x: list[str], y: list[str]) -> None:
    even = [lines.add(x[k], x[k + 4]) for k in range(4)]
    odd = [lines.sub(x[k], x[k + 4]) for k in range(4)]
    half = "(T)0.7071067811865476"
    odd[1] = lines.define(f"{half} * ({odd[1]}r + {odd[1]}i)", f"{half} * ({odd[1]}i - {odd[1]}r)")
    odd[2] = lines.turned(odd[2])
    odd[3] = lines.define(f"{half} * ({odd[3]}i - {odd[3]}r)", f"-{half} * ({odd[3]}r + {odd[3]}i)")
    _four(lines, even, y[::2])
    _four(lines, odd, y[1::2])


def _odd(lines: _Lines, x: list[str], y: list[str]) -> None:
    """A transform of odd length; the numbers at k and n - k go together."""
    n = len(x)
    half = range(1, n // 2 + 1)
    sums = [lines.add(x[k], x[n - k]) for k in half]
    gaps = [lines.turned(lines.sub(x[k], x[n - k])) for k in half]
    total = x[0]
    for k, s in enumerate(sums):
        total = lines.add(total, s, y[0] if k == n // 2 - 1 else None)
    for k in half:
        even, turned = x[0], ""
        for j in half:
            angle = 2 * math.pi * (j * k % n) / n
            even = lines.add(even, lines.scaled(sums[j - 1], math.cos(angle)))
            part = lines.scaled(gaps[j - 1], math.sin(angle))
            turned = lines.add(turned, part) if turned else part
        lines.add(even, turned, y[k])
        lines.sub(even, turned, y[n - k])


def butterfly(r: int) -> str:
    """Statements of the transform of length `r`, one of `WRITTEN`."""
    lines = _Lines()
    x, y = [f"x{k}" for k in range(r)], [f"y{k}" for k in range(r)]
    make = {2: _two, 4: _four, 8: _eight}.get(r, _odd)
    make(lines, x, y)
    return "\n".join(lines.text)


@lru_cache(maxsize=1024)
def radices(n: int) -> tuple[int, ...] | None:
    """The butterflies of a transform of length `n`, None if a prime factor is too large for one.

    Example:
        >>> from rushlight.backend.codegen.butterflies import radices
        >>> radices(1000), radices(128), radices(37)
        ((5, 5, 5, 8), (8, 4, 4), None)
    """
    found: list[int] = []
    twos = (n & -n).bit_length() - 1
    n >>= twos
    if twos % 3 == 1 and twos > 1:  # two fours are better than an eight and a two
        found += [4, 4]
        twos -= 4
    elif twos % 3:
        found.append(1 << twos % 3)
    found += [8] * (twos // 3)
    for prime in range(3, LARGEST + 1, 2):
        while n % prime == 0:
            n //= prime
            found.append(prime)
    return tuple(found[::-1]) if n == 1 else None
