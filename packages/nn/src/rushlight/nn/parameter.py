"""Parameters and buffers: tensors that a module takes into its state when they are assigned.

Also their uninitialized kinds, whose shape a lazy module finds out at its first call.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, cast

import rushlight
from rushlight import Tensor
from rushlight._errors import error


class _ParameterMeta(type(Tensor)):  # type: ignore[misc]
    """Lets tensors of other classes that `Parameter` marked pass as parameters."""

    def __instancecheck__(cls, instance: object) -> bool:
        if type.__instancecheck__(cls, instance):
            return True
        return cls is Parameter and getattr(instance, "_is_param", False) is True


class Parameter(Tensor, metaclass=_ParameterMeta, plain=True):
    """A tensor that is a parameter of the module it is assigned to.

    Args:
        data: Its values, whose memory it shares; None for an empty tensor.
        requires_grad: Whether autograd computes a gradient for it.
    Returns:
        A `Parameter`; for `data` of a tensor subclass, a tensor of that class which passes as one.
    Example:
        >>> rushlight.nn.Parameter(rushlight.ones(2))
        Parameter containing:
        tensor([1., 1.], requires_grad=True)
    """

    def __new__(cls, data: Any = None, requires_grad: bool = True) -> Parameter:
        if data is None:
            data = rushlight.empty(0)
        if not isinstance(data, Tensor):
            raise error(
                TypeError,
                "Parameter",
                f"data must be a tensor, not {type(data).__name__}",
                fix="wrap it in rushlight.tensor(...)",
            )
        if requires_grad and not (data.is_floating_point() or data.is_complex()):
            raise error(
                RuntimeError,
                "Parameter",
                "only tensors of floating point and complex dtype can require gradients",
                given=f"data of dtype {data.dtype}",
                fix="pass requires_grad=False, or convert the data",
            )
        if type(data) is Tensor or isinstance(data, cls):
            return cast(Parameter, Tensor._make_subclass(cls, data, requires_grad))
        marked: Any = data.detach().requires_grad_(requires_grad)
        marked._is_param = True
        return cast(Parameter, marked)

    # `Tensor.__init__` may have other arguments; `__new__` did all there is to do.
    def __init__(self, data: Any = None, requires_grad: bool = True) -> None:
        pass

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        known = memo.get(id(self))
        if known is None:
            known = type(self)(self.data.clone(), self.requires_grad)
            memo[id(self)] = known
        return cast(Parameter, known)

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        # The empty dict stands where PyTorch's files keep backward hooks.
        built: tuple[Any, ...] = (self.data, self.requires_grad, OrderedDict())
        state = dict(getattr(self, "__dict__", {}))
        if state:
            return _rebuild_parameter_with_state, (*built, state)
        return _rebuild_parameter, built


def _rebuild_parameter(data: Tensor, requires_grad: bool, backward_hooks: Any) -> Parameter:
    return Parameter(data, requires_grad)


def _rebuild_parameter_with_state(
    data: Tensor, requires_grad: bool, backward_hooks: Any, state: dict[str, Any]
) -> Parameter:
    parameter = Parameter(data, requires_grad)
    for name, value in state.items():
        setattr(parameter, name, value)
    return parameter


class _BufferMeta(type(Tensor)):  # type: ignore[misc]
    """`isinstance(tensor, Buffer)` asks whether `Buffer` marked the tensor."""

    def __instancecheck__(cls, instance: object) -> bool:
        if type.__instancecheck__(cls, instance):
            return True
        return cls is Buffer and getattr(instance, "_is_buffer", False) is True


class Buffer(Tensor, metaclass=_BufferMeta):
    """A tensor that becomes a buffer of the module it is assigned to.

    Args:
        data: Its values, whose memory it shares; None for an empty tensor.
        persistent: Whether `state_dict` holds it.
    Returns:
        An ordinary tensor with a mark.
    Example:
        >>> module = rushlight.nn.Module()
        >>> module.mean = rushlight.nn.Buffer(rushlight.zeros(3))
        >>> [name for name, _ in module.named_buffers()]
        ['mean']
    """

    def __new__(cls, data: Any = None, *, persistent: bool = True) -> Buffer:
        data = rushlight.empty(0) if data is None else data
        marked = data.detach().requires_grad_(data.requires_grad)
        marked.persistent = persistent
        marked._is_buffer = True
        return cast(Buffer, marked)


class UninitializedTensorMixin:
    """A tensor without a shape yet; `materialize` gives it one and its final class."""

    cls_to_become: type = Tensor

    def materialize(self, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Allocates memory, uninitialized, and turns this object into an ordinary one.

        Args:
            shape: Its shape from now on.
            device: None for where it is.
            dtype: None for the one it has.
        """
        this = cast(Tensor, self)
        device = this.device if device is None else device
        dtype = this.dtype if dtype is None else dtype
        this.data = rushlight.empty(shape, device=device, dtype=dtype)
        self.__class__ = self.cls_to_become

    @property
    def shape(self) -> Any:
        raise error(
            RuntimeError,
            type(self).__name__,
            "the shape of an uninitialized parameter or buffer is not known",
            fix="call the lazy module once, so that it is initialized",
        )

    def share_memory_(self) -> Any:
        raise error(
            RuntimeError,
            type(self).__name__,
            "an uninitialized parameter or buffer has no memory to share",
            fix="call the lazy module once before module.share_memory()",
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        this = cast(Tensor, self)
        return _rebuild_uninitialized, (type(self), this.requires_grad, this.device, this.dtype)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        known = memo.get(id(self))
        if known is None:
            known = _rebuild_uninitialized(*self.__reduce_ex__(2)[1])
            memo[id(self)] = known
        return known

    def to(self, *args: Any, **kwargs: Any) -> Any:
        moved = cast(Tensor, self).data.to(*args, **kwargs)
        requires_grad = cast(Tensor, self).requires_grad
        return _rebuild_uninitialized(type(self), requires_grad, moved.device, moved.dtype)

    def cpu(self) -> Any:
        return self.to("cpu")

    def detach(self) -> Any:
        return self

    @classmethod
    def __rushlight_function__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        raise error(
            ValueError,
            getattr(func, "__name__", str(func)),
            "an uninitialized parameter or buffer was used",
            fix="call the lazy module once with a sample, so that it is initialized",
        )


def _rebuild_uninitialized(cls: Any, requires_grad: bool, device: Any, dtype: Any) -> Any:
    return cls(requires_grad=requires_grad, device=device, dtype=dtype)


def is_lazy(value: object) -> bool:
    """Whether `value` is an uninitialized parameter or buffer."""
    return isinstance(value, UninitializedTensorMixin)


class UninitializedParameter(UninitializedTensorMixin, Parameter):  # type: ignore[misc]
    """A parameter whose shape a lazy module finds out at its first call.

    Args:
        requires_grad: Whether autograd will compute a gradient for it.
        device: Where its memory will be.
        dtype: Its dtype; None for the default one.
    Example:
        >>> parameter = rushlight.nn.UninitializedParameter()
        >>> parameter.materialize((2, 3))
        >>> type(parameter).__name__, parameter.shape
        ('Parameter', rushlight.Size([2, 3]))
    """

    cls_to_become = Parameter

    def __new__(
        cls, requires_grad: bool = True, device: Any = None, dtype: Any = None
    ) -> UninitializedParameter:
        data = rushlight.empty(0, device=device, dtype=dtype)
        return cast(UninitializedParameter, Tensor._make_subclass(cls, data, requires_grad))

    def __init__(self, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> None:
        pass


class UninitializedBuffer(UninitializedTensorMixin, Tensor):  # type: ignore[misc]
    """A buffer whose shape a lazy module finds out at its first call.

    Args:
        requires_grad: Whether it requires a gradient.
        device: Where its memory will be.
        dtype: Its dtype; None for the default one.
        persistent: Whether `state_dict` holds it.
    """

    cls_to_become = Tensor

    def __new__(
        cls,
        requires_grad: bool = False,
        device: Any = None,
        dtype: Any = None,
        persistent: bool = True,
    ) -> UninitializedBuffer:
        data = rushlight.empty(0, device=device, dtype=dtype)
        made = cast(Any, Tensor._make_subclass(cls, data, requires_grad))
        made.persistent = persistent
        made._is_buffer = True
        return cast(UninitializedBuffer, made)

    def __init__(
        self,
        requires_grad: bool = False,
        device: Any = None,
        dtype: Any = None,
        persistent: bool = True,
    ) -> None:
        pass
