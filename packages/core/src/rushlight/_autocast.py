"""Autocast: operators whose inputs are converted to a lower or a higher precision on the way.

Matrix products and convolutions gain from 16-bit operands; exponentials, sums and losses need
float32.  An operator that is in neither list takes its inputs as they come.
"""

from __future__ import annotations

from typing import Any

from ._dtypes import DType, bfloat16, float16, float32
from ._errors import error
from ._modes import STATE, State
from .backend._accelerators import usable
from .backend._current import current_index
from .backend._duties import has_duty

LOWER = frozenset(
    """mm bmm matmul addmm addmv addbmm baddbmm linear conv conv_grad_input conv_grad_weight
    scaled_dot_product_attention prelu chain_matmul""".split()
)
HIGHER = frozenset(
    """exp expm1 log log1p log2 log10 pow rsqrt reciprocal acos asin cosh sinh tan erfinv
    softmax log_softmax native_layer_norm native_group_norm native_rms_norm sum prod cumsum cumprod
    norm vector_norm nll_loss cross_entropy logsumexp""".split()
)


def _lists(device_type: str) -> tuple[frozenset[str], frozenset[str]]:
    """Operators to compute in 16 bits, and in float32: the device's own lists if it has any."""
    if device_type not in ("cpu", "meta"):
        backend = usable(device_type)
        runtime = None if backend is None else backend.runtime(current_index(device_type))
        if has_duty(runtime, "autocast"):
            return runtime.autocast_operators()  # type: ignore[union-attr, no-any-return]
    return LOWER, HIGHER


class _Cast:
    """The active policy; dispatch asks it about every call."""

    def __init__(self, device_type: str, dtype: DType) -> None:
        self.device_type = device_type
        self.dtype = dtype
        self.lower, self.higher = _lists(device_type)

    def cast(self, op: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """The inputs of a call in the precision the policy wants."""
        if op.name in self.lower:
            return tuple(self._converted(x, self.dtype) for x in inputs)
        if op.name in self.higher:
            return tuple(self._converted(x, float32, only=(float16, bfloat16)) for x in inputs)
        return inputs

    def _converted(self, x: Any, dtype: DType, only: tuple[DType, ...] | None = None) -> Any:
        if x is None or not x.is_floating_point() or x.device.type != self.device_type:
            return x
        if x.dtype is dtype or x.dtype.itemsize == 8 or (only is not None and x.dtype not in only):
            return x
        # The conversion itself is an operator, and is recorded: it must not be cast again.
        token = STATE.set(STATE.get().but(autocast=None))
        try:
            return x.to(dtype)
        finally:
            STATE.reset(token)


class autocast:
    """In this block or function, matrix products and convolutions compute in 16 bits.

    Args:
        device_type: The device type it is for, such as "cpu".
        dtype: rushlight.bfloat16 (the default) or rushlight.float16.
        enabled: False makes a block without autocast inside one with it.
        cache_enabled: Accepted; conversions are not kept.
    Raises:
        ValueError: Another dtype.
    Example:
        >>> x = rushlight.ones(2, 2)
        >>> with rushlight.autocast("cpu"):
        ...     (x @ x).dtype
        rushlight.bfloat16
    """

    def __init__(
        self,
        device_type: str,
        dtype: DType | None = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ) -> None:
        if not isinstance(device_type, str):
            raise error(
                ValueError, "autocast",
                f"Expected `device_type` of type `str`, got: `{type(device_type)}`",
            )  # fmt: skip
        chosen = bfloat16 if dtype is None else dtype
        if enabled and chosen not in (bfloat16, float16, float32):
            raise error(
                ValueError, "autocast", f"can't compute in {chosen}",
                expected="rushlight.bfloat16 or rushlight.float16",
            )  # fmt: skip
        self.device, self.fast_dtype, self._enabled = device_type, chosen, enabled
        self._tokens: list[Any] = []

    def __enter__(self) -> autocast:
        policy = _Cast(self.device, self.fast_dtype) if self._enabled else None
        self._tokens.append(STATE.set(STATE.get().but(autocast=policy)))
        return self

    def __exit__(self, *raised: object) -> None:
        STATE.reset(self._tokens.pop())

    def __call__(self, function: Any) -> Any:
        import functools

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with autocast(self.device, self.fast_dtype, self._enabled):
                return function(*args, **kwargs)

        return wrapped


def _policy(state: State, device_type: str | None) -> _Cast | None:
    policy: _Cast | None = state.autocast
    return policy if policy is None or device_type in (None, policy.device_type) else None


def is_autocast_enabled(device_type: str | None = None) -> bool:
    """Whether autocast is on, for a device type.

    Example:
        >>> rushlight.is_autocast_enabled("cpu")
        False
    """
    return _policy(STATE.get(), device_type) is not None


def get_autocast_dtype(device_type: str) -> DType:
    """The dtype that autocast computes in on a device type.

    Example:
        >>> rushlight.get_autocast_dtype("cpu")
        rushlight.bfloat16
    """
    policy = _policy(STATE.get(), device_type)
    return bfloat16 if policy is None else policy.dtype
