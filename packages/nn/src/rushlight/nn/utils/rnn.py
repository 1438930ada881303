"""Sequences of different lengths: padded to one tensor, or packed step by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import rushlight
from rushlight import Tensor
from rushlight._errors import error


class _Fields(NamedTuple):
    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


class PackedSequence(_Fields):
    """Sequences packed step by step: all first elements, all second ones, and so on.

    Recurrent layers take and return it. Make it with `pack_padded_sequence` or `pack_sequence`.

    Attributes:
        data: The elements of all sequences.
        batch_sizes: How many sequences have a first element, a second one, ...; int64 on the CPU.
        sorted_indices: Which sequence stands at each place, longest first; None for as given.
        unsorted_indices: The inverse of it.
    """

    def __new__(
        cls,
        data: Tensor,
        batch_sizes: Tensor | None = None,
        sorted_indices: Tensor | None = None,
        unsorted_indices: Tensor | None = None,
    ) -> Self:
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        if batch_sizes is None:
            # The form that `PackedSequence((data, batch_sizes))` has in older code.
            if not (isinstance(data, (tuple, list)) and len(data) == 2):
                raise error(AssertionError, "PackedSequence", "batch_sizes is missing")
            data, batch_sizes = data
        if batch_sizes.device.type != "cpu":
            raise error(
                ValueError,
                "PackedSequence",
                "batch_sizes should always be on CPU, because it steers the loop over the steps",
                given=f"batch_sizes on {batch_sizes.device}",
                fix="build it with pack_padded_sequence or pack_sequence",
            )
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The sequence with its data moved or converted as by `Tensor.to`."""
        data = self.data.to(*args, **kwargs)
        if data is self.data:
            return self
        moved = [
            None if indices is None else indices.to(data.device)
            for indices in (self.sorted_indices, self.unsorted_indices)
        ]
        return type(self)(data, self.batch_sizes, *moved)

    def pin_memory(self) -> PackedSequence:
        """The sequence with its data in pinned memory."""
        moved = [
            None if indices is None else indices.pin_memory()
            for indices in (self.sorted_indices, self.unsorted_indices)
        ]
        return type(self)(self.data.pin_memory(), self.batch_sizes, *moved)

    def cpu(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The sequence on the CPU."""
        return self.to("cpu", *args, **kwargs)

    def double(self) -> PackedSequence:
        """The sequence as float64."""
        return self.to(dtype=rushlight.float64)

    def float(self) -> PackedSequence:
        """The sequence as float32."""
        return self.to(dtype=rushlight.float32)

    def half(self) -> PackedSequence:
        """The sequence as float16."""
        return self.to(dtype=rushlight.float16)

    def long(self) -> PackedSequence:
        """The sequence as int64."""
        return self.to(dtype=rushlight.int64)

    def int(self) -> PackedSequence:
        """The sequence as int32."""
        return self.to(dtype=rushlight.int32)

    def is_pinned(self) -> bool:
        """Whether the data lies in pinned memory."""
        return bool(self.data.is_pinned())


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The permutation that undoes `permutation`.

    Example:
        >>> rushlight.nn.utils.rnn.invert_permutation(rushlight.tensor([2, 0, 1]))
        tensor([1, 2, 0])
    """
    if permutation is None:
        return None
    places = rushlight.arange(0, permutation.numel(), device=permutation.device)
    return rushlight.empty_like(permutation).scatter_(0, permutation, places.to(permutation.dtype))


def _lengths(lengths: Any, batch: int, enforce_sorted: bool, steps: int) -> list[int]:
    who = "pack_padded_sequence"
    if isinstance(lengths, Tensor) and lengths.device.type != "cpu":
        raise error(
            RuntimeError,
            who,
            f"'lengths' argument should be a 1D CPU int64 tensor, but got one on {lengths.device}",
            fix="pass lengths.cpu()",
        )
    listed = [int(length) for length in lengths]
    if len(listed) != batch:
        raise error(
            RuntimeError,
            who,
            f"Expected `len(lengths)` to be equal to batch_size, but got {len(listed)} "
            f"(batch_size={batch})",
        )
    if any(length <= 0 for length in listed):
        raise error(
            RuntimeError,
            who,
            "Length of all samples has to be greater than 0, but found an element in 'lengths' "
            "that is <= 0",
        )
    if max(listed, default=0) > steps:
        raise error(
            RuntimeError, who, f"a length of {max(listed)} exceeds the {steps} steps of the input"
        )
    if enforce_sorted and any(a < b for a, b in zip(listed, listed[1:], strict=False)):
        raise error(
            RuntimeError,
            who,
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True",
            given=f"lengths={listed}",
            fix="pass enforce_sorted=False",
        )
    return listed


def pack_padded_sequence(
    input: Tensor,
    lengths: Tensor | Sequence[int],
    batch_first: bool = False,
    enforce_sorted: bool = True,
) -> PackedSequence:
    """Packs a padded batch of sequences.

    Args:
        input: Of shape (steps, batch, *), or with `batch_first` (batch, steps, *).
        lengths: Length of each sequence; positive.
        batch_first: See `input`.
        enforce_sorted: Insist that the longest sequence comes first; False sorts them.
    Raises:
        RuntimeError: The lengths do not fit the input, or are not sorted.
    Example:
        >>> padded = rushlight.tensor([[1, 2, 0], [3, 0, 0], [4, 5, 6]])
        >>> packed = rushlight.nn.utils.rnn.pack_padded_sequence(
        ...     padded, [2, 1, 3], batch_first=True, enforce_sorted=False
        ... )
        >>> packed.data.tolist(), packed.batch_sizes.tolist()
        ([4, 1, 3, 5, 2, 6], [3, 2, 1])
    """
    if batch_first:
        input = input.transpose(0, 1)
    if input.dim() < 2 or input.numel() == 0:
        raise error(
            RuntimeError,
            "pack_padded_sequence",
            "Cannot pack empty tensors.",
            given=f"input of shape {tuple(input.shape)}",
        )
    steps, batch = input.shape[:2]
    listed = _lengths(lengths, batch, enforce_sorted, steps)
    sorted_indices = None
    if not enforce_sorted:
        order = sorted(range(batch), key=lambda i: -listed[i])
        sorted_indices = rushlight.tensor(order, dtype=rushlight.int64, device=input.device)
        input = input.index_select(1, sorted_indices)
        listed = [listed[i] for i in order]
    counts = [sum(length > step for length in listed) for step in range(listed[0])]
    data = rushlight.cat([input[step, :count] for step, count in enumerate(counts)])
    return PackedSequence(data, rushlight.tensor(counts, dtype=rushlight.int64), sorted_indices)


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Undoes `pack_padded_sequence`.

    Args:
        sequence: The packed sequences.
        batch_first: Return (batch, steps, *) instead of (steps, batch, *).
        padding_value: What to fill the ends with.
        total_length: Number of steps to pad to; None for the longest length.
    Returns:
        The padded tensor, and the lengths.
    Raises:
        ValueError: `total_length` is less than the longest length.
    """
    counts: list[int] = sequence.batch_sizes.tolist()
    steps = len(counts)
    if total_length is not None and total_length < steps:
        raise error(
            ValueError,
            "pad_packed_sequence",
            "Expected total_length to be at least the length of the longest sequence in input, "
            f"but got total_length={total_length} and max sequence length being {steps}",
        )
    batch = counts[0]
    rows = []
    start = 0
    for count in counts:
        row = sequence.data[start : start + count]
        start += count
        if count < batch:
            rest = row.new_full((batch - count, *row.shape[1:]), padding_value)
            row = rushlight.cat([row, rest])
        rows.append(row)
    if total_length is not None:
        rows += [rushlight.full_like(rows[0], padding_value)] * (total_length - steps)
    padded = rushlight.stack(rows)
    lengths = rushlight.tensor(
        [sum(count > i for count in counts) for i in range(batch)], dtype=rushlight.int64
    )
    if sequence.unsorted_indices is not None:
        padded = padded.index_select(1, sequence.unsorted_indices)
        lengths = lengths[sequence.unsorted_indices.cpu()]
    return (padded.transpose(0, 1) if batch_first else padded), lengths


def pad_sequence(
    sequences: Tensor | Sequence[Tensor],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Pads sequences to the longest one and stacks them.

    Args:
        sequences: Tensors of shape (length, *).
        batch_first: Return (batch, steps, *) instead of (steps, batch, *).
        padding_value: What to pad with.
        padding_side: "right" or "left".
    Example:
        >>> sequences = [rushlight.tensor([1, 2]), rushlight.tensor([3])]
        >>> rushlight.nn.utils.rnn.pad_sequence(sequences, batch_first=True)
        tensor([[1, 2],
                [3, 0]])
    """
    who = "pad_sequence"
    if isinstance(sequences, Tensor):
        sequences = list(sequences.unbind(0))
    elif not hasattr(sequences, "__iter__"):
        raise error(
            RuntimeError,
            who,
            f"Expected iterable for input sequences, but got arg of type: {type(sequences)}",
        )
    if padding_side not in ("right", "left"):
        raise error(
            RuntimeError, who, f"Expected padding_side to be one of left or right, but got "
            f"{padding_side}",
        )  # fmt: skip
    listed = list(sequences)
    if not listed:
        raise error(RuntimeError, who, "received an empty list of sequences")
    longest = max(sequence.size(0) for sequence in listed)
    padded = []
    for sequence in listed:
        missing = longest - sequence.size(0)
        if missing:
            rest = sequence.new_full((missing, *sequence.shape[1:]), padding_value)
            pair = [sequence, rest] if padding_side == "right" else [rest, sequence]
            sequence = rushlight.cat(pair)
        padded.append(sequence)
    return rushlight.stack(padded, 0 if batch_first else 1)


def unpad_sequence(
    padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False
) -> list[Tensor]:
    """Undoes `pad_sequence`.

    Args:
        padded_sequences: The padded batch.
        lengths: Length of each sequence.
        batch_first: Whether the batch is the first dimension.
    """
    if not batch_first:
        padded_sequences = padded_sequences.transpose(0, 1)
    return [
        sequence[: int(length)] for sequence, length in zip(padded_sequences, lengths, strict=False)
    ]


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Packs a list of sequences.

    Args:
        sequences: Tensors of shape (length, *).
        enforce_sorted: Insist that the longest comes first; False sorts them.
    """
    lengths = rushlight.tensor([sequence.size(0) for sequence in sequences])
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """Undoes `pack_sequence`."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
