"""The same bytes under another dtype: complex numbers as pairs of reals, and `view(dtype)`."""

from __future__ import annotations

from typing import Any

from .._dtypes import DType
from .._errors import error
from .._modes import STATE
from .._operator import view_operator
from .._registered import operators
from .._tensor.tensor import Tensor, strides_of
from .._views import detached
from ..backend import Kind, kind_of
from ._batching import front
from ._geometry import Geometry, check_tensor, shape_of
from ._public import into, method, public
from .joining import stack
from .views import scatter_through, shifted

view_as_real_op = view_operator("view_as_real(Tensor(a) x) -> Tensor(a)")
view_as_complex_op = view_operator("view_as_complex(Tensor(a) x) -> Tensor(a)")
real_op = view_operator("real(Tensor(a) x) -> Tensor(a)")
imag_op = view_operator("imag(Tensor(a) x) -> Tensor(a)")
view_dtype_op = view_operator("view_dtype(Tensor(a) x, *, dtype dtype, int itemsize) -> Tensor(a)")


def _real_kind(kind: Kind) -> Kind:
    return kind_of(kind.device, kind.dtype.to_real())


def _complex_kind(kind: Kind) -> Kind:
    return kind_of(kind.device, kind.dtype.to_complex())


def _doubled(strides: Any) -> tuple[int, ...]:
    return tuple([2 * step for step in strides])


@view_as_real_op.view
def _(shape: Any, strides: Any, offset: int) -> Geometry:
    return (*shape, 2), (*_doubled(strides), 1), 2 * offset


@view_as_complex_op.view
def _(shape: Any, strides: Any, offset: int) -> Geometry:
    return shape[:-1], tuple([step // 2 for step in strides[:-1]]), offset // 2


@real_op.view
def _(shape: Any, strides: Any, offset: int) -> Geometry:
    return shape, _doubled(strides), 2 * offset


@imag_op.view
def _(shape: Any, strides: Any, offset: int) -> Geometry:
    return shape, _doubled(strides), 2 * offset + 1


view_as_real_op.view_kind = real_op.view_kind = imag_op.view_kind = _real_kind
view_as_complex_op.view_kind = _complex_kind


@view_as_real_op.scatter
def _(x: Tensor, src: Tensor) -> Tensor:
    return view_as_complex(src)


@view_as_complex_op.scatter
def _(x: Tensor, src: Tensor) -> Tensor:
    return view_as_real_op(src)  # type: ignore[no-any-return]


real_op.scatter(scatter_through(real_op))
imag_op.scatter(scatter_through(imag_op))
view_as_real_op.vjp(x=lambda g: view_as_complex(g))
view_as_complex_op.vjp(x=lambda g: view_as_real_op(g))
# The engine turns a real gradient into a complex one.
real_op.vjp(x=lambda g: g)
imag_op.vjp(x=lambda g: g * 1j)
for _op in (view_as_real_op, real_op, imag_op):
    shifted(_op)


@view_as_complex_op.batching
def _(inputs: Any, bdims: Any) -> Any:
    return view_as_complex(front(inputs[0], bdims[0])), 0


@public(methods=False)
def view_as_real(input: Tensor) -> Tensor:
    """A view of complex numbers as pairs of reals, in a new last dimension.

    Raises:
        RuntimeError: The tensor is not complex.
    Example:
        >>> rushlight.view_as_real(rushlight.tensor([1 + 2j]))
        tensor([[1., 2.]])
    """
    if not input._k.is_complex:
        raise error(
            RuntimeError, "view_as_real", "view_as_real is only supported for complex tensors",
            given=f"{input.dtype}",
        )  # fmt: skip
    return view_as_real_op.entry(input)  # type: ignore[no-any-return]


def view_as_complex(input: Tensor) -> Tensor:
    """A view of pairs of reals, in the last dimension, as complex numbers.

    Raises:
        RuntimeError: Not pairs of floating-point numbers side by side in memory.
    Example:
        >>> rushlight.view_as_complex(rushlight.tensor([[1.0, 2.0]]))
        tensor([1.+2.j])
    """
    if input.dtype.name not in ("float16", "float32", "float64"):
        raise error(
            RuntimeError, "view_as_complex", "view_as_complex is only supported for half, float "
            f"and double tensors, but got a tensor of scalar type: {input.dtype.name}",
        )  # fmt: skip
    shape, strides = shape_of(input), strides_of(input)
    if not shape:
        raise error(
            RuntimeError, "view_as_complex", "Input tensor must have one or more dimensions"
        )
    if shape[-1] != 2:
        raise error(RuntimeError, "view_as_complex", "Tensor must have a last dimension of size 2")
    if 0 in shape:
        return view_as_complex_op.entry(input)  # type: ignore[no-any-return]
    if strides[-1] != 1:
        raise error(
            RuntimeError, "view_as_complex", "Tensor must have a last dimension with stride 1"
        )
    if any(step % 2 for n, step in zip(shape[:-1], strides[:-1], strict=True) if n != 1):
        raise error(
            RuntimeError,
            "view_as_complex",
            "Tensor must have a stride divisible by 2 for all but last dimension",
        )
    if input._offset % 2:
        raise error(
            RuntimeError, "view_as_complex", "Tensor must have a storage_offset divisible by 2"
        )
    return view_as_complex_op.entry(input)  # type: ignore[no-any-return]


public(methods=False)(view_as_complex)


@public(methods=False)
def real(input: Tensor) -> Tensor:
    """The real parts of complex numbers, as a view; a real tensor itself.

    Example:
        >>> rushlight.real(rushlight.tensor([1 + 2j]))
        tensor([1.])
    """
    return real_op.entry(input) if input._k.is_complex else input


real_op.function = real


@public(methods=False)
def imag(input: Tensor) -> Tensor:
    """The imaginary parts of complex numbers, as a view.

    Raises:
        RuntimeError: The tensor is not complex.
    Example:
        >>> rushlight.imag(rushlight.tensor([1 + 2j]))
        tensor([2.])
    """
    if not input._k.is_complex:
        raise error(
            RuntimeError, "imag", "imag is not implemented for tensors with non-complex dtypes.",
            given=f"{input.dtype}",
        )  # fmt: skip
    return imag_op.entry(input)  # type: ignore[no-any-return]


def _write_part(part: Any) -> Any:
    def write(self: Tensor, value: Any) -> None:
        target = part(self)
        if isinstance(value, Tensor):
            target.copy_(value)
        else:
            target.fill_(value)

    return write


method("real", property(real, _write_part(real)))
method("imag", property(imag, _write_part(imag)))


# -- making complex numbers -----------------------------------------------------------------


def _parts(who: str, a: Tensor, b: Tensor, names: tuple[str, str]) -> None:
    for name, x in zip(names, (a, b), strict=True):
        check_tensor(who, x, name)
    for x in (a, b):
        if x.dtype.name not in ("float16", "float32", "float64"):
            raise error(
                RuntimeError, who, f"Expected both inputs to be Half, Float or Double tensors but "
                f"got {a.dtype.name} and {b.dtype.name}",
            )  # fmt: skip
    if a.dtype is not b.dtype:
        raise error(
            RuntimeError,
            who,
            f"Expected object of scalar type {a.dtype.name} but got scalar type {b.dtype.name} for "
            "second argument",
            fix=f"convert {names[1]} with .to({a.dtype})",
        )


def _into_exactly(who: str, made: Tensor, out: Any) -> Tensor:
    """The result in `out=`, which must have its dtype."""
    if out is None:
        return made
    if isinstance(out, Tensor) and out.dtype is not made.dtype:
        raise error(
            RuntimeError, who, f"Expected object of scalar type {made.dtype.name} but got scalar "
            f"type {out.dtype.name} for argument 'out'",
        )  # fmt: skip
    return into(who, made, out)  # type: ignore[no-any-return]


@public(methods=False)
def complex(real: Tensor, imag: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Complex numbers of real and imaginary parts.

    Raises:
        RuntimeError: The parts are not floating-point tensors of one dtype.
    Example:
        >>> rushlight.complex(rushlight.tensor([1.0]), rushlight.tensor([2.0]))
        tensor([1.+2.j])
    """
    from .shaping import broadcast_tensors

    _parts("complex", real, imag, ("real", "imag"))
    return _into_exactly("complex", view_as_complex(stack(broadcast_tensors(real, imag), -1)), out)


@public(methods=False)
def polar(abs: Tensor, angle: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Complex numbers of absolute values and angles.

    Raises:
        RuntimeError: The parts are not floating-point tensors of one dtype.
    Example:
        >>> rushlight.polar(rushlight.tensor([2.0]), rushlight.tensor([0.0]))
        tensor([2.+0.j])
    """
    _parts("polar", abs, angle, ("abs", "angle"))
    made = complex(abs * operators["cos"](angle), abs * operators["sin"](angle))
    return _into_exactly("polar", made, out)


complex.accepts_out = polar.accepts_out = True  # type: ignore[attr-defined]


# -- any dtype ------------------------------------------------------------------------------


@view_dtype_op.view
def _(shape: Any, strides: Any, offset: int, *, dtype: DType, itemsize: int) -> Geometry:
    new = dtype.itemsize
    if new == itemsize:
        return shape, strides, offset
    if new < itemsize:
        ratio = itemsize // new
        return (
            (*shape[:-1], shape[-1] * ratio),
            (*[step * ratio for step in strides[:-1]], 1),
            offset * ratio,
        )
    ratio = new // itemsize
    return (
        (*shape[:-1], shape[-1] // ratio),
        (*[step // ratio for step in strides[:-1]], 1),
        offset // ratio,
    )


view_dtype_op.view_kind = lambda kind, *, dtype, itemsize: kind_of(kind.device, dtype)


shifted(view_dtype_op)


def view_dtype(x: Tensor, dtype: DType) -> Tensor:
    """The bytes of a tensor read as another dtype, without history.

    Raises:
        RuntimeError: The items of the last dimension do not make whole items of the dtype.
    """
    old, new = x.itemsize, dtype.itemsize
    shape, strides = shape_of(x), strides_of(x)
    if old != new:
        if not shape:
            raise error(
                RuntimeError, "view", f"self.dim() cannot be 0 to view {x.dtype.name} as "
                f"{dtype.name} (different element sizes)",
            )  # fmt: skip
        if strides[-1] != 1:
            raise error(
                RuntimeError, "view", f"self.stride(-1) must be 1 to view {x.dtype.name} as "
                f"{dtype.name} (different element sizes), but got {strides[-1]}",
            )  # fmt: skip
    if new > old:
        ratio = new // old
        others = [s for n, s in zip(shape[:-1], strides[:-1], strict=True) if n != 1]
        for what, value in (
            ("self.size(-1)", shape[-1]),
            ("self.storage_offset()", x._offset),
            *[("self.stride()", s) for s in others],
        ):
            if value % ratio:
                raise error(
                    RuntimeError, "view", f"{what} must be divisible by {ratio} to view "
                    f"{x.dtype.name} as {dtype.name} (different element sizes), but got {value}",
                )  # fmt: skip
    if STATE.get().grad and x.requires_grad and not STATE.get().interpreters:
        x = detached(x)
    return view_dtype_op(x, dtype=dtype, itemsize=old)  # type: ignore[no-any-return]


view_dtype_op.function = view_dtype


@public(methods=False)
def resolve_conj(input: Tensor) -> Tensor:
    """The tensor: conjugation is never delayed.

    Example:
        >>> rushlight.resolve_conj(rushlight.tensor([1.0]))
        tensor([1.])
    """
    return input


@public(methods=False)
def resolve_neg(input: Tensor) -> Tensor:
    """The tensor: negation is never delayed.

    Example:
        >>> rushlight.resolve_neg(rushlight.tensor([1.0]))
        tensor([1.])
    """
    return input
