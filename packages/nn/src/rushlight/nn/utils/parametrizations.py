"""Ready parametrizations: weight normalization, spectral normalization, orthogonal matrices."""

from __future__ import annotations

import rushlight
from rushlight import Tensor
from rushlight._errors import error

from .. import functional as F
from ..modules.conv import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from ..modules.module import Module
from . import parametrize

TRANSPOSED = (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)


def _tensor_of(module: Module, name: str) -> Tensor:
    tensor = getattr(module, name, None)
    if not isinstance(tensor, Tensor):
        raise error(
            ValueError,
            "parametrization",
            f"Module '{type(module).__name__}' has no parameter or buffer with name '{name}'",
        )
    return tensor


def _norm_except(v: Tensor, dim: int | None) -> Tensor:
    """The norm over all dimensions but one, which keep size 1."""
    if dim is None or dim == -1:
        return rushlight.linalg.vector_norm(v)
    over = [i for i in range(v.dim()) if i != dim % v.dim()]
    return rushlight.linalg.vector_norm(v, dim=over, keepdim=True) if over else v.abs()


class _WeightNorm(Module):
    """g v / |v|, the norm taken for each index of one dimension."""

    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        return weight_v * (weight_g / _norm_except(weight_v, self.dim))

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return _norm_except(weight, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Separates the length of a weight from its direction.

    Args:
        module: The module.
        name: Name of the weight.
        dim: Lengths are taken for each index of this dimension; None for one length in all.
    Returns:
        The module, whose weight is computed from `original0` (lengths) and `original1`.
    References:
        Salimans and Kingma (2016), Weight normalization.
    Example:
        >>> layer = rushlight.nn.utils.parametrizations.weight_norm(rushlight.nn.Linear(20, 40))
        >>> layer.parametrizations.weight.original0.shape
        rushlight.Size([40, 1])
    """
    _tensor_of(module, name)
    return parametrize.register_parametrization(module, name, _WeightNorm(dim), unsafe=True)


class _SpectralNorm(Module):
    """A weight over its largest singular value, which power iterations follow."""

    def __init__(
        self, weight: Tensor, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12
    ) -> None:
        super().__init__()
        if not -weight.dim() <= dim < weight.dim():
            raise error(IndexError, "spectral_norm", f"dim {dim} is out of range")
        if n_power_iterations <= 0:
            raise error(
                ValueError,
                "spectral_norm",
                f"Expected n_power_iterations to be positive, but got {n_power_iterations}",
            )
        self.dim = dim % weight.dim()
        self.eps = eps
        self.n_power_iterations = n_power_iterations
        if weight.dim() > 1:
            matrix = self._as_matrix(weight.detach())
            rows, columns = matrix.shape
            u, v = matrix.new_empty(rows).normal_(), matrix.new_empty(columns).normal_()
            self.register_buffer("_u", F.normalize(u, dim=0, eps=eps))
            self.register_buffer("_v", F.normalize(v, dim=0, eps=eps))
            self._iterate(matrix, 15)

    def _as_matrix(self, weight: Tensor) -> Tensor:
        if self.dim:
            others = [i for i in range(weight.dim()) if i != self.dim]
            weight = weight.permute(self.dim, *others)
        return weight.flatten(1)

    def _iterate(self, matrix: Tensor, times: int) -> None:
        """In place: copies of the module made for parallel work share the vectors."""
        with rushlight.no_grad():
            for _ in range(times):
                self._u.copy_(F.normalize(rushlight.mv(matrix, self._v), dim=0, eps=self.eps))
                self._v.copy_(F.normalize(rushlight.mv(matrix.t(), self._u), dim=0, eps=self.eps))

    def forward(self, weight: Tensor) -> Tensor:
        if weight.dim() == 1:
            return F.normalize(weight, dim=0, eps=self.eps)
        matrix = self._as_matrix(weight)
        if self.training:
            self._iterate(matrix, self.n_power_iterations)
        # Copies: the next iteration overwrites the vectors that backward needs.
        u, v = self._u.clone(), self._v.clone()
        return weight / rushlight.dot(u, rushlight.mv(matrix, v))

    def right_inverse(self, value: Tensor) -> Tensor:
        return value


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """Divides a weight by its largest singular value.

    Args:
        module: The module.
        name: Name of the weight.
        n_power_iterations: Steps towards the singular value at each access in training.
        eps: Keeps norms away from zero.
        dim: Dimension of the outputs; None for 1 of transposed convolutions, else 0.
    Returns:
        The module.
    References:
        Miyato et al. (2018), Spectral normalization for generative adversarial networks.
    """
    weight = _tensor_of(module, name)
    if dim is None:
        dim = 1 if isinstance(module, TRANSPOSED) else 0
    made = _SpectralNorm(weight, n_power_iterations, dim, eps)
    return parametrize.register_parametrization(module, name, made)


class _Orthogonal(Module):
    """An orthogonal matrix from any one: exponential or Cayley map of its skew part, or QR."""

    base: Tensor

    def __init__(self, weight: Tensor, kind: str, use_trivialization: bool) -> None:
        super().__init__()
        self.kind = kind
        if use_trivialization:
            self.register_buffer("base", None)

    def _map(self, x: Tensor, n: int, k: int) -> Tensor:
        # Only the entries below the diagonal count: padded to n x n, minus its transpose.
        a = x.tril(-1)
        if n != k:
            a = rushlight.cat([a, a.new_zeros((*a.shape[:-1], n - k))], -1)
        a = a - a.mH
        eye = rushlight.eye(n, dtype=a.dtype, device=a.device)
        if self.kind == "matrix_exp":
            q = rushlight.matrix_exp(a)
        else:
            q = rushlight.linalg.solve(eye - a / 2, (eye + a / 2).expand(a.shape))
        return q[..., :k]

    def forward(self, x: Tensor) -> Tensor:
        n, k = x.shape[-2:]
        wide = n < k
        if wide:
            x, n, k = x.mT, k, n
        if self.kind == "householder":
            basis, r = rushlight.linalg.qr(x)
            q: Tensor = basis * rushlight.diagonal(r, dim1=-2, dim2=-1).sign().unsqueeze(-2)
        else:
            q = self._map(x, n, k)
        if self._buffers.get("base") is not None:
            q = self.base @ q if self.kind != "householder" else q
        return q.mT if wide else q

    def right_inverse(self, value: Tensor) -> Tensor:
        q = _orthonormal(value)
        if "base" not in self._buffers:
            if self.kind != "householder":
                raise error(
                    NotImplementedError,
                    "orthogonal",
                    f"right_inverse of {self.kind} needs use_trivialization=True",
                )
            return q
        n, k = q.shape[-2:]
        tall = q.mT if n < k else q
        self.base = _completed(tall)
        # The base holds the value; the parameter starts at zero, whose map is the identity.
        return rushlight.zeros_like(value) if self.kind != "householder" else q


def _orthonormal(value: Tensor) -> Tensor:
    """The value with its columns (or rows) made orthonormal, by QR."""
    wide = value.shape[-2] < value.shape[-1]
    basis, r = rushlight.linalg.qr(value.mT if wide else value)
    q: Tensor = basis * rushlight.diagonal(r, dim1=-2, dim2=-1).sign().unsqueeze(-2)
    return q.mT if wide else q


def _completed(tall: Tensor) -> Tensor:
    """A square orthogonal matrix whose first columns are `tall`."""
    n, k = tall.shape[-2:]
    if n == k:
        return tall.clone()
    more = tall.new_empty((*tall.shape[:-1], n - k)).normal_()
    return _orthonormal(rushlight.cat([tall, more], -1))


def orthogonal(
    module: Module,
    name: str = "weight",
    orthogonal_map: str | None = None,
    *,
    use_trivialization: bool = True,
) -> Module:
    """Keeps a matrix orthogonal: Q^T Q = 1, or Q Q^T = 1 where it is wider than high.

    Args:
        module: The module.
        name: Name of the matrix.
        orthogonal_map: "matrix_exp", "cayley" or "householder"; None for the first where the
            matrix is square or complex, else the last.
        use_trivialization: Map relative to the value at registration, which is then kept.
    Returns:
        The module.
    References:
        Lezcano-Casado (2019), Trivializations for gradient-based optimization on manifolds.
    """
    weight = _tensor_of(module, name)
    if weight.dim() < 2:
        raise error(
            ValueError,
            "orthogonal",
            f"Expected a matrix or batch of matrices. Got a tensor of {weight.dim()} dimensions.",
        )
    if orthogonal_map is None:
        square = weight.shape[-2] == weight.shape[-1]
        orthogonal_map = "matrix_exp" if square or weight.is_complex() else "householder"
    if orthogonal_map not in ("matrix_exp", "cayley", "householder"):
        raise error(
            ValueError,
            "orthogonal",
            'orthogonal_map has to be one of "matrix_exp", "cayley", "householder". '
            f"Got: {orthogonal_map}",
        )
    made = _Orthogonal(weight, orthogonal_map, use_trivialization)
    return parametrize.register_parametrization(module, name, made, unsafe=True)
