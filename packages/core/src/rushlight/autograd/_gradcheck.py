"""gradcheck: derivatives compared with finite differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .._autograd.engine import grad as gradient
from .._errors import error
from .._tensor.construction import from_host, to_host
from .._tensor.tensor import Tensor

HostArray = np.ndarray[Any, Any]


class GradcheckError(RuntimeError):
    """A derivative that does not agree with finite differences."""


def _tensors(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def _differentiable(values: tuple[Any, ...]) -> list[Tensor]:
    return [x for x in values if isinstance(x, Tensor) and x.requires_grad]


def _outputs(func: Callable[..., Any], inputs: tuple[Any, ...]) -> list[Tensor]:
    return [o for o in _tensors(func(*inputs)) if isinstance(o, Tensor) and o.dtype.is_inexact]


def _host(x: Tensor) -> HostArray:
    return np.array(to_host(x.detach()))


def _numerical(
    func: Callable[..., Any], inputs: tuple[Any, ...], x: Tensor, eps: float
) -> list[HostArray]:
    """Central differences: for each output the Jacobian (elements of x) x (elements of output),
    over real and imaginary directions separately for a complex input."""
    place = next(i for i, other in enumerate(inputs) if other is x)
    values = _host(x)
    directions = (eps, 1j * eps) if x.dtype.is_complex else (eps,)
    rows: list[list[HostArray]] = []
    for index in np.ndindex(values.shape):
        for step in directions:
            ends = []
            for sign in (1, -1):
                moved = values.copy()
                moved[index] += sign * step
                changed = list(inputs)
                changed[place] = from_host(moved, x.device).requires_grad_(True)
                ends.append([_host(o) for o in _outputs(func, tuple(changed))])
            rows.append([(a - b) / (2 * eps) for a, b in zip(*ends, strict=True)])
    if not rows:
        return [np.zeros((0, o.numel())) for o in _outputs(func, inputs)]
    return [np.array([row[o].ravel() for row in rows]) for o in range(len(rows[0]))]


def _analytical(outputs: list[Tensor], x: Tensor) -> list[HostArray]:
    """The Jacobians that backward gives, in the same layout as `_numerical`."""
    jacobians = []
    for out in outputs:
        columns = []
        units = (1.0, 1j) if out.dtype.is_complex else (1.0,)
        for index in np.ndindex(tuple(out.shape)):
            parts = []
            for unit in units:
                seed = np.zeros(tuple(out.shape), out.dtype.numpy)
                seed[index] = unit
                g = None
                if out.requires_grad:
                    g = gradient(
                        out, x, from_host(seed, out.device), retain_graph=True, allow_unused=True
                    )[0]
                parts.append(np.zeros(tuple(x.shape), x.dtype.numpy) if g is None else _host(g))
            columns.append(_column(parts, x.dtype.is_complex))
        rows = x.numel() * (2 if x.dtype.is_complex else 1)
        jacobians.append(np.array(columns).T if columns else np.zeros((rows, 0)))
    return jacobians


def _column(parts: list[HostArray], complex_input: bool) -> HostArray:
    """What backward says of one output element, as the derivative by each real direction.

    For a real loss L, backward gives dL/dRe + i dL/dIm.  With the cotangents 1 and i the real and
    imaginary part of the output take the place of L.
    """
    flat = [part.ravel() for part in parts]
    if complex_input:
        flat = [np.stack([part.real, part.imag], axis=1).ravel() for part in flat]
    return flat[0] if len(flat) == 1 else flat[0] + 1j * flat[1]


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """Compares derivatives with central differences, element by element.

    Args:
        func: Function of tensors that returns a tensor or a tuple of tensors.
        inputs: Its arguments; those that require grad are checked and should be float64.
        eps: Step of the differences.
        atol, rtol: Tolerances.
        raise_exception: Raises on a difference instead of returning False.
        nondet_tol: How much two backward passes may differ.
        check_forward_ad: Checks `func.jvp` too.
        check_undefined_grad, check_grad_dtypes, check_batched_grad, check_batched_forward_grad,
            check_backward_ad, fast_mode, masked: As in torch; every check here is the full one.
    Returns:
        Whether all derivatives agree.
    Raises:
        ValueError: No input requires grad.
        GradcheckError: A derivative does not agree, is NaN, or changes from pass to pass.
    Example:
        >>> x = rushlight.tensor([0.5, 2.0], dtype=rushlight.float64, requires_grad=True)
        >>> rushlight.autograd.gradcheck(lambda x: x * x, (x,))
        True
    """
    arguments = _tensors(inputs)
    checked = _differentiable(arguments)
    if not checked:
        raise error(
            ValueError,
            "gradcheck",
            "expects at least one input tensor to require gradient, but none of the them have "
            "requires_grad=True",
            fix="make the inputs with requires_grad=True",
        )
    try:
        outputs = _outputs(func, arguments)
        for place, x in enumerate(checked):
            numerical = _numerical(func, arguments, x, eps)
            analytical = _analytical(outputs, x)
            again = _analytical(outputs, x) if nondet_tol >= 0 else analytical
            for o, (n, a, b) in enumerate(zip(numerical, analytical, again, strict=True)):
                _compare(place, o, x, n, a, b, atol, rtol, nondet_tol)
        if check_forward_ad:
            _check_forward(func, arguments, checked, eps, atol, rtol)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def _compare(
    place: int,
    o: int,
    x: Tensor,
    numerical: HostArray,
    analytical: HostArray,
    again: HostArray,
    atol: float,
    rtol: float,
    nondet_tol: float,
) -> None:
    where = f"output {o} with respect to input {place} (of shape {tuple(x.shape)})"
    if np.isnan(analytical).any() and not np.isnan(numerical).any():
        raise error(
            GradcheckError,
            "gradcheck",
            f"the derivative of {where} is NaN",
            given=f"backward gave\n{analytical}",
            expected=f"\n{numerical}",
            fix="autograd.set_detect_anomaly(True) names the operator",
        )
    if not np.allclose(analytical, again, rtol=0, atol=nondet_tol, equal_nan=True):
        raise error(
            GradcheckError,
            "gradcheck",
            f"Backward is not reentrant, i.e., running backward with the same input and "
            f"grad_output multiple times gives different values for {where}",
            given=f"largest difference {np.abs(analytical - again).max():.3g}",
            expected=f"at most nondet_tol={nondet_tol}",
        )
    if not np.allclose(analytical, numerical, rtol=rtol, atol=atol, equal_nan=True):
        raise error(
            GradcheckError,
            "gradcheck",
            f"Jacobian mismatch for {where}",
            given=f"backward gave\n{analytical}",
            expected=f"finite differences give\n{numerical}",
            fix="look at the vjp rules of the operators in the function"
            + ("" if x.dtype.itemsize >= 8 else "; use float64 inputs, which differences need"),
        )


def _check_forward(
    func: Callable[..., Any],
    arguments: tuple[Any, ...],
    checked: list[Tensor],
    eps: float,
    atol: float,
    rtol: float,
) -> None:
    """`jvp` along random directions against differences along them."""
    from ..func._apis import jvp

    random = np.random.default_rng(0)

    def closed(*xs: Tensor) -> Any:
        given = iter(xs)
        return tuple(
            _outputs(
                func, tuple(next(given) if any(x is c for c in checked) else x for x in arguments)
            )
        )

    primals = tuple(x.detach() for x in checked)
    steps = []
    for x in primals:
        step = random.standard_normal(tuple(x.shape))
        if x.dtype.is_complex:
            step = step + 1j * random.standard_normal(tuple(x.shape))
        steps.append(step.astype(x.dtype.numpy))
    _, derivatives = jvp(
        closed, primals, tuple(from_host(s, x.device) for s, x in zip(steps, primals, strict=True))
    )
    ends = []
    for sign in (1, -1):
        moved = tuple(
            from_host(_host(x) + sign * eps * s, x.device)
            for x, s in zip(primals, steps, strict=True)
        )
        ends.append([_host(o) for o in closed(*moved)])
    for o, (found, a, b) in enumerate(zip(derivatives, *ends, strict=True)):
        expected = (a - b) / (2 * eps)
        if not np.allclose(_host(found), expected, rtol=rtol, atol=atol, equal_nan=True):
            raise error(
                GradcheckError,
                "gradcheck",
                f"Jacobian computed with forward mode mismatch for output {o}",
                given=f"jvp gave\n{_host(found)}",
                expected=f"finite differences give\n{expected}",
            )


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """Checks second derivatives: gradcheck of the gradients, by the inputs and the cotangents.

    Args, Returns, Raises: See `gradcheck`.

    Example:
        >>> x = rushlight.tensor([0.5, 2.0], dtype=rushlight.float64, requires_grad=True)
        >>> rushlight.autograd.gradgradcheck(lambda x: x * x * x, (x,))
        True
    """
    arguments = _tensors(inputs)
    checked = _differentiable(arguments)
    outputs = [o for o in _outputs(func, arguments) if o.requires_grad]
    if grad_outputs is None:
        random = np.random.default_rng(0)
        cotangents = []
        for o in outputs:
            values = random.standard_normal(tuple(o.shape))
            if o.dtype.is_complex:
                values = values + 1j * random.standard_normal(tuple(o.shape))
            made = from_host(values.astype(o.dtype.numpy), o.device)
            cotangents.append(made.requires_grad_(True))
    else:
        cotangents = list(_tensors(grad_outputs))
    count = len(arguments)

    def gradients(*values: Any) -> Any:
        given, seeds = values[:count], values[count:]
        results = [o for o in _outputs(func, given) if o.requires_grad]
        places = [i for i, x in enumerate(arguments) if any(x is c for c in checked)]
        found = gradient(
            results, [given[i] for i in places], list(seeds), create_graph=True, allow_unused=True
        )
        return tuple(g for g in found if g is not None)

    return gradcheck(
        gradients,
        (*arguments, *cotangents),
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
        nondet_tol=nondet_tol,
        check_forward_ad=check_fwd_over_rev,
    )
