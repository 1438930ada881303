"""Look-ups by integer: embeddings, bags of embeddings, one-hot vectors."""

from __future__ import annotations

import warnings

import rushlight
from rushlight import Tensor, ops
from rushlight._errors import error

from ._arguments import shape_of


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Looks up rows of `weight`.

    Args:
        input: Integers of any shape.
        weight: Matrix of shape `(num_embeddings, embedding_dim)`.
        padding_idx: Row that gets no gradient.
        max_norm: Rows used are first rescaled, in place, to at most this norm.
        norm_type: Order of that norm.
        scale_grad_by_freq: Divides each row's gradient by how often it is used here.
        sparse: Accepted for compatibility; gradients are dense.

    Raises:
        RuntimeError: `weight` is not a matrix, or `input` does not hold int32 or int64.
        IndexError: An index is out of range.
        AssertionError: `padding_idx` is out of range.

    Example:
        >>> table = rushlight.tensor([[0.0, 1.0], [2.0, 3.0]])
        >>> rushlight.nn.functional.embedding(rushlight.tensor([1, 0]), table)
        tensor([[2., 3.],
                [0., 1.]])
    """
    _check_table("embedding", input, weight)
    padding_idx = _row_number("embedding", padding_idx, weight.shape[0])
    if max_norm is not None:
        _renormalize(weight, input, max_norm, norm_type)
    return ops.embedding(
        weight, input, padding_idx=padding_idx, scale_grad_by_freq=scale_grad_by_freq
    )


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """Looks up rows of `weight` and reduces them, bag by bag.

    Args:
        input: Integers: a matrix whose rows are bags, or a vector cut by `offsets`.
        weight: Matrix of shape `(num_embeddings, embedding_dim)`.
        offsets: Where each bag starts in a vector `input`.
        max_norm: Rows used are first rescaled, in place, to at most this norm.
        norm_type: Order of that norm.
        scale_grad_by_freq: Divides each row's gradient by how often it is used; not for `"max"`.
        mode: `"sum"`, `"mean"` or `"max"`; an empty bag gives zeros.
        sparse: Accepted for compatibility; gradients are dense.
        per_sample_weights: Factors of the rows, shaped like `input`; for `"sum"` only.
        include_last_offset: The last offset is the end of the last bag.
        padding_idx: Index that is left out of the bags.

    Raises:
        ValueError: Arguments do not fit each other.
        RuntimeError: A dtype does not fit, or `padding_idx` is out of range.

    Example:
        >>> table = rushlight.tensor([[1.0], [2.0], [4.0]])
        >>> rushlight.nn.functional.embedding_bag(
        ...     rushlight.tensor([0, 1, 2]), table, rushlight.tensor([0, 1]), mode="sum"
        ... )
        tensor([[1.],
                [6.]])
    """
    _check_bags(input, weight, offsets, mode, scale_grad_by_freq, per_sample_weights)
    padding_idx = _row_number("embedding_bag", padding_idx, weight.shape[0])
    if max_norm is not None:
        _renormalize(weight, input, max_norm, norm_type)
    bag_of, bags = _bag_numbers(input, offsets, include_last_offset)
    indices = input.reshape(-1)
    rows: Tensor = ops.embedding(
        weight, indices, padding_idx=padding_idx, scale_grad_by_freq=scale_grad_by_freq
    )
    counted = indices.new_ones(indices.shape) if padding_idx is None else indices != padding_idx
    if mode == "max":
        return _bag_maxima(rows, bag_of, bags, counted.to(rushlight.bool))
    # Sums are accumulated in at least single precision.
    rows = rows.to(rushlight.promote_types(weight.dtype, rushlight.float32))
    factors = counted.to(rows.dtype)
    if per_sample_weights is not None:
        factors = factors * per_sample_weights.reshape(-1)
    if padding_idx is not None or per_sample_weights is not None:
        rows = rows * factors.unsqueeze(-1)
    sums = rows.new_zeros((bags, weight.shape[1])).index_add(0, bag_of, rows)
    if mode == "sum":
        return sums.to(weight.dtype)
    sizes = factors.new_zeros((bags,)).index_add(0, bag_of, factors)
    return (sums / sizes.clamp_min(1).unsqueeze(-1)).to(weight.dtype)


def _bag_numbers(
    input: Tensor, offsets: Tensor | None, include_last_offset: bool
) -> tuple[Tensor, int]:
    """The bag of every index, and the number of bags."""
    if input.ndim == 2:
        bags, size = input.shape
        numbers = rushlight.arange(bags, device=input.device)
        return numbers.unsqueeze(1).expand(bags, size).reshape(-1), bags
    assert offsets is not None
    starts = offsets[:-1] if include_last_offset else offsets
    places = rushlight.arange(input.shape[0], device=input.device)
    numbers = rushlight.searchsorted(starts.to(places.dtype), places, right=True) - 1
    return numbers, starts.shape[0]


def _bag_maxima(rows: Tensor, bag_of: Tensor, bags: int, counted: Tensor) -> Tensor:
    lowest = rows.masked_fill(~counted.unsqueeze(-1), -float("inf"))
    index = bag_of.unsqueeze(-1).expand(rows.shape)
    empty = rows.new_full((bags, rows.shape[1]), -float("inf"))
    maxima = empty.scatter_reduce(0, index, lowest, "amax")
    sizes = bag_of.new_zeros((bags,)).index_add(0, bag_of, counted.to(bag_of.dtype))
    return maxima.masked_fill((sizes == 0).unsqueeze(-1), 0.0)


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """Turns class numbers into rows of zeros with a single one.

    Args:
        tensor: int64 tensor of any shape.
        num_classes: Length of the rows; one more than the largest class unless given.

    Returns:
        int64 tensor with one more dimension.

    Raises:
        RuntimeError: A class is negative or too large, the dtype is another, or `num_classes`
            can't be derived from an empty tensor.

    Example:
        >>> rushlight.nn.functional.one_hot(rushlight.tensor([0, 2]))
        tensor([[1, 0, 0],
                [0, 0, 1]])
    """
    if tensor.dtype != rushlight.int64:
        raise error(
            RuntimeError,
            "one_hot",
            "is only applicable to index tensors of type int64",
            given=f"tensor of dtype {tensor.dtype}",
            fix="convert it with .to(rushlight.int64)",
        )
    if tensor.numel() == 0:
        if num_classes <= 0:
            raise error(
                RuntimeError,
                "one_hot",
                "can not infer total number of classes from empty tensor",
                fix="pass num_classes",
            )
        return tensor.new_zeros((*tensor.shape, num_classes))
    if num_classes == 0 or num_classes < -1:
        raise error(RuntimeError, "one_hot", f"num_classes should be positive, not {num_classes}")
    if num_classes == -1:
        num_classes = int(tensor.max()) + 1
        # A negative class shows below, as in the ordinary case.
        num_classes = max(num_classes, 1)
    classes = rushlight.arange(num_classes, device=tensor.device)
    if bool(((tensor < 0) | (tensor >= num_classes)).any()):
        raise error(
            RuntimeError,
            "one_hot",
            "Class values must be non-negative and smaller than num_classes",
            given=f"num_classes={num_classes}, "
            f"classes from {int(tensor.min())} to {int(tensor.max())}",
        )
    return (tensor.unsqueeze(-1) == classes).to(rushlight.int64)


def _check_table(who: str, input: Tensor, weight: Tensor) -> None:
    if weight.ndim != 2:
        raise error(
            RuntimeError,
            who,
            "'weight' must be 2-D",
            given=f"weight of shape {shape_of(weight)}",
            expected="weight of shape (num_embeddings, embedding_dim)",
        )
    if input.dtype not in (rushlight.int32, rushlight.int64):
        raise error(
            RuntimeError,
            who,
            "Expected tensor for argument 'indices' to hold int32 or int64",
            given=f"input of dtype {input.dtype}",
            fix="convert it with .to(rushlight.int64)",
        )


def _row_number(who: str, padding_idx: int | None, rows: int) -> int | None:
    if padding_idx is None:
        return None
    if not -rows <= padding_idx < rows:
        kind = AssertionError if who == "embedding" else RuntimeError
        raise error(
            kind,
            who,
            "padding_idx must be within num_embeddings",
            given=f"padding_idx={padding_idx}, num_embeddings={rows}",
        )
    return padding_idx % rows


def _renormalize(weight: Tensor, indices: Tensor, max_norm: float, norm_type: float) -> None:
    """Scales the rows that are used down to `max_norm`, in place and unrecorded."""
    with rushlight.no_grad():
        used = rushlight.unique(indices.reshape(-1).to(rushlight.int64))
        rows = weight.index_select(0, used)
        norms = rushlight.linalg.vector_norm(rows, norm_type, 1, keepdim=True)
        # The small term is part of torch's definition and keeps checkpoints comparable.
        scaled = rushlight.where(norms > max_norm, rows * (max_norm / (norms + 1e-7)), rows)
        weight.index_copy_(0, used, scaled)


def _check_bags(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None,
    mode: str,
    scale_grad_by_freq: bool,
    per_sample_weights: Tensor | None,
) -> None:
    who = "embedding_bag"
    if weight.dtype == rushlight.int64 and input.dtype.is_floating_point:
        warnings.warn(
            "Argument order of nn.functional.embedding_bag was changed. Usage "
            "`embedding_bag(weight, input, ...)` is deprecated.",
            stacklevel=3,
        )
    if per_sample_weights is not None and per_sample_weights.shape != input.shape:
        raise error(
            ValueError,
            who,
            "per_sample_weights must have the same shape as the input",
            given=f"input {shape_of(input)}, per_sample_weights {shape_of(per_sample_weights)}",
        )
    if input.ndim == 2 and offsets is not None:
        raise error(
            ValueError,
            who,
            "if input is 2D, then offsets has to be None, as input is treated as a mini-batch "
            "of fixed length sequences",
        )
    if input.ndim == 1 and (offsets is None or offsets.ndim != 1):
        raise error(ValueError, who, "a 1D input needs a 1D tensor of offsets")
    if input.ndim not in (1, 2):
        raise error(
            ValueError,
            who,
            f"input has to be 1D or 2D Tensor, but got Tensor of dimension {input.ndim}",
        )
    if mode not in ("sum", "mean", "max"):
        raise error(ValueError, who, f"mode has to be one of sum, mean or max, not {mode!r}")
    if mode == "max" and scale_grad_by_freq:
        raise error(
            ValueError, who, "max mode does not support scaling the gradient by the frequency"
        )
    if per_sample_weights is not None and mode != "sum":
        raise error(
            NotImplementedError,
            who,
            f"per_sample_weights is supported for mode='sum' only (got mode={mode!r})",
        )
    _check_table(who, input, weight)
    if offsets is not None and offsets.numel() and int(offsets[0]) != 0:
        raise error(
            RuntimeError,
            who,
            "offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start "
            f"from position 0, not {int(offsets[0])}",
        )
