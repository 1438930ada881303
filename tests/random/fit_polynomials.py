"""Derives the polynomial coefficients of `rushlight._philox`; run it by hand (needs mpmath).

Each polynomial is the best one in the maximum norm (Remez exchange), rounded to machine numbers:
greedily where the interval starts at zero (fit, round the lowest coefficient, take it out of the
target, fit the rest again, so that later coefficients make up for the rounding of earlier ones),
all at once where zero lies inside, as for LOG32: there the powers without a constant are no Haar
system and the exchange need not converge.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import mpmath as mp  # type: ignore[import-untyped]
import numpy as np

mp.mp.prec = 160
Function = Callable[[mp.mpf], mp.mpf]


def remez(
    target: Function, weight: Function, low: int, high: int, a: mp.mpf, b: mp.mpf
) -> list[mp.mpf]:
    """Coefficients of x^low ... x^high minimising max |weight * (target - p)| on [a, b]."""
    n = high - low + 1
    nodes = [(a + b) / 2 - (b - a) / 2 * mp.cos(mp.pi * (k + mp.mpf(1) / 2) / (n + 1))
             for k in range(n + 1)]  # fmt: skip
    grid = [(a + b) / 2 - (b - a) / 2 * mp.cos(mp.pi * k / 600) for k in range(601)]
    for _ in range(12):
        rows = [[x ** (low + j) for j in range(n)] + [(-1) ** k / weight(x)]
                for k, x in enumerate(nodes)]  # fmt: skip
        solution = mp.lu_solve(mp.matrix(rows), mp.matrix([target(x) for x in nodes]))
        coefficients = [solution[j] for j in range(n)]

        def error(x: mp.mpf, c: Sequence[mp.mpf] = coefficients) -> mp.mpf:
            return weight(x) * (target(x) - sum(c[j] * x ** (low + j) for j in range(n)))

        moved = alternating_extrema([error(x) for x in grid], grid, n + 1)
        if moved is None:
            break
        nodes = moved
    return coefficients


def alternating_extrema(
    errors: Sequence[mp.mpf], grid: Sequence[mp.mpf], count: int
) -> list[mp.mpf] | None:
    """The largest error of every run of equal sign, or None where there are too few runs."""
    runs: list[int] = []
    for i, e in enumerate(errors):
        if runs and mp.sign(errors[runs[-1]]) == mp.sign(e):
            if abs(e) > abs(errors[runs[-1]]):
                runs[-1] = i
        else:
            runs.append(i)
    while len(runs) > count:
        runs.pop(0 if abs(errors[runs[0]]) < abs(errors[runs[-1]]) else -1)
    return [grid[i] for i in runs] if len(runs) == count else None


def fit(
    name: str, target: Function, weight: Function, degree: int, a: mp.mpf, b: mp.mpf,
    machine: type[np.floating], fixed: Sequence[float] = (), greedy: bool = True,
) -> list[float]:  # fmt: skip
    """Prints and returns the rounded coefficients, lowest degree first, and the error left."""
    done = [mp.mpf(c) for c in fixed]

    def rest(x: mp.mpf) -> mp.mpf:
        return target(x) - sum(c * x**k for k, c in enumerate(done))

    while len(done) <= degree:
        best = remez(rest, weight, len(done), degree, a, b)
        done += [round_to(machine, c) for c in (best[:1] if greedy else best)]
    points = [a + (b - a) * k / 1000 for k in range(1001)]
    worst = max(abs(weight(x) * rest(x)) for x in points)
    print(
        f"# {name}: degree {degree}, error {mp.nstr(worst, 3)} = 2^{mp.nstr(mp.log(worst, 2), 4)}"
    )
    for c in done:
        print(f"    {float(c)!r},")
    return [float(c) for c in done]


def round_to(machine: type[np.floating], x: mp.mpf) -> mp.mpf:
    """The nearest number of a machine format of 24 or 53 bits."""
    with mp.workprec(24 if machine is np.float32 else 53):
        return +x


def minus_two_log_over_f(f: mp.mpf) -> mp.mpf:
    return -2 * mp.log1p(f) / f if f else mp.mpf(-2)


def minus_two_log_over_s(y: mp.mpf) -> mp.mpf:
    """-2 log((1 + s) / (1 - s)) / s in y = s*s."""
    s = mp.sqrt(y)
    return -4 * mp.atanh(s) / s if y else mp.mpf(-4)


def sine_over_x(y: mp.mpf) -> mp.mpf:
    x = mp.sqrt(y)
    return mp.sin(mp.pi * x / 2) / x if y else mp.pi / 2


def cosine(y: mp.mpf) -> mp.mpf:
    return mp.cos(mp.pi * mp.sqrt(y) / 2)


def main() -> None:
    zero, one = mp.mpf(0), mp.mpf(1)
    low, high = mp.sqrt(mp.mpf(1) / 2) - 1, mp.sqrt(2) - 1
    largest = (high / (2 + high)) ** 2

    def relative(target: Function) -> Function:
        return lambda x: 1 / target(x)

    fit("LOG32", minus_two_log_over_f, relative(minus_two_log_over_f), 8, low, high, np.float32,
        greedy=False)  # fmt: skip
    fit("SIN32", sine_over_x, relative(sine_over_x), 4, zero, one, np.float32)
    fit("COS32", cosine, lambda y: one, 5, zero, one, np.float32, fixed=[1.0])
    fit("LOG64", minus_two_log_over_s, relative(minus_two_log_over_s), 7, zero, largest, np.float64)
    fit("SIN64", sine_over_x, relative(sine_over_x), 8, zero, one, np.float64)
    fit("COS64", cosine, lambda y: one, 8, zero, one, np.float64, fixed=[1.0])


if __name__ == "__main__":
    main()
