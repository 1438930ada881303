"""Special functions against independent values, to nearly full double precision."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import rushlight
from rushlight import special
from rushlight._registered import operators

# Computed in 30 digits by mpmath 1.3 (besselj, bessely, besseli, besselk, airyai, zeta, ...).
VALUES: list[tuple[str, tuple[float, ...], float]] = [
    ("bessel_j0", (0.5,), 0.9384698072408129),
    ("bessel_j0", (6.5,), 0.2600946055816064),
    ("bessel_j0", (30.25,), -0.05443267228961778),
    ("bessel_j1", (0.5,), 0.2422684576748739),
    ("bessel_j1", (12.0,), -0.2234471044906276),
    ("bessel_y0", (0.25,), -0.9315730249300587),
    ("bessel_y0", (6.5,), -0.17324243491898234),
    ("bessel_y0", (30.25,), -0.1344600176566395),
    ("bessel_y1", (0.25,), -2.7041052293152825),
    ("bessel_y1", (7.5,), -0.25912851048611624),
    ("bessel_y1", (30.25,), 0.05221822074062348),
    ("modified_bessel_k0", (0.25,), 1.5415067512483027),
    ("modified_bessel_k0", (9.0,), 5.0881312956459246e-05),
    ("modified_bessel_k1", (0.25,), 3.7470259744407115),
    ("modified_bessel_k1", (9.0,), 5.363701637945195e-05),
    ("scaled_modified_bessel_k1", (300.0,), 0.07245048166725841),
    ("i0e", (20.0,), 0.08978031188482602),
    ("airy_ai", (-12.5,), -0.27627456138116024),
    ("airy_ai", (-3.0,), -0.37881429367765806),
    ("airy_ai", (1.0,), 0.13529241631288141),
    ("airy_ai", (6.0,), 9.947694360252889e-06),
    ("zeta", (3.0, 0.5), 8.41439832211716),
    ("digamma", (0.1,), -10.423754940411076),
    ("digamma", (12.5,), 2.4851956512749123),
    ("gammaln", (0.1,), 2.252712651734206),
    ("gammaln", (-2.5,), -0.056243716497674054),
    ("gammaln", (40.0,), 106.63176026064346),
    ("erfcx", (-1.0,), 5.008980080762283),
    ("erfcx", (10.0,), 0.05614099274382259),
    ("ndtr", (-3.0,), 0.0013498980316300946),
    ("ndtr", (1.0,), 0.8413447460685429),
    ("log_ndtr", (-20.0,), -203.91715537109727),
    ("gammainc", (2.5, 1.5), 0.3000141641213725),
    ("gammaincc", (60.0, 70.0), 0.10239714943048313),
    ("hermite_polynomial_he", (1.5, 7.0), 54.4921875),
    ("laguerre_polynomial_l", (0.5, 9.0), -0.4529195203562472),
    ("legendre_polynomial_p", (-0.75, 11.0), -0.09641637001186609),
    ("chebyshev_polynomial_u", (0.3, 20.0), 1.0413172668589776),
    ("chebyshev_polynomial_u", (1.2, 6.0), 58.77497599999998),
    ("shifted_chebyshev_polynomial_v", (0.2, 5.0), 2.07008),
]


@pytest.mark.parametrize(("name", "arguments", "wanted"), VALUES)
def test_values(name: str, arguments: tuple[float, ...], wanted: float) -> None:
    tensors = [rushlight.tensor([a], dtype=rushlight.float64) for a in arguments]
    got = getattr(special, name)(*tensors).item()
    assert got == pytest.approx(wanted, rel=2e-13, abs=1e-15)


@pytest.mark.parametrize(
    ("name", "at", "wanted"),
    [("bessel_y0", 0.0, -math.inf), ("bessel_y1", -1.0, math.nan),
     ("modified_bessel_k0", 0.0, math.inf), ("spherical_bessel_j0", 0.0, 1.0),
     ("sinc", 0.0, 1.0), ("entr", -1.0, -math.inf), ("entr", 0.0, 0.0), ("airy_ai", math.inf, 0.0)],
)  # fmt: skip
def test_edges(name: str, at: float, wanted: float) -> None:
    got = getattr(special, name)(rushlight.tensor([at])).item()
    np.testing.assert_equal(got, wanted)


def test_polynomials_of_a_negative_degree_are_zero_and_the_first_is_one() -> None:
    x = rushlight.tensor([0.3, 2.0])
    degrees = rushlight.tensor([-1, 0])
    for name in ("chebyshev_polynomial_w", "hermite_polynomial_h", "legendre_polynomial_p"):
        assert getattr(special, name)(x, degrees).tolist() == [0.0, 1.0]


def test_a_chebyshev_polynomial_of_high_degree_stays_within_one() -> None:
    x = np.linspace(-1, 1, 101)
    got = special.chebyshev_polynomial_t(rushlight.tensor(x), 500).numpy()
    np.testing.assert_allclose(got, np.cos(500 * np.arccos(x)), atol=1e-12)


@pytest.mark.parametrize(
    "name", ["bessel_j1", "bessel_y1", "i1", "i1e", "modified_bessel_k1", "ndtri"]
)
def test_derivatives_are_slopes(name: str) -> None:
    function: Any = getattr(special, name)
    at, step = 0.7, 1e-6
    x = rushlight.tensor([at], dtype=rushlight.float64, requires_grad=True)
    function(x).sum().backward()
    ends = function(rushlight.tensor([at - step, at + step], dtype=rushlight.float64)).tolist()
    assert x.grad is not None
    assert x.grad.item() == pytest.approx((ends[1] - ends[0]) / (2 * step), rel=1e-7)


def test_a_derivative_that_is_unknown_says_so_when_it_is_asked_for() -> None:
    x = rushlight.tensor([1.0], requires_grad=True)
    out = special.airy_ai(x)
    with pytest.raises(NotImplementedError, match="not implemented"):
        out.sum().backward()


@pytest.mark.parametrize(
    ("dtype", "end", "tolerance"),
    [(rushlight.float64, 26, 2e-15), (rushlight.float32, 9, 1e-6)],
    ids=str,
)
def test_erfc_of_a_device_without_it_keeps_its_digits(
    dtype: rushlight.dtype, end: float, tolerance: float
) -> None:
    decomposed = operators["erfc"].decomposition_rule
    x = rushlight.linspace(-6, end, 801, dtype=dtype)
    expected = [math.erfc(v) for v in x.tolist()]
    np.testing.assert_allclose(decomposed(x).numpy(), expected, rtol=tolerance)
    ends = decomposed(rushlight.tensor([math.inf, -math.inf, 100.0, 0.0, math.nan], dtype=dtype))
    assert str(ends.tolist()) == "[0.0, 2.0, 0.0, 1.0, nan]"
