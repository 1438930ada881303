"""Lookup tables of vectors: `Embedding` and `EmbeddingBag`."""

from __future__ import annotations

from typing import Any, Self

import rushlight
from rushlight import Tensor
from rushlight._errors import error

from .. import functional as F
from .. import init
from ..parameter import Parameter
from ._members import kind_of
from .module import Module


class _Table(Module):
    """What both tables share: the weight and the row that stands for padding."""

    num_embeddings: int
    embedding_dim: int
    padding_idx: int | None
    max_norm: float | None
    norm_type: float
    scale_grad_by_freq: bool
    sparse: bool
    weight: Parameter

    def _set_padding_idx(self, padding_idx: int | None) -> None:
        rows = self.num_embeddings
        if padding_idx is not None and not -rows <= padding_idx < rows:
            raise error(
                AssertionError,
                kind_of(self),
                "padding_idx must be within num_embeddings",
                given=f"padding_idx={padding_idx}, num_embeddings={rows}",
            )
        negative = padding_idx is not None and padding_idx < 0
        self.padding_idx = rows + padding_idx if negative and padding_idx else padding_idx

    def _set_weight(
        self, given: Tensor | None, device: Any, dtype: Any, requires_grad: bool = True
    ) -> None:
        shape = (self.num_embeddings, self.embedding_dim)
        if given is None:
            made = rushlight.empty(shape, device=device, dtype=dtype)
            self.weight = Parameter(made, requires_grad=requires_grad)
            self.reset_parameters()
            return
        if tuple(given.shape) != shape:
            raise error(
                AssertionError,
                kind_of(self),
                "shape of weight does not match num_embeddings and embedding_dim",
                given=f"_weight of shape {tuple(given.shape)}",
                expected=f"{shape}",
            )
        self.weight = Parameter(given, requires_grad=requires_grad)

    def reset_parameters(self) -> None:
        """Draws all rows from the standard normal distribution; the padding row becomes zero."""
        init.normal_(self.weight)
        self._fill_padding_idx_with_zero()

    def _fill_padding_idx_with_zero(self) -> None:
        if self.padding_idx is not None:
            with rushlight.no_grad():
                self.weight[self.padding_idx].fill_(0)


def _table_size(embeddings: Tensor, who: str) -> tuple[int, int]:
    if embeddings.dim() != 2:
        raise error(
            AssertionError,
            f"{who}.from_pretrained",
            "embeddings parameter is expected to be 2-dimensional",
            given=f"embeddings of shape {tuple(embeddings.shape)}",
        )
    rows, columns = embeddings.shape
    return rows, columns


class Embedding(_Table):
    """Rows of a learned table, looked up by number.

    Args:
        num_embeddings: Number of rows.
        embedding_dim: Length of a row.
        padding_idx: A row that gets no gradient and is zero at first.
        max_norm: Rows with a greater norm are scaled down to it when they are looked up.
        norm_type: Which norm `max_norm` means.
        scale_grad_by_freq: Divide gradients by how often a row occurs in the batch.
        sparse: Accepted for compatibility.
        device: Where the table is made.
        dtype: Its dtype; None for the default one.
    Attributes:
        weight: The table, of shape (num_embeddings, embedding_dim); standard normal at first.
    Example:
        >>> table = rushlight.nn.Embedding(10, 3)
        >>> table(rushlight.tensor([[1, 2, 4, 5], [4, 3, 2, 9]])).shape
        rushlight.Size([2, 4, 3])
    """

    __constants__ = [
        "num_embeddings", "embedding_dim", "padding_idx", "max_norm", "norm_type",
        "scale_grad_by_freq", "sparse",
    ]  # fmt: skip

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self._set_padding_idx(padding_idx)
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self._set_weight(_weight, device, dtype, requires_grad=not _freeze)
        self.sparse = sparse

    def forward(self, input: Tensor) -> Tensor:
        """The rows whose numbers `input` holds."""
        return F.embedding(
            input,
            self.weight,
            self.padding_idx,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.sparse,
        )

    def extra_repr(self) -> str:
        """The sizes, and what differs from the defaults."""
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        if self.padding_idx is not None:
            text += f", padding_idx={self.padding_idx}"
        if self.max_norm is not None:
            text += f", max_norm={self.max_norm}"
        if self.norm_type != 2:
            text += f", norm_type={self.norm_type}"
        if self.scale_grad_by_freq is not False:
            text += f", scale_grad_by_freq={self.scale_grad_by_freq}"
        if self.sparse is not False:
            text += ", sparse=True"
        return text

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Self:
        """A table with given rows.

        Args:
            embeddings: The rows.
            freeze: Whether they stay as they are in training.
            padding_idx: As of the class, but the row keeps its values.
            max_norm: As of the class.
            norm_type: As of the class.
            scale_grad_by_freq: As of the class.
            sparse: As of the class.
        """
        rows, columns = _table_size(embeddings, cls.__name__)
        return cls(
            rows,
            columns,
            padding_idx=padding_idx,
            max_norm=max_norm,
            norm_type=norm_type,
            scale_grad_by_freq=scale_grad_by_freq,
            sparse=sparse,
            _weight=embeddings,
            _freeze=freeze,
        )


class EmbeddingBag(_Table):
    """Sums, means or maxima of groups of rows of a learned table.

    Args:
        num_embeddings: Number of rows.
        embedding_dim: Length of a row.
        max_norm: Rows with a greater norm are scaled down to it when they are looked up.
        norm_type: Which norm `max_norm` means.
        scale_grad_by_freq: Divide gradients by how often a row occurs in the batch.
        mode: "sum", "mean" or "max".
        sparse: Accepted for compatibility.
        include_last_offset: Whether `offsets` ends with the length of the input.
        padding_idx: A row that is left out.
        device: Where the table is made.
        dtype: Its dtype; None for the default one.
    Attributes:
        weight: The table, of shape (num_embeddings, embedding_dim); standard normal at first.
    Example:
        >>> bags = rushlight.nn.EmbeddingBag(10, 3, mode="sum")
        >>> bags(rushlight.tensor([1, 2, 4, 5]), rushlight.tensor([0, 3])).shape
        rushlight.Size([2, 3])
    """

    __constants__ = [
        "num_embeddings", "embedding_dim", "max_norm", "norm_type", "scale_grad_by_freq", "mode",
        "sparse", "include_last_offset", "padding_idx",
    ]  # fmt: skip

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Tensor | None = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self._set_padding_idx(padding_idx)
        self._set_weight(_weight, device, dtype)
        self.mode = mode
        self.sparse = sparse
        self.include_last_offset = include_last_offset

    def forward(
        self,
        input: Tensor,
        offsets: Tensor | None = None,
        per_sample_weights: Tensor | None = None,
    ) -> Tensor:
        """One vector per bag.

        Args:
            input: Numbers of rows: a bag per row (2-D), or all bags in a line (1-D).
            offsets: Where the bags of a 1-D input begin.
            per_sample_weights: Factors of the rows, for mode "sum".
        """
        return F.embedding_bag(
            input,
            self.weight,
            offsets,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.mode,
            self.sparse,
            per_sample_weights,
            self.include_last_offset,
            self.padding_idx,
        )

    def extra_repr(self) -> str:
        """The sizes, and what differs from the defaults."""
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        if self.max_norm is not None:
            text += f", max_norm={self.max_norm}"
        if self.norm_type != 2:
            text += f", norm_type={self.norm_type}"
        if self.scale_grad_by_freq is not False:
            text += f", scale_grad_by_freq={self.scale_grad_by_freq}"
        text += f", mode={self.mode!r}"
        if self.padding_idx is not None:
            text += f", padding_idx={self.padding_idx}"
        return text

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
    ) -> Self:
        """A table with given rows; arguments as of the class.

        Args:
            embeddings: The rows.
            freeze: Whether they stay as they are in training.
            max_norm: As of the class.
            norm_type: As of the class.
            scale_grad_by_freq: As of the class.
            mode: As of the class.
            sparse: As of the class.
            include_last_offset: As of the class.
            padding_idx: As of the class.
        """
        rows, columns = _table_size(embeddings, cls.__name__)
        made = cls(
            rows,
            columns,
            max_norm=max_norm,
            norm_type=norm_type,
            scale_grad_by_freq=scale_grad_by_freq,
            mode=mode,
            sparse=sparse,
            _weight=embeddings,
            include_last_offset=include_last_offset,
            padding_idx=padding_idx,
        )
        made.weight.requires_grad_(not freeze)
        return made
