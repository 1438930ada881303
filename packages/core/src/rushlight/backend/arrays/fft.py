"""Discrete Fourier transforms over one or several dimensions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ._common import FLOAT64, Array, ArrayModule, Kernels


def fft_kernels(xp: ArrayModule) -> Kernels:
    """Kernels of the complex, real-to-complex and complex-to-real transforms.

    `norm` says which direction is scaled, as in NumPy: "backward", "ortho" or "forward".
    """
    transform = xp.fft

    def fft_c2c(x: Array, *, dim: Sequence[int], norm: str = "backward", forward: bool) -> Array:
        run = transform.fftn if forward else transform.ifftn
        if not dim:
            return x.copy()
        return run(x, axes=tuple(dim), norm=norm).astype(x.dtype, copy=False)

    def fft_r2c(
        x: Array, *, dim: Sequence[int], norm: str = "backward", onesided: bool = True
    ) -> Array:
        dtype = np.complex128 if x.dtype == FLOAT64 else np.complex64
        run = transform.rfftn if onesided else transform.fftn
        return run(x, axes=tuple(dim), norm=norm).astype(dtype, copy=False)

    def fft_c2r(
        x: Array, *, dim: Sequence[int], norm: str = "backward", last_dim_size: int
    ) -> Array:
        dtype = np.float64 if x.dtype == np.complex128 else np.float32
        sizes = [x.shape[d] for d in dim[:-1]] + [last_dim_size]
        return transform.irfftn(x, s=sizes, axes=tuple(dim), norm=norm).astype(dtype, copy=False)

    real = {"floating": fft_r2c}
    return {"fft_c2c": {"complex": fft_c2c}, "fft_r2c": real, "fft_c2r": {"complex": fft_c2r}}
