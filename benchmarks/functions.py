"""Every elementwise function of float32, at 4 million elements.

    python benchmarks/run.py --group functions --quick --contenders rushlight-numpy,rushlight-opencl

compares the NumPy tier and OpenCL in about five minutes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

import numpy as np
from rows import Row, integers, real

GROUP = "functions"
SIZE = 2**22
ROWS: list[Row] = []

Data = Callable[[], np.ndarray]
Function = Callable[..., Any]


@lru_cache(maxsize=4)
def uniform(low: float, high: float, seed: int = 0) -> np.ndarray:
    """Values from `low` to `high`."""
    draw = np.random.default_rng(seed).random(SIZE, dtype=np.float32)
    return (low + (high - low) * draw).astype(np.float32)


@lru_cache(maxsize=2)
def normal(seed: int = 0) -> np.ndarray:
    """Values of both signs."""
    return real(SIZE, seed=seed)


def positive() -> np.ndarray:
    """What logarithms and gamma functions take."""
    return uniform(1e-3, 20)


def inside() -> np.ndarray:
    """What inverses of sines take."""
    return uniform(-0.999, 0.999)


def other() -> np.ndarray:
    """A second operand."""
    return normal(1)


def function(name: str, call: Function, *data: Data) -> None:
    """Adds a row; `call` gets the library, then the tensors."""

    def prepare(lib: Any, device: str) -> Callable[[], Any]:
        tensors = [lib.from_numpy(make().copy()).to(device) for make in data]
        return lambda: call(lib, *tensors)

    ROWS.append(Row(f"float32_{name}", GROUP, prepare))


@cache  # a library may look long for a name that it has elsewhere
def found(lib: Any, name: str) -> Function:
    """A function by its name, wherever the library has it."""
    for place in (lib, lib.special, lib.nn.functional):
        if hasattr(place, name):
            return getattr(place, name)  # type: ignore[no-any-return]
    raise AttributeError(name)


def functions(names: str, *data: Data, ending: str = "") -> None:
    """Adds a row for each name."""
    for name in names.split():
        function(name + ending, lambda lib, *tensors, name=name: found(lib, name)(*tensors), *data)


def of_one() -> None:
    """Functions of one argument."""
    functions("abs neg square sign ceil floor trunc round frac reciprocal relu isnan", normal)
    functions("exp exp2 expm1 sin cos tan sinh cosh tanh atan asinh sigmoid sinc erf erfc", normal)
    functions("gelu silu mish softplus elu hardswish leaky_relu logsigmoid softsign", normal)
    functions("i0 i0e i1 i1e erfcx ndtr log_ndtr bessel_j0 bessel_j1", normal)
    functions("spherical_bessel_j0 airy_ai lgamma digamma", normal)
    functions("log log2 log10 log1p sqrt rsqrt lgamma digamma", positive, ending="_positive")
    functions("bessel_y0 bessel_y1 modified_bessel_k0 modified_bessel_k1", positive)
    functions("scaled_modified_bessel_k0 scaled_modified_bessel_k1", positive)
    functions("asin acos atanh erfinv", inside)
    functions("acosh", lambda: uniform(1, 11))
    functions("logit ndtri entr", lambda: uniform(0.001, 0.999))
    for n in (1, 2):
        function(f"polygamma_{n}", lambda lib, x, n=n: lib.polygamma(n, x), positive)


def of_more() -> None:
    """Functions of two and three arguments."""
    functions("add sub mul div maximum minimum fmax atan2 hypot copysign nextafter", normal, other)
    functions("logaddexp fmod remainder floor_divide eq lt logical_and", normal, other)
    functions("pow xlogy xlog1py", positive, other)
    functions("zeta", lambda: uniform(1.5, 9), positive)
    functions("ldexp", normal, lambda: integers(SIZE, high=20))
    for exponent in (0.5, 1.7, 3, -1):
        base = normal if exponent == 3 else positive
        function(f"pow_{exponent}", lambda lib, x, e=exponent: lib.pow(x, e), base)
    function("clamp", lambda lib, x: x.clamp(-0.5, 0.5), normal)
    function("where", lambda lib, x, y: lib.where(x > 0, x, y), normal, other)
    function("lerp", lambda lib, x, y: lib.lerp(x, y, 0.3), normal, other)
    functions("addcmul addcdiv", normal, other, lambda: uniform(1, 2))


of_one()
of_more()
