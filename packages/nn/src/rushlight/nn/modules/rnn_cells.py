"""One step of a recurrent layer: RNNCell, LSTMCell and GRUCell, and the gates' arithmetic."""

from __future__ import annotations

import math
from collections.abc import Sequence

import rushlight
from rushlight import Tensor, ops
from rushlight._errors import error

from .. import functional as F
from .. import init
from ..parameter import Parameter
from .module import Module


def lstm_update(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Hidden and cell state after a step, from the gates before their non-linearities."""
    hidden, cell, _ = ops.lstm_pointwise(gates, cell)
    return hidden, cell


def gru_update(input_gates: Tensor, hidden_gates: Tensor, hidden: Tensor) -> Tensor:
    """The hidden state after a step."""
    hidden, _ = ops.gru_pointwise(input_gates, hidden_gates, hidden)
    return hidden


class RNNCellBase(Module):
    """What the cells share: their parameters and the checks of their inputs.

    Args:
        input_size: Number of features of the input.
        hidden_size: Number of features of the hidden state.
        bias: Has biases.
        num_chunks: Number of gates.
        device: Where the parameters live.
        dtype: The parameters' dtype.
    """

    __constants__ = ["input_size", "hidden_size", "bias"]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        num_chunks: int,
        device: rushlight.device | str | None = None,
        dtype: rushlight.dtype | None = None,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        rows = num_chunks * hidden_size
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (rows, input_size),
            "weight_hh": (rows, hidden_size),
            "bias_ih": (rows,),
            "bias_hh": (rows,),
        }
        for name, shape in shapes.items():
            value = None
            if bias or name.startswith("weight"):
                value = Parameter(rushlight.empty(shape, device=device, dtype=dtype))
            self.register_parameter(name, value)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws all parameters uniformly up to one over the root of the hidden size."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def extra_repr(self) -> str:
        """The settings that differ from their defaults."""
        text = f"{self.input_size}, {self.hidden_size}"
        if self.bias is not True:
            text += f", bias={self.bias}"
        nonlinearity = getattr(self, "nonlinearity", "tanh")
        if nonlinearity != "tanh":
            text += f", nonlinearity={nonlinearity}"
        return text

    def _prepared(self, input: Tensor, hx: Sequence[Tensor] | None, parts: int) -> list[Tensor]:
        """Input and states with a batch dimension, checked; states are zeros unless given."""
        who = type(self).__name__
        tensors = [input, *(hx if hx is not None else ())]
        for name, tensor in zip(("input", "hidden", "cell"), tensors):
            if tensor.ndim not in (1, 2):
                raise error(
                    ValueError,
                    who,
                    f"Expected {name} to be 1D or 2D, got {tensor.ndim}D instead",
                )
        rows = [x if x.ndim == 2 else x.unsqueeze(0) for x in tensors]
        if hx is None:
            zeros = rows[0].new_zeros((rows[0].shape[0], self.hidden_size))
            rows += [zeros] * parts
        wanted = [self.input_size] + [self.hidden_size] * parts
        for name, row, size in zip(("input", "hidden", "cell"), rows, wanted):
            if row.shape != (rows[0].shape[0], size):
                raise error(
                    RuntimeError,
                    who,
                    f"{name} has inconsistent size {tuple(row.shape)}",
                    expected=f"({rows[0].shape[0]}, {size})",
                )
        return rows

    def _gates(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, getattr(self, "weight_" + name), getattr(self, "bias_" + name))


class RNNCell(RNNCellBase):
    """One step of an Elman network: `h' = tanh(W_ih x + b_ih + W_hh h + b_hh)`.

    Args:
        input_size: Number of features of the input.
        hidden_size: Number of features of the hidden state.
        bias: Has biases.
        nonlinearity: `"tanh"` or `"relu"`.
        device: Where the parameters live.
        dtype: The parameters' dtype.

    Example:
        >>> rushlight.nn.RNNCell(3, 4)(rushlight.ones(2, 3)).shape
        rushlight.Size([2, 4])
    """

    __constants__ = ["input_size", "hidden_size", "bias", "nonlinearity"]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: rushlight.device | str | None = None,
        dtype: rushlight.dtype | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """The next hidden state, for input `(N, features)` or `(features,)`."""
        if self.nonlinearity not in ("tanh", "relu"):
            raise error(RuntimeError, "RNNCell", f"Unknown nonlinearity: {self.nonlinearity}")
        x, hidden = self._prepared(input, None if hx is None else (hx,), 1)
        gates = self._gates(x, "ih") + self._gates(hidden, "hh")
        out = gates.tanh() if self.nonlinearity == "tanh" else gates.relu()
        return out if input.ndim == 2 else out.squeeze(0)


class LSTMCell(RNNCellBase):
    """One step of a long short-term memory.

    Args:
        input_size: Number of features of the input.
        hidden_size: Number of features of the hidden and the cell state.
        bias: Has biases.
        device: Where the parameters live.
        dtype: The parameters' dtype.

    Example:
        >>> hidden, cell = rushlight.nn.LSTMCell(3, 4)(rushlight.ones(2, 3))
        >>> hidden.shape, cell.shape
        (rushlight.Size([2, 4]), rushlight.Size([2, 4]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: rushlight.device | str | None = None,
        dtype: rushlight.dtype | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """The next hidden and cell state, for input `(N, features)` or `(features,)`."""
        x, hidden, cell = self._prepared(input, hx, 2)
        gates = self._gates(x, "ih") + self._gates(hidden, "hh")
        hidden, cell = lstm_update(gates, cell)
        return (hidden, cell) if input.ndim == 2 else (hidden.squeeze(0), cell.squeeze(0))


class GRUCell(RNNCellBase):
    """One step of a gated recurrent unit.

    Args:
        input_size: Number of features of the input.
        hidden_size: Number of features of the hidden state.
        bias: Has biases.
        device: Where the parameters live.
        dtype: The parameters' dtype.

    Example:
        >>> rushlight.nn.GRUCell(3, 4)(rushlight.ones(2, 3)).shape
        rushlight.Size([2, 4])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: rushlight.device | str | None = None,
        dtype: rushlight.dtype | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """The next hidden state, for input `(N, features)` or `(features,)`."""
        x, hidden = self._prepared(input, None if hx is None else (hx,), 1)
        out = gru_update(self._gates(x, "ih"), self._gates(hidden, "hh"), hidden)
        return out if input.ndim == 2 else out.squeeze(0)
