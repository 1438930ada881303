"""`rushlight.preflight`: what a model needs that a device lacks, found before anything lies there.

The model runs on the meta device, which knows shapes and dtypes only, and a recorder below autograd
notes each operator that would look for a kernel.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from . import _autocast
from ._config import settings
from ._detour import calling_module
from ._device import device as Device
from ._dispatch import execute_kernel, execute_meta, without_recording
from ._dtypes import DType
from ._errors import Explained, error
from ._modes import STATE, with_modes
from ._operator import Operator
from ._tensor.tensor import Tensor, meta_tensor, storage_of
from ._trees import flatten, tree_map
from ._writes import move_data
from .backend import Backend, Kind, backend_for, kind_of
from .backend._registry import normalized
from .backend._tables import table

META = Device("meta")
NATIVE, DECOMPOSED, MISSING = "native", "decomposed", "missing"
#: Stands in place of an operator where tensors of the model can't lie on the device at all.
MOVE = "(move to device)"


@dataclass(slots=True)
class PreflightRow:
    """What a device makes of an operator.

    Attributes:
        operator: Its name.
        status: "native" (the device has a kernel), "decomposed" (it runs as other operators, which
            have rows of their own), or "missing".
        dtypes: Names of the first operands' dtypes.
        count: How many calls.
        modules: Paths of the modules that call it; of missing operators only.
        reason: What is missing, where it is not the kernel.
    """

    operator: str
    status: str
    dtypes: list[str] = field(default_factory=list)
    count: int = 0
    modules: list[str] = field(default_factory=list)
    reason: str = ""


class Preflight:
    """The findings of `preflight`; `print` shows them as a table.

    Attributes:
        device: The device in question.
        rows: All operators, the missing ones first.
        stopped: Why the model could not be followed to its end; "" if it could.
    """

    def __init__(self, device: Device, name: str, rows: list[PreflightRow], stopped: str) -> None:
        order = (MISSING, DECOMPOSED, NATIVE).index
        self.device = device
        self.name = name
        self.rows = sorted(rows, key=lambda row: (order(row.status), row.operator))
        self.stopped = stopped

    def _of(self, status: str) -> list[PreflightRow]:
        return [row for row in self.rows if row.status == status]

    @property
    def native(self) -> list[PreflightRow]:
        """Operators that the device has kernels for."""
        return self._of(NATIVE)

    @property
    def decomposed(self) -> list[PreflightRow]:
        """Operators that run as several others."""
        return self._of(DECOMPOSED)

    @property
    def missing(self) -> list[PreflightRow]:
        """Operators that would raise."""
        return self._of(MISSING)

    @property
    def ok(self) -> bool:
        """Whether nothing is missing, and the model was followed to its end."""
        return not self.missing and not self.stopped

    def __repr__(self) -> str:
        return f"<Preflight of {self.name} on {self.device}: {self._summary()}>"

    def _summary(self) -> str:
        parts = (f"{len(self._of(s))} {s}" for s in (NATIVE, DECOMPOSED, MISSING))
        return ", ".join(parts) + (", stopped" if self.stopped else "")

    def __str__(self) -> str:
        lines = [f"{self.name} on {self.device}: {self._summary()}"]
        if self.rows:
            cells = [
                (
                    r.operator,
                    ", ".join(r.dtypes),
                    r.count,
                    r.status + (f": {r.reason}" if r.reason else ""),
                    ", ".join(r.modules),
                )
                for r in self.rows
            ]
            header = ("operator", "dtypes", "calls", "on the device", "called by")
            lines.append(table(header, cells, right="calls"))
        if self.missing:
            lines.append(
                "to fix: convert to another dtype, use another device, or let the host compute "
                "what is missing: rushlight.backend.fallback('allow')"
            )
        if self.stopped:
            lines.append(f"stopped before the end: {self.stopped}")
        return "\n".join(lines)


def preflight(
    model: Callable[..., Any],
    sample: Any,
    device: Device | str | None = None,
    *,
    loss: Callable[..., Any] | None = None,
    target: Any = None,
) -> Preflight:
    """Lists which operators of a model a device has, runs as others, or lacks.

    Nothing is computed, and nothing is allocated on the device: a copy of the model runs on the
    meta device.  The model itself, its buffers and the random generators stay as they are.

    Args:
        model: A module or any callable.  Tensors that a plain function closes over stay where they
            are; a module's parameters and buffers are copied.
        sample: What it is called with; tensors may lie anywhere.  A tuple is taken as positional
            arguments, a dict as keyword arguments.
        device: The device in question; by default the one where the model's parameters lie, else
            the sample's, else the default device.
        loss: A function of the model's result that gives a scalar.  With it the backward pass is
            followed too.
        target: Second argument of `loss`.
    Returns:
        The findings: `ok`, `missing`, `decomposed`, `native`, and `stopped` where the model could
        not be followed, for example because it reads values.
    Raises:
        RuntimeError: No such device.
        TypeError: `model` can't be called.
    Example:
        >>> found = rushlight.preflight(nn.Linear(3, 2), rushlight.ones(4, 3), "cpu")
        >>> found.ok, found.missing
        (True, [])
    """
    if not callable(model):
        raise error(
            TypeError,
            "preflight",
            f"expected a model that can be called, got {type(model).__name__}",
            expected="a module, or a function of the sample",
        )
    parts = (getattr(model, "__self__", model), loss)
    tensors = [x for part in parts for x in _tensors_of(part)]
    tensors += [x for x in flatten((sample, target))[0] if isinstance(x, Tensor)]
    place = _chosen(device, tensors)
    watch = Watch(place, backend_for(place.type))
    watch.check_places(tensors)
    stopped = ""
    try:
        twins: dict[int, Any] = {}
        run, judge = _on_meta(model, twins), _on_meta(loss, twins)
        inputs, wanted = tree_map(_twin, sample), tree_map(_twin, target)
        with with_modes(**watch.modes(grad=loss is not None)):
            _run(run, inputs, judge, wanted)
    except Exception as raised:
        words = (
            str(raised) if isinstance(raised, Explained) else f"{type(raised).__name__}: {raised}"
        )
        stopped = words
    name = getattr(model, "__qualname__", type(model).__name__)
    return Preflight(place, name, list(watch.rows.values()), stopped)


def _run(model: Any, inputs: Any, loss: Any, target: Any) -> None:
    """Forward, and backward if there is a loss."""
    if isinstance(inputs, tuple):
        result = model(*inputs)
    elif isinstance(inputs, dict):
        result = model(**inputs)
    else:
        result = model(inputs)
    if loss is not None:
        value = loss(result) if target is None else loss(result, target)
        value.backward()


class Watch:
    """The recorder: notes what a device would do with each call, and goes on without data."""

    def __init__(self, place: Device, backend: Backend) -> None:
        self.place = place
        self.backend = backend
        self.rows: dict[tuple[str, str, str], PreflightRow] = {}
        self._silent = 0

    def modes(self, *, grad: bool) -> dict[str, Any]:
        """The modes of the run: these ears, and autocast as the device would have it."""
        state = STATE.get()
        policy = state.autocast
        if policy is not None and policy.device_type == self.place.type:
            policy = _autocast._Cast(META.type, policy.dtype)
        return {"recorder": self, "autocast": policy, "grad": grad or state.grad}

    # -- what dispatch tells -------------------------------------------------------------

    def execute(
        self, op: Operator, inputs: tuple[Any, ...], attributes: dict[str, Any], kind: Kind
    ) -> Any:
        """A call: noted, and followed into its parts where the device has no kernel."""
        if kind.device == self.place and all(x is None for x in inputs):
            kind = kind_of(META, kind.dtype)  # a factory: the result is to lie nowhere
        elif not kind.is_meta:
            return execute_kernel(op, inputs, attributes, kind)
        attributes = self._without_place(attributes)
        if op.kept:  # it moves data itself
            return execute_meta(op, inputs, attributes, kind)
        status = self.note(op, kind.dtype)
        if status == DECOMPOSED:
            return without_recording(op.decomposition_rule, inputs, attributes)  # type: ignore[arg-type]
        self._silent += 1  # a kernel does all of it at once
        try:
            results = execute_meta(op, inputs, attributes, kind)
        finally:
            self._silent -= 1
        for out in results if isinstance(results, tuple) else (results,):
            if out is not None:
                self.check_dtype(op.name, out.dtype)
        return results

    def view(self, op: Operator, x: Tensor, attributes: dict[str, Any], out: Tensor) -> None:
        """A view, which needs no kernel."""

    def alias(self, x: Tensor, out: Tensor) -> None:
        """The same memory under another tensor."""

    def write(self, x: Tensor, value: Tensor) -> None:
        """An in-place write; copying is a duty of every device."""
        move_data(x, value)
        storage_of(x).version += 1

    def read(self, x: Tensor, who: str) -> None:
        """Values leaving for Python."""
        if x.is_meta:
            raise error(
                RuntimeError,
                who,
                "the model reads a tensor's values, and preflight knows shapes only",
                fix="check the parts before and after that line one by one",
            )

    def reserve(self, generator: Any, blocks: int) -> tuple[int, int]:
        """A random draw: the generator stays where it is."""
        return generator.initial_seed(), generator.get_offset()

    # -- findings ------------------------------------------------------------------------

    def _without_place(self, attributes: dict[str, Any]) -> dict[str, Any]:
        """Attributes with the device in question replaced by the meta device."""
        return {
            name: META if isinstance(value, Device) and value.type == self.place.type else value
            for name, value in attributes.items()
        }

    def note(self, op: Operator, dtype: DType) -> str:
        """Enters a call; what the device would do."""
        if self.check_dtype(op.name, dtype):
            return MISSING
        status = NATIVE
        if self.backend.find_kernel(op.name, dtype) is None:
            status = MISSING if op.decomposition_rule is None else DECOMPOSED
        self._enter(op.name, status, dtype)
        return status

    def check_dtype(self, name: str, dtype: DType) -> bool:
        """Enters a dtype that the device does not have; says whether that is so."""
        if dtype in self.backend.dtypes(self.place.index or 0):
            return False
        self._enter(name, MISSING, dtype, f"the device has no {dtype.name}")
        return True

    def check_places(self, tensors: Iterable[Tensor]) -> None:
        """Enters tensors that can't be moved to the device because it lacks their dtype."""
        for x in tensors:
            self.check_dtype(MOVE, x._k.dtype)

    def _enter(self, name: str, status: str, dtype: DType, reason: str = "") -> None:
        if self._silent:
            return
        key = (name, status, reason)
        row = self.rows.setdefault(key, PreflightRow(name, status, reason=reason))
        row.count += 1
        if dtype.name not in row.dtypes:
            row.dtypes.append(dtype.name)
        if status == MISSING:
            where = calling_module()
            if where and where not in row.modules:
                row.modules.append(where)


# -- moving to the meta device --------------------------------------------------------------


def _chosen(given: Device | str | None, tensors: list[Tensor]) -> Device:
    """The device in question."""
    if given is None:
        places = [x._k.device for x in tensors if not x._k.is_meta]
        # Data often waits in host memory; a model that lies elsewhere says where it is to run.
        away = [place for place in places if place.type != "cpu"]
        given = next(iter(away or places), settings.default_device or Device("cpu"))
    place = normalized(given)
    if place.type == META.type:
        raise error(
            RuntimeError,
            "preflight",
            "the meta device computes nothing, so nothing can be missing there",
            fix="name the device that the model is to run on",
        )
    return place


def _tensors_of(owner: Any) -> list[Tensor]:
    """Parameters and buffers of a module; nothing for other callables."""
    if isinstance(owner, type) or not hasattr(owner, "parameters"):
        return []
    return [*owner.parameters(), *getattr(owner, "buffers", tuple)()]


def _on_meta(model: Any, twins: dict[int, Any]) -> Any:
    """A copy of a model whose parameters and buffers lie on the meta device."""
    owner = getattr(model, "__self__", model)
    # `deepcopy` finds these in its memo, and so never copies the data.
    for x in _tensors_of(owner):
        if not hasattr(type(x), "materialize"):  # a lazy parameter copies itself
            twins[id(x)] = _twin(x)
    if model is None or (owner is model and not hasattr(model, "named_modules")):
        return model
    made = copy.deepcopy(model, twins)
    moved = getattr(made, "__self__", made)
    if hasattr(moved, "to"):
        moved.to(META.type)
    return made


def _twin(x: Any) -> Any:
    """A tensor without data in place of another; anything else as it is."""
    if not isinstance(x, Tensor):
        return x
    made = meta_tensor(kind_of(META, x.dtype), tuple(x.shape), None)
    if type(x) is not Tensor:
        made = made.as_subclass(type(x))
        vars(made).update(vars(x))
    made._req = x.requires_grad
    return made
