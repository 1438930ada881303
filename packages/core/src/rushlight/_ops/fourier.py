"""Discrete Fourier transforms: `rushlight.fft`.

Every transform is linear, so its derivative is a transform: the adjoint of one direction is the
other, with the scale moved to the other side.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._config import settings
from .._dispatch import Spec
from .._dtypes import DType, bfloat16, float16
from .._errors import error
from .._operator import operator
from .._registered import operators
from .._tensor.tensor import Tensor
from ._batching import over_dims
from ._geometry import check_tensor
from ._matrices import conj
from ._public import public
from .creation import cast_op, full
from .views import check_dim, check_dims

c2c_op = operator('fft_c2c(Tensor x, *, int[] dim, str norm="backward", bool forward) -> Tensor')
r2c_op = operator(
    'fft_r2c(Tensor x, *, int[] dim, str norm="backward", bool onesided=True) -> Tensor'
)
c2r_op = operator(
    'fft_c2r(Tensor x, *, int[] dim, str norm="backward", int last_dim_size) -> Tensor',
    to_real=True,
)

#: The scale of the adjoint: what one direction carries the other must.
_SWAPPED = {"backward": "forward", "forward": "backward", "ortho": "ortho"}


# -- primitives ---------------------------------------------------------------------------------


def _with_size(shape: tuple[int, ...], dim: int, size: int) -> tuple[int, ...]:
    return (*shape[:dim], size, *shape[dim + 1 :])


def resized(x: Tensor, dim: int, size: int) -> Tensor:
    """A tensor cut off, or filled up with zeros, at the end of a dimension."""
    missing = size - x.shape[dim]
    if missing == 0:
        return x
    if missing < 0:
        return x.narrow(dim, 0, size)
    shape = _with_size(tuple(x.shape), dim, missing)
    zeros = full(shape, 0, dtype=x.dtype, device=x.device)
    return operators["cat"](x, zeros, dim=dim)  # type: ignore[no-any-return]


@c2c_op.meta
def _(x: Tensor, *, dim: tuple[int, ...], norm: str, forward: bool) -> Spec:
    return Spec(x.shape, x.dtype)


@c2c_op.vjp
def _(g: Tensor, *, dim: tuple[int, ...], norm: str, forward: bool) -> Tensor:
    return c2c_op(g, dim=dim, norm=_SWAPPED[norm], forward=not forward)  # type: ignore[no-any-return]


@r2c_op.meta
def _(x: Tensor, *, dim: tuple[int, ...], norm: str, onesided: bool) -> Spec:
    size = x.shape[dim[-1]]
    shape = _with_size(tuple(x.shape), dim[-1], size // 2 + 1 if onesided else size)
    return Spec(shape, x.dtype.to_complex())


@r2c_op.vjp
def _(g: Tensor, *, x_shape: Any, dim: tuple[int, ...], norm: str, onesided: bool) -> Tensor:
    if onesided:
        g = resized(g, dim[-1], x_shape[dim[-1]])
    return c2c_op(g, dim=dim, norm=_SWAPPED[norm], forward=False).real  # type: ignore[no-any-return]


@c2r_op.meta
def _(x: Tensor, *, dim: tuple[int, ...], norm: str, last_dim_size: int) -> Spec:
    return Spec(_with_size(tuple(x.shape), dim[-1], last_dim_size), x.dtype.to_real())


@c2r_op.vjp
def _(g: Tensor, *, dim: tuple[int, ...], norm: str, last_dim_size: int) -> Tensor:
    out = r2c_op(g, dim=dim, norm=_SWAPPED[norm])
    last = dim[-1]
    twins = last_dim_size - out.shape[last]
    # All but the ends stand for themselves and for their mirror image.
    parts = [out.narrow(last, 0, 1), out.narrow(last, 1, twins) * 2]
    parts.append(out.narrow(last, 1 + twins, out.shape[last] - 1 - twins))
    return operators["cat"](*parts, dim=last)  # type: ignore[no-any-return]


for _op in (c2c_op, r2c_op, c2r_op):
    _op.jvp("linear")
    _op.batching(over_dims(_op))


# -- arguments ----------------------------------------------------------------------------------


def _checked(who: str, x: Any, *, real: bool = False) -> Tensor:
    """An operand in a dtype that transforms take."""
    check_tensor(who, x)
    if real and x.dtype.is_complex:
        raise error(
            RuntimeError,
            who,
            f"{who.rpartition('.')[2]} expects a real input tensor, but got {x.dtype.name}",
            fix="use the transform of complex tensors, or pass x.real",
        )
    if x.dtype in (float16, bfloat16):
        raise error(
            RuntimeError,
            who,
            f"Unsupported dtype {x.dtype.name}",
            fix="convert it, for example x.to(rushlight.float32)",
        )
    operand: Tensor = x if x.dtype.is_inexact else cast_op(x, dtype=settings.default_dtype)
    return operand


def _complex(x: Tensor) -> Tensor:
    return x if x.dtype.is_complex else cast_op(x, dtype=x.dtype.to_complex())


def _norm(who: str, norm: str | None) -> str:
    if norm is None:
        return "backward"
    if norm not in _SWAPPED:
        raise error(
            RuntimeError,
            who,
            f'Invalid normalization mode: "{norm}"',
            expected="'forward', 'backward' or 'ortho'",
        )
    return norm


def _sizes(who: str, x: Tensor, s: Any, dim: Any) -> tuple[tuple[int, ...], list[int | None]]:
    """Dimensions to transform, and for each its new size or None."""
    if isinstance(s, int):
        s = (s,)
    if isinstance(dim, int):
        dim = (dim,)
    if s is not None and dim is None and len(s) > x.ndim:
        raise error(
            RuntimeError,
            who,
            f"Got shape with {len(s)} values but input tensor only has {x.ndim} dimensions.",
        )
    if dim is None:
        dims = tuple(range(x.ndim)) if s is None else tuple(range(x.ndim - len(s), x.ndim))
    else:
        if x.ndim == 0 and tuple(dim):
            raise error(
                IndexError, who, f"Dimension specified as {dim[0]} but tensor has no dimensions"
            )
        if s is not None and len(s) != len(tuple(dim)):
            raise error(
                RuntimeError,
                who,
                "When given, dim and shape arguments must have the same length",
                given=f"s={tuple(s)}, dim={tuple(dim)}",
            )
        try:
            dims = check_dims(who, tuple(dim), x.ndim)
        except RuntimeError as reason:
            raise error(RuntimeError, who, "FFT dims must be unique") from reason
    sizes: list[int | None] = [None if s is None or n == -1 else int(n) for n in s or dims]
    for n in sizes:
        _check_points(who, n)
    return dims, sizes


def _check_points(who: str, n: int | None) -> None:
    if n is not None and n < 1:
        raise error(
            RuntimeError, who, f"Invalid number of data points ({n}) specified", expected="n >= 1"
        )


def _fitted(who: str, x: Tensor, dims: Sequence[int], sizes: Sequence[int | None]) -> Tensor:
    for d, n in zip(dims, sizes, strict=True):
        if n is not None:
            x = resized(x, d, n)
        _check_points(who, x.shape[d])
    return x


# -- the four kinds of transforms ---------------------------------------------------------------


def _c2c(who: str, x: Any, s: Any, dim: Any, norm: str | None, forward: bool) -> Tensor:
    x = _complex(_checked(who, x))
    dims, sizes = _sizes(who, x, s, dim)
    scale = _norm(who, norm)
    x = _fitted(who, x, dims, sizes)
    if not dims:
        return x  # type: ignore[no-any-return]
    return c2c_op(x, dim=dims, norm=scale, forward=forward)  # type: ignore[no-any-return]


def _r2c(who: str, x: Any, s: Any, dim: Any, norm: str | None) -> Tensor:
    x = _checked(who, x, real=True)
    dims, sizes = _sizes(who, x, s, dim)
    scale = _norm(who, norm)
    if not dims:
        raise error(RuntimeError, who, f"{who.rpartition('.')[2]} must transform at least one axis")
    return r2c_op(_fitted(who, x, dims, sizes), dim=dims, norm=scale)  # type: ignore[no-any-return]


def _c2r(who: str, x: Any, s: Any, dim: Any, norm: str | None, conjugated: bool = False) -> Tensor:
    x = _complex(_checked(who, x))
    dims, sizes = _sizes(who, x, s, dim)
    scale = _norm(who, norm)
    if not dims:
        raise error(RuntimeError, who, f"{who.rpartition('.')[2]} must transform at least one axis")
    last = sizes[-1] if sizes[-1] is not None else 2 * (x.shape[dims[-1]] - 1)
    _check_points(who, last)
    x = _fitted(who, x, dims, [*sizes[:-1], last // 2 + 1])
    if conjugated:
        x, scale = conj(x), _SWAPPED[scale]
    return c2r_op(x, dim=dims, norm=scale, last_dim_size=last)  # type: ignore[no-any-return]


def _r2h(who: str, x: Any, s: Any, dim: Any, norm: str | None) -> Tensor:
    return conj(_r2c(who, x, s, dim, _SWAPPED[_norm(who, norm)]))


def _one_dim(who: str, x: Any, dim: Any) -> tuple[int, ...]:
    check_tensor(who, x)
    if x.ndim == 0:
        raise error(IndexError, who, f"Dimension specified as {dim} but tensor has no dimensions")
    return (check_dim(who, dim, x.ndim),)


def _one_size(n: int | None) -> Any:
    return None if n is None else (n,)


_ARGUMENTS_1 = """

    Args:
        input: Tensor.
        n: Length of the transform; the input is cut off or filled up with zeros first.
        dim: The dimension.
        norm: "backward" (the inverse is scaled by 1/n, the default), "forward" (this one is
            scaled by 1/n) or "ortho" (both by 1/sqrt(n)).
        out: Receives the result.
    """
_ARGUMENTS_N = """

    Args:
        input: Tensor.
        s: Lengths of the transform; -1 keeps a size.
        dim: The dimensions.
        norm: "backward" (the inverse is scaled by 1/n, the default), "forward" (this one is
            scaled by 1/n) or "ortho" (both by 1/sqrt(n)).
        out: Receives the result.
    """

_TRANSFORMS: dict[str, tuple[Any, str]] = {
    "fft": (
        lambda w, x, s, d, n: _c2c(w, x, s, d, n, True),
        "The discrete Fourier transform",
    ),
    "ifft": (
        lambda w, x, s, d, n: _c2c(w, x, s, d, n, False),
        "The inverse discrete Fourier transform",
    ),
    "rfft": (
        _r2c,
        "The half of a real tensor's Fourier transform that determines the rest",
    ),
    "irfft": (
        _c2r,
        "The inverse of `rfft`: the real tensor that has this half of a transform",
    ),
    "hfft": (
        lambda w, x, s, d, n: _c2r(w, x, s, d, n, True),
        "The real Fourier transform of a Hermitian-symmetric tensor, given by its half",
    ),
    "ihfft": (
        _r2h,
        "The inverse of `hfft`: half of the Hermitian-symmetric tensor with this transform",
    ),
}


def _define(stem: str, transform: Any, doc: str) -> None:
    """Makes the three public functions of a kind of transform."""
    who = "fft." + stem

    def one(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
        return transform(who, input, _one_size(n), _one_dim(who, input, dim), norm)  # type: ignore[no-any-return]

    def two(input: Tensor, s: Any = None, dim: Any = (-2, -1), norm: str | None = None) -> Tensor:
        return transform(who + "2", input, s, dim, norm)  # type: ignore[no-any-return]

    def several(input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None) -> Tensor:
        return transform(who + "n", input, s, dim, norm)  # type: ignore[no-any-return]

    forms: list[tuple[Any, str, str, str]] = [
        (one, stem, " along one dimension.", _ARGUMENTS_1),
        (two, stem + "2", " over the last two dimensions.", _ARGUMENTS_N),
        (several, stem + "n", " over all or some dimensions.", _ARGUMENTS_N),
    ]
    for function, name, where, arguments in forms:
        function.__name__ = function.__qualname__ = name
        function.__module__ = "rushlight.fft"
        function.__doc__ = doc + where + arguments
        public(namespace="fft", methods=False, out=True)(function)


for _stem, (_transform, _doc) in _TRANSFORMS.items():
    _define(_stem, _transform, _doc)


# -- shifts and frequencies ---------------------------------------------------------------------


def _shift(who: str, x: Tensor, dim: Any, inverse: bool) -> Tensor:
    dims = check_dims(who, dim, x.ndim)
    if not dims:
        return x.clone()
    return x.roll(tuple((x.shape[d] + inverse) // 2 for d in dims), dims)


@public(namespace="fft", methods=False)
def fftshift(input: Tensor, dim: Any = None) -> Tensor:
    """Moves frequency zero to the middle.

    Args:
        input: Result of a transform.
        dim: Dimensions, all by default.
    """
    return _shift("fft.fftshift", input, dim, False)


@public(namespace="fft", methods=False)
def ifftshift(input: Tensor, dim: Any = None) -> Tensor:
    """The inverse of `fftshift`."""
    return _shift("fft.ifftshift", input, dim, True)


def _frequencies(
    numbers: list[int], n: int, d: float, dtype: DType | None, device: Any, requires_grad: bool
) -> Tensor:
    from .._tensor.construction import tensor

    scale = 1.0 / (n * d)
    return tensor(
        [k * scale for k in numbers],
        dtype=dtype or settings.default_dtype,
        device=device,
        requires_grad=requires_grad,
    )


def _frequency_count(who: str, n: Any) -> int:
    if not isinstance(n, int):
        raise error(TypeError, who, f"argument 'n' must be int, not {type(n).__name__}")
    return n


@public(namespace="fft", methods=False, out=True)
def fftfreq(
    n: int,
    d: float = 1.0,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Frequencies of the results of `fft`, in cycles per unit of the sample spacing `d`.

    Example:
        >>> rushlight.fft.fftfreq(4)
        tensor([ 0.0000,  0.2500, -0.5000, -0.2500])
    """
    count = _frequency_count("fft.fftfreq", n)
    numbers = [*range((count + 1) // 2), *range(-(count // 2), 0)]
    return _frequencies(numbers, count, d, dtype, device, requires_grad)


@public(namespace="fft", methods=False, out=True)
def rfftfreq(
    n: int,
    d: float = 1.0,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Frequencies of the results of `rfft`, in cycles per unit of the sample spacing `d`."""
    count = _frequency_count("fft.rfftfreq", n)
    return _frequencies(list(range(count // 2 + 1)), count, d, dtype, device, requires_grad)


__all__ = ["c2c_op", "c2r_op", "r2c_op", "resized"]
