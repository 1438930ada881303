"""Attention on a device, in tiles: no matrix of all scores is ever written to memory.

These kernels are for processors, whose vectors they are written in (`attending`). Elsewhere a maker
gives None, and the core composes attention of products and rows.
"""

from __future__ import annotations

from typing import Any

from ..._dtypes import DType, bool_
from .array import DeviceArray, broadcast_strides
from .attending import ROWS, Texts
from .matmul import Matrix, Problem, Products, batched
from .printing import program
from .registry import Family, Kernel

attention = Family()
FLOATS = "floating reduced"


class Attention:
    """The kernels of one dtype on one device, made when they are first needed."""

    def __init__(self, device: Any, dtype: DType) -> None:
        self.device = device
        self.dtype = dtype
        self.products = Products(device, dtype)
        self._launches: dict[Any, Any] = {}

    def launch(self, name: str, mask: DType | None) -> Any:
        """A kernel for a kind of mask."""
        found = self._launches.get((name, mask))
        if found is None:
            wide = self.products.wide_dtype
            texts = Texts(self.dtype, wide, mask, self.device.dialect)
            source = program([texts.text(name)], self.device.dialect, self.device.double)
            made = self.device.compile(source, {name: texts.signature(name)})
            found = self._launches[name, mask] = made[name]
        return found

    def wide(self, x: DeviceArray) -> DeviceArray:
        """An array in the type that is computed in."""
        wide = self.products.wide_dtype
        made: DeviceArray = x if x.dtype is wide else self.device.movement.cast(x, wide)
        return made

    def forward(
        self, q: DeviceArray, k: DeviceArray, v: DeviceArray, mask: DeviceArray | None, *,
        is_causal: bool, scale: float,
    ) -> tuple[DeviceArray, DeviceArray]:  # fmt: skip
        """See `scaled_dot_product_attention`: the result, and the logarithms of the sums."""
        device = self.device
        out = device.empty((*q.shape[:-1], v.shape[-1]), self.dtype)
        sums = device.empty(q.shape[:-1], self.products.wide_dtype)
        if not sums.size:
            return out, sums
        call = Call(self, (q, k, v), mask, is_causal, scale)
        call(
            "k_attend", call.rows,
            [call.rows_of(0), call.panels_of(1), call.panels_across(2)], [out, sums], call.tall,
        )  # fmt: skip
        return out, sums

    def backward(
        self, g: DeviceArray, q: DeviceArray, k: DeviceArray, v: DeviceArray,
        mask: DeviceArray | None, out: DeviceArray, sums: DeviceArray, *, is_causal: bool,
        scale: float,
    ) -> tuple[DeviceArray, ...]:  # fmt: skip
        """See `attention_backward`."""
        device = self.device
        dq, dk, dv = (device.empty(x.shape, self.dtype) for x in (q, k, v))
        if not (sums.size and k.size + v.size):
            for x in (dq, dk, dv):
                if x.size:
                    device.movement.fill(x, 0)
            return dq, dk, dv
        call = Call(self, (q, k, v, g), mask, is_causal, scale)
        wide = self.products.wide_dtype
        slopes = device.kernels_of("mul", wide)(self.wide(g), self.wide(out))
        deltas = device.kernels_of("sum", wide)(slopes, dim=(len(slopes.shape) - 1,))
        if not slopes.shape[-1]:
            device.movement.fill(deltas, 0)
        rows = [sums if sums.dense else device.dense(sums), deltas]
        keys, values = call.panels_of(1), call.panels_of(2)
        if dq.size:
            call(
                "k_attend_queries", call.rows,
                [call.rows_of(0), keys, call.rows_of(3), values, call.panels_across(1)],
                [dq, *rows], call.depth,
            )  # fmt: skip
        call(
            "k_attend_keys", call.length,
            [
                call.rows_of(1), call.panels_of(0), call.rows_of(2), call.panels_of(3),
                call.panels_across(0), call.panels_across(3),
            ],
            [dk, dv, *rows], call.depth, call.tall,
        )  # fmt: skip
        return dq, dk, dv


class Call:
    """One call: its operands as batches of matrices, and how they are packed."""

    def __init__(
        self, kernels: Attention, operands: tuple[DeviceArray, ...], mask: DeviceArray | None,
        is_causal: bool, scale: float,
    ) -> None:  # fmt: skip
        q, k, v = operands[:3]
        self.kernels = kernels
        self.rows, self.depth = q.shape[-2:]
        self.length, self.tall = v.shape[-2:]
        if k.shape[-2:] != (self.length, self.depth):
            raise ValueError(f"queries {q.shape}, keys {k.shape} and values {v.shape} do not fit")
        self.is_causal, self.scale = is_causal, scale
        lead = q.shape[:-2]
        arrays = [x.settled() for x in operands]
        self.mask_dtype = None
        if mask is not None:
            if mask.dtype is not bool_:
                mask = kernels.wide(mask)
            whole = (*lead, self.rows, self.length)
            arrays.append(
                mask.settled().geometry(whole, broadcast_strides(mask, whole), 0)
            )  # fmt: skip
            self.mask_dtype = mask.dtype
        self.made, (self.outer, self.inner) = batched(arrays, lead)
        self.problem = Problem(0, 0, 0, self.outer, self.inner)

    def _packed(self, x: Matrix, lanes: int, steps: int, width: int) -> Matrix:
        return self.kernels.products.pack(x, lanes, steps, width, self.problem)

    def rows_of(self, place: int) -> Matrix:
        """An operand in panels of 8 rows."""
        x = self.made[place]
        return self._packed(x, *self._shape(place), ROWS)

    def panels_of(self, place: int) -> Matrix:
        """An operand in wide panels of rows: what is summed over is its columns."""
        x = self.made[place]
        return self._packed(x, *self._shape(place), self.kernels.products.width)

    def panels_across(self, place: int) -> Matrix:
        """An operand in wide panels of columns: what is summed over is its rows."""
        rows, columns = self._shape(place)
        width = self.kernels.products.width
        return self._packed(self.made[place].transposed, columns, rows, width)

    def _shape(self, place: int) -> tuple[int, int]:
        q, k = (self.rows, self.depth), (self.length, self.depth)
        return (q, k, (self.length, self.tall), (self.rows, self.tall))[place]

    def __call__(
        self, name: str, lanes: int, packed: list[Matrix], arrays: list[DeviceArray], *sums: int
    ) -> None:
        """Launches a kernel over blocks of 8 of `lanes` rows, with panels of sums for each."""
        kernels, width = self.kernels, self.kernels.products.width
        blocks, batch = -(-lanes // ROWS), self.outer * self.inner
        if not blocks * batch:
            return
        panels = sum(-(-n // width) for n in sums)
        scratch = kernels.device.empty(
            (batch * blocks * panels * ROWS * width,), kernels.products.wide_dtype
        )
        mask: tuple[Any, ...] = ()
        if self.mask_dtype is not None:
            last = self.made[-1]
            mask = (*last.operand(), *last.array.strides[-2:])
        operands = [word for x in packed for word in x.operand()]
        kernels.launch(name, self.mask_dtype)(
            (blocks, batch), (1, 1), *operands, *[x.buffer for x in arrays], scratch.buffer, *mask,
            float(self.scale), self.rows, self.length, self.depth, self.tall, self.inner,
            int(self.is_causal),
        )  # fmt: skip


def _kernels(device: Any, dtype: DType) -> Attention | None:
    made = Attention(device, dtype)
    return made if made.products.vectors else None


@attention.kernel("scaled_dot_product_attention", FLOATS)
def _(device: Any, dtype: DType) -> Kernel | None:
    made = _kernels(device, dtype)
    return None if made is None else made.forward


@attention.kernel("attention_backward", FLOATS)
def _(device: Any, dtype: DType) -> Kernel | None:
    made = _kernels(device, dtype)
    return None if made is None else made.backward
