"""Recurrent layers: RNN, LSTM and GRU over whole sequences, dense or packed."""

from __future__ import annotations

import math
import warnings
from abc import abstractmethod

import rushlight
from rushlight import Tensor, ops
from rushlight._errors import error

from .. import functional as F
from .. import init
from ..parameter import Parameter
from ..utils.rnn import PackedSequence
from .module import Module
from .rnn_cells import GRUCell as GRUCell
from .rnn_cells import LSTMCell as LSTMCell
from .rnn_cells import RNNCell as RNNCell
from .rnn_cells import RNNCellBase as RNNCellBase
from .rnn_cells import gru_update, lstm_update

# What a layer carries from step to step: the hidden state, and for LSTM the cell state.
State = tuple[Tensor, ...]

_GATES = {"RNN_TANH": 1, "RNN_RELU": 1, "GRU": 3, "LSTM": 4}


class RNNBase(Module):
    """What RNN, LSTM and GRU share: parameters, layers, directions, and the walk through time.

    Args:
        mode: `"RNN_TANH"`, `"RNN_RELU"`, `"LSTM"` or `"GRU"`.
        input_size: Number of features of a time step.
        hidden_size: Number of features of the hidden state.
        num_layers: Number of layers, each fed with the output of the one below.
        bias: Has biases.
        batch_first: Batched inputs and outputs are `(N, L, features)`, not `(L, N, features)`.
        dropout: Probability of dropout on the output of every layer but the last.
        bidirectional: Also walks backwards; outputs of the two directions are concatenated.
        proj_size: Projects an LSTM's hidden state to this size, if positive.
        device: Where the parameters live.
        dtype: The parameters' dtype.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: An argument is out of range.
    """

    __constants__ = [
        "mode",
        "input_size",
        "hidden_size",
        "num_layers",
        "bias",
        "batch_first",
        "dropout",
        "bidirectional",
        "proj_size",
    ]

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: rushlight.device | str | None = None,
        dtype: rushlight.dtype | None = None,
    ) -> None:
        super().__init__()
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = dropout
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        self._check_settings()
        self.dropout = float(dropout)
        self._all_weights = []
        width = self._output_size()
        for layer in range(num_layers):
            features = input_size if layer == 0 else width * self._directions()
            for suffix in self._suffixes(layer):
                self._all_weights.append(self._add_parameters(suffix, features, device, dtype))
        self.reset_parameters()

    def _add_parameters(
        self,
        suffix: str,
        features: int,
        device: rushlight.device | str | None,
        dtype: rushlight.dtype | None,
    ) -> list[str]:
        """Registers the parameters of one layer and direction; returns their names."""
        rows = _GATES[self.mode] * self.hidden_size
        shapes = {
            "weight_ih": (rows, features),
            "weight_hh": (rows, self._output_size()),
            "bias_ih": (rows,),
            "bias_hh": (rows,),
            "weight_hr": (self.proj_size, self.hidden_size),
        }
        names = []
        for name, shape in shapes.items():
            if (name.startswith("bias") and not self.bias) or (
                name == "weight_hr" and not self.proj_size
            ):
                continue
            value = Parameter(rushlight.empty(shape, device=device, dtype=dtype))
            setattr(self, name + suffix, value)
            names.append(name + suffix)
        return names

    def reset_parameters(self) -> None:
        """Draws all parameters uniformly up to one over the root of the hidden size."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def flatten_parameters(self) -> None:
        """Does nothing: parameters need not lie in one block of memory here."""

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters by layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    def extra_repr(self) -> str:
        """The settings that differ from their defaults."""
        text = f"{self.input_size}, {self.hidden_size}"
        if self.proj_size != 0:
            text += f", proj_size={self.proj_size}"
        if self.num_layers != 1:
            text += f", num_layers={self.num_layers}"
        if self.bias is not True:
            text += f", bias={self.bias}"
        if self.batch_first is not False:
            text += f", batch_first={self.batch_first}"
        if self.dropout != 0:
            text += f", dropout={self.dropout}"
        if self.bidirectional is not False:
            text += f", bidirectional={self.bidirectional}"
        return text

    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    def _output_size(self) -> int:
        return self.proj_size if self.proj_size > 0 else self.hidden_size

    def _suffixes(self, layer: int) -> list[str]:
        return [f"_l{layer}", f"_l{layer}_reverse"][: self._directions()]

    def _state_sizes(self) -> tuple[int, ...]:
        """Number of features of each part of the state."""
        return (self._output_size(),)

    @abstractmethod
    def _step(self, x: Tensor, state: State, suffix: str) -> State:
        """The next state, from the projected input of a step and the state before it."""

    def _run(
        self, input: Tensor | PackedSequence, hx: State | None
    ) -> tuple[Tensor | PackedSequence, State]:
        """Brings any input into packed form, walks through the layers, and goes back."""
        if isinstance(input, PackedSequence):
            return self._run_packed(input, hx)
        who = type(self).__name__
        if input.ndim not in (2, 3):
            raise error(
                ValueError,
                who,
                f"Expected input to be 2D or 3D, got {input.ndim}D instead",
                given=f"input of shape {tuple(input.shape)}",
            )
        batched = input.ndim == 3
        if hx is not None:
            hx = tuple(self._with_batch(part, batched) for part in hx)
        x = input if batched else input.unsqueeze(1)
        if batched and self.batch_first:
            x = x.transpose(0, 1)
        self._check_input(x)
        length, batch = x.shape[:2]
        if hx is None:
            hx = self._zero_state(x, batch)
        self._check_state(hx, batch)
        if length == 0:
            raise error(RuntimeError, who, "Expected sequence length to be larger than 0")
        if self._has_sequence_operator():
            out, final = self._layers(x, None, hx)
        else:
            out, final = self._layers(x.reshape(length * batch, -1), [batch] * length, hx)
            out = out.reshape(length, batch, -1)
        if not batched:
            return out.squeeze(1), tuple(part.squeeze(1) for part in final)
        return out.transpose(0, 1) if self.batch_first else out, final

    def _has_sequence_operator(self) -> bool:
        """Whether one operator walks through all steps of sequences of one length.

        Under autocast products alone are of 16 bits, and states are not.
        """
        return not self.proj_size and not rushlight.is_autocast_enabled()

    def _sequence(
        self, gates: Tensor, start: State, suffix: str, backwards: bool
    ) -> tuple[Tensor, State]:
        """Hidden states of all steps, and the last state, by that operator."""
        raise NotImplementedError

    def _run_packed(self, input: PackedSequence, hx: State | None) -> tuple[PackedSequence, State]:
        sizes = [int(size) for size in input.batch_sizes.tolist()]
        self._check_input(input.data)
        if hx is None:
            hx = self._zero_state(input.data, sizes[0])
        elif input.sorted_indices is not None:
            hx = tuple(part.index_select(1, input.sorted_indices) for part in hx)
        self._check_state(hx, sizes[0])
        out, final = self._layers(input.data, sizes, hx)
        if input.unsorted_indices is not None:
            final = tuple(part.index_select(1, input.unsorted_indices) for part in final)
        packed = PackedSequence(
            out, input.batch_sizes, input.sorted_indices, input.unsorted_indices
        )
        return packed, final

    def _layers(self, x: Tensor, sizes: list[int] | None, hx: State) -> tuple[Tensor, State]:
        """Runs all layers on rows sorted by time; step `t` has `sizes[t]` of them.

        Without sizes, `x` is (steps, rows, features).
        """
        finals: list[State] = []
        for layer in range(self.num_layers):
            outputs = []
            for suffix in self._suffixes(layer):
                start = tuple(part[len(finals)] for part in hx)
                backwards = suffix.endswith("_reverse")
                turned = x.transpose(0, 1) if sizes is None else x
                if sizes is None and turned.is_contiguous():  # rows as they lie in memory
                    gates = self._projected(turned, suffix).transpose(0, 1)
                else:
                    gates = self._projected(x, suffix)
                if sizes is None:
                    out, final = self._sequence(gates, start, suffix, backwards)
                else:
                    out, final = self._walk(gates, sizes, start, suffix, backwards)
                outputs.append(out)
                finals.append(final)
            x = outputs[0] if len(outputs) == 1 else rushlight.cat(outputs, -1)
            if self.dropout > 0 and layer + 1 < self.num_layers:
                x = F.dropout(x, self.dropout, self.training)
        return x, tuple(rushlight.stack(parts) for parts in zip(*finals))

    def _projected(self, x: Tensor, suffix: str) -> Tensor:
        """The input's share of all gates at all steps, in one product."""
        bias = None
        if self.bias:
            bias = getattr(self, "bias_ih" + suffix)
            # In a GRU the reset gate scales the hidden share, its bias included.
            if self.mode != "GRU":
                bias = bias + getattr(self, "bias_hh" + suffix)
        return F.linear(x, getattr(self, "weight_ih" + suffix), bias)

    def _walk(
        self, x: Tensor, sizes: list[int], start: State, suffix: str, backwards: bool
    ) -> tuple[Tensor, State]:
        """Steps through time; sequences end (or begin, going backwards) where sizes change."""
        steps = ops.recurrent_steps(x, sizes=tuple(sizes))
        order = range(len(sizes) - 1, -1, -1) if backwards else range(len(sizes))
        state = tuple(part[: sizes[order[0]]] for part in start)
        outputs: list[Tensor] = []
        ended: list[State] = []
        for t in order:
            active, size = state[0].shape[0], sizes[t]
            if size < active:
                ended.append(tuple(part[size:] for part in state))
                state = tuple(part[:size] for part in state)
            elif size > active:
                state = tuple(
                    rushlight.cat([part, new[active:size]]) for part, new in zip(state, start)
                )
            state = self._step(steps[t], state, suffix)
            outputs.append(state[0])
        if ended:
            parts = zip(state, *reversed(ended))
            state = tuple(rushlight.cat(part) for part in parts)
        return rushlight.cat(outputs[::-1] if backwards else outputs), state

    def _zero_state(self, x: Tensor, batch: int) -> State:
        count = self.num_layers * self._directions()
        return tuple(x.new_zeros((count, batch, size)) for size in self._state_sizes())

    def _with_batch(self, part: Tensor, batched: bool) -> Tensor:
        expected = 3 if batched else 2
        if part.ndim != expected:
            kind = "batched 3-D" if batched else "unbatched 2-D"
            raise error(
                RuntimeError,
                type(self).__name__,
                f"For {kind} input, hx should also be {expected}-D but got {part.ndim}-D tensor",
            )
        return part if batched else part.unsqueeze(1)

    def _check_input(self, x: Tensor) -> None:
        who = type(self).__name__
        weight = self.weight_ih_l0
        if x.dtype != weight.dtype and not rushlight.is_autocast_enabled():
            raise error(
                ValueError,
                who,
                f"input must have the type {weight.dtype}, got type {x.dtype}",
                fix="convert the input or the module with .to(dtype)",
            )
        if x.shape[-1] != self.input_size:
            raise error(
                RuntimeError,
                who,
                "input.size(-1) must be equal to input_size",
                given=f"input with {x.shape[-1]} features",
                expected=f"{self.input_size}",
            )

    def _check_state(self, hx: State, batch: int) -> None:
        count = self.num_layers * self._directions()
        dtype = self.weight_ih_l0.dtype
        for index, (part, size) in enumerate(zip(hx, self._state_sizes())):
            if part.dtype != dtype and not rushlight.is_autocast_enabled():
                raise error(
                    RuntimeError,
                    type(self).__name__,
                    "Input and hidden tensors are not the same dtype",
                    given=f"hidden[{index}] of {part.dtype}",
                    expected=f"{dtype}",
                )
            if tuple(part.shape) != (count, batch, size):
                raise error(
                    RuntimeError,
                    type(self).__name__,
                    f"Expected hidden[{index}] size {(count, batch, size)}, got "
                    f"{tuple(part.shape)}",
                    expected="(num_layers * directions, batch, features)",
                )

    def _check_settings(self) -> None:
        who = type(self).__name__
        if self.mode not in _GATES:
            raise error(ValueError, who, f"Unrecognized RNN mode: {self.mode}")
        for name in ("bias", "batch_first"):
            if not isinstance(getattr(self, name), bool):
                raise error(
                    TypeError,
                    who,
                    f"{name} should be of type bool, got: {type(getattr(self, name)).__name__}",
                )
        for name in ("input_size", "hidden_size", "num_layers"):
            value = getattr(self, name)
            if not isinstance(value, int):
                raise error(
                    TypeError, who, f"{name} should be of type int, got: {type(value).__name__}"
                )
            if value <= 0:
                raise error(ValueError, who, f"{name} must be greater than zero, not {value}")
        if not 0 <= self.proj_size < self.hidden_size:
            raise error(
                ValueError,
                who,
                "proj_size has to be smaller than hidden_size, and not negative",
                given=f"proj_size={self.proj_size}, hidden_size={self.hidden_size}",
            )
        if self.proj_size and self.mode != "LSTM":
            raise error(
                ValueError, who, "proj_size argument is only supported for LSTM, not RNN or GRU"
            )
        self._check_dropout(who)

    def _check_dropout(self, who: str) -> None:
        dropout = self.dropout
        if (
            not isinstance(dropout, int | float)
            or isinstance(dropout, bool)
            or not 0 <= dropout <= 1
        ):
            raise error(
                ValueError,
                who,
                "dropout should be a number in range [0, 1] representing the probability of an "
                f"element being zeroed, not {dropout!r}",
            )
        if dropout > 0 and self.num_layers == 1:
            warnings.warn(
                "dropout option adds dropout after all but last recurrent layer, so non-zero "
                f"dropout expects num_layers greater than 1, but got dropout={dropout} and "
                f"num_layers={self.num_layers}",
                stacklevel=4,
            )


class RNN(RNNBase):
    """Elman network: `h' = tanh(W_ih x + b_ih + W_hh h + b_hh)`, in every layer.

    Args:
        input_size: Number of features of a time step.
        hidden_size: Number of features of the hidden state.
        num_layers: Number of layers.
        nonlinearity: `"tanh"` or `"relu"`.
        bias: Has biases.
        batch_first: Batched inputs and outputs are `(N, L, features)`, not `(L, N, features)`.
        dropout: Probability of dropout on the output of every layer but the last.
        bidirectional: Also walks backwards; outputs of the two directions are concatenated.
        device: Where the parameters live.
        dtype: The parameters' dtype.

    Raises:
        ValueError: `nonlinearity` is unknown, or another argument is out of range.

    Example:
        >>> output, hidden = rushlight.nn.RNN(3, 4)(rushlight.ones(5, 2, 3))
        >>> output.shape, hidden.shape
        (rushlight.Size([5, 2, 4]), rushlight.Size([1, 2, 4]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: rushlight.device | str | None = None,
        dtype: rushlight.dtype | None = None,
        *,
        proj_size: int = 0,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise error(
                ValueError,
                "RNN",
                f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.",
            )
        super().__init__(
            f"RNN_{nonlinearity.upper()}",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            proj_size,
            device,
            dtype,
        )
        self.nonlinearity = nonlinearity

    def forward(
        self, input: Tensor | PackedSequence, hx: Tensor | None = None
    ) -> tuple[Tensor | PackedSequence, Tensor]:
        """Runs the network over `input`.

        Args:
            input: `(L, N, features)`, `(L, features)` or a `PackedSequence`.
            hx: Initial hidden states `(layers * directions, N, hidden)`; zeros unless given.

        Returns:
            The last layer's hidden states at all steps, and all layers' at the end.
        """
        out, state = self._run(input, None if hx is None else (hx,))
        return out, state[0]

    def _sequence(
        self, gates: Tensor, start: State, suffix: str, backwards: bool
    ) -> tuple[Tensor, State]:
        weight, relu = getattr(self, "weight_hh" + suffix), self.mode == "RNN_RELU"
        out = ops.rnn_sequence(gates, weight, *start, relu=relu, reverse=backwards)
        return out, (out[0 if backwards else -1],)

    def _step(self, x: Tensor, state: State, suffix: str) -> State:
        gates = rushlight.addmm(x, state[0], getattr(self, "weight_hh" + suffix).t())
        return (gates.tanh() if self.mode == "RNN_TANH" else gates.relu(),)


class LSTM(RNNBase):
    """Long short-term memory: a cell state behind input, forget and output gates.

    Args:
        input_size: Number of features of a time step.
        hidden_size: Number of features of the cell state, and of the hidden state unless
            projected.
        num_layers: Number of layers.
        bias: Has biases.
        batch_first: Batched inputs and outputs are `(N, L, features)`, not `(L, N, features)`.
        dropout: Probability of dropout on the output of every layer but the last.
        bidirectional: Also walks backwards; outputs of the two directions are concatenated.
        proj_size: Projects the hidden state to this size, if positive.
        device: Where the parameters live.
        dtype: The parameters' dtype.

    References:
        Hochreiter, Schmidhuber (1997), Long short-term memory; Gers, Schmidhuber, Cummins (2000),
        Learning to forget; Sak, Senior, Beaufays (2014) for the projection.

    Example:
        >>> output, (hidden, cell) = rushlight.nn.LSTM(3, 4)(rushlight.ones(5, 2, 3))
        >>> output.shape, hidden.shape, cell.shape
        (rushlight.Size([5, 2, 4]), rushlight.Size([1, 2, 4]), rushlight.Size([1, 2, 4]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: rushlight.device | str | None = None,
        dtype: rushlight.dtype | None = None,
    ) -> None:
        super().__init__(
            "LSTM",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            proj_size,
            device,
            dtype,
        )

    def forward(
        self, input: Tensor | PackedSequence, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor | PackedSequence, tuple[Tensor, Tensor]]:
        """Runs the network over `input`.

        Args:
            input: `(L, N, features)`, `(L, features)` or a `PackedSequence`.
            hx: Initial hidden and cell states `(layers * directions, N, features)`; zeros unless
                given.

        Returns:
            The last layer's hidden states at all steps, and all layers' hidden and cell states
            at the end.
        """
        out, (hidden, cell) = self._run(input, None if hx is None else tuple(hx))
        return out, (hidden, cell)

    def _state_sizes(self) -> tuple[int, ...]:
        return self._output_size(), self.hidden_size

    def _sequence(
        self, gates: Tensor, start: State, suffix: str, backwards: bool
    ) -> tuple[Tensor, State]:
        weight = getattr(self, "weight_hh" + suffix)
        out, cells, _ = ops.lstm_sequence(gates, weight, *start, reverse=backwards)
        last = 0 if backwards else -1
        return out, (out[last], cells[last])

    def _step(self, x: Tensor, state: State, suffix: str) -> State:
        hidden, cell = state
        gates = rushlight.addmm(x, hidden, getattr(self, "weight_hh" + suffix).t())
        hidden, cell = lstm_update(gates, cell)
        if self.proj_size:
            hidden = hidden @ getattr(self, "weight_hr" + suffix).t()
        return hidden, cell


class GRU(RNNBase):
    """Gated recurrent unit: reset and update gates on the hidden state.

    Args:
        input_size: Number of features of a time step.
        hidden_size: Number of features of the hidden state.
        num_layers: Number of layers.
        bias: Has biases.
        batch_first: Batched inputs and outputs are `(N, L, features)`, not `(L, N, features)`.
        dropout: Probability of dropout on the output of every layer but the last.
        bidirectional: Also walks backwards; outputs of the two directions are concatenated.
        device: Where the parameters live.
        dtype: The parameters' dtype.

    References:
        Cho et al. (2014), Learning phrase representations using RNN encoder-decoder; the reset
        gate acts after the product, as in cuDNN.

    Example:
        >>> output, hidden = rushlight.nn.GRU(3, 4)(rushlight.ones(5, 2, 3))
        >>> output.shape, hidden.shape
        (rushlight.Size([5, 2, 4]), rushlight.Size([1, 2, 4]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: rushlight.device | str | None = None,
        dtype: rushlight.dtype | None = None,
        *,
        proj_size: int = 0,
    ) -> None:
        super().__init__(
            "GRU",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            proj_size,
            device,
            dtype,
        )

    def forward(
        self, input: Tensor | PackedSequence, hx: Tensor | None = None
    ) -> tuple[Tensor | PackedSequence, Tensor]:
        """Runs the network over `input`; arguments and results as in `RNN.forward`."""
        out, state = self._run(input, None if hx is None else (hx,))
        return out, state[0]

    def _sequence(
        self, gates: Tensor, start: State, suffix: str, backwards: bool
    ) -> tuple[Tensor, State]:
        weight = getattr(self, "weight_hh" + suffix)
        bias = getattr(self, "bias_hh" + suffix) if self.bias else weight.new_zeros(len(weight))
        out, _, _ = ops.gru_sequence(gates, weight, bias, *start, reverse=backwards)
        return out, (out[0 if backwards else -1],)

    def _step(self, x: Tensor, state: State, suffix: str) -> State:
        bias = getattr(self, "bias_hh" + suffix) if self.bias else None
        hidden_gates = F.linear(state[0], getattr(self, "weight_hh" + suffix), bias)
        return (gru_update(x, hidden_gates, state[0]),)
