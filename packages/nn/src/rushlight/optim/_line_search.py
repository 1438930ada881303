"""A line search for the strong Wolfe conditions, by cubic interpolation within a bracket."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from rushlight import Tensor


@dataclass(frozen=True)
class Point:
    """A point on the line: the step that leads there, the loss, its gradient, its slope."""

    step: float
    loss: float
    gradient: Tensor
    slope: float


# Sufficient decrease and curvature (Nocedal and Wright, section 3.1, for quasi-Newton methods).
_DECREASE = 1e-4
_CURVATURE = 0.9
_MAX_EVALUATIONS = 25


def strong_wolfe(
    evaluate: Callable[[float], Point],
    start: Point,
    first_step: float,
    direction_size: float,
    tolerance: float,
) -> tuple[Point, int]:
    """Finds a step that decreases the loss enough and flattens its slope.

    Args:
        evaluate: The point at a given step.
        start: The point at step zero; its slope is negative.
        first_step: Where the search begins.
        direction_size: Largest entry of the direction, in magnitude.
        tolerance: Gives up once the bracket moves no parameter by more than this.

    Returns:
        The point, and how often the loss was evaluated.

    References:
        Nocedal, Wright (2006), Numerical optimization, algorithms 3.5 and 3.6.
    """
    bracket, iterations = _find_bracket(evaluate, start, first_step)
    evaluations = iterations + 1
    if len(bracket) == 1:
        return bracket[0], evaluations
    point, extra = _shrink(evaluate, start, bracket, iterations, direction_size, tolerance)
    return point, evaluations + extra


def _decreases_too_little(start: Point, point: Point) -> bool:
    return point.loss > start.loss + _DECREASE * point.step * start.slope


def _is_flat_enough(start: Point, point: Point) -> bool:
    return abs(point.slope) <= -_CURVATURE * start.slope


def _find_bracket(
    evaluate: Callable[[float], Point], start: Point, first_step: float
) -> tuple[list[Point], int]:
    """Steps outwards until two points enclose an acceptable one, or one is acceptable itself."""
    before, point = start, evaluate(first_step)
    for iteration in range(_MAX_EVALUATIONS):
        rises = iteration > 1 and point.loss >= before.loss
        if rises or _decreases_too_little(start, point):
            return [before, point], iteration
        if _is_flat_enough(start, point):
            return [point], iteration
        if point.slope >= 0:
            return [before, point], iteration
        nearest = point.step + 0.01 * (point.step - before.step)
        step = _cubic_minimum(before, point, nearest, 10 * point.step)
        before, point = point, evaluate(step)
    return [start, point], _MAX_EVALUATIONS


def _shrink(
    evaluate: Callable[[float], Point],
    start: Point,
    bracket: list[Point],
    iterations: int,
    direction_size: float,
    tolerance: float,
) -> tuple[Point, int]:
    """Narrows the bracket until its better end is acceptable."""
    # `low` has the smaller loss of the two ends, wherever it lies.
    low, high = sorted(bracket, key=lambda point: point.loss)
    evaluations = 0
    stuck = False
    while iterations + evaluations < _MAX_EVALUATIONS:
        left, right = sorted((low.step, high.step))
        if (right - left) * direction_size < tolerance:
            break
        step, stuck = _inside(_cubic_minimum(low, high, left, right), left, right, stuck)
        point = evaluate(step)
        evaluations += 1
        if _decreases_too_little(start, point) or point.loss >= low.loss:
            high = point
            if high.loss < low.loss:
                low, high = high, low
            continue
        done = _is_flat_enough(start, point)
        if not done and point.slope * (high.step - low.step) >= 0:
            high = low
        low = point
        if done:
            break
    return low, evaluations


def _inside(step: float, left: float, right: float, stuck: bool) -> tuple[float, bool]:
    """Keeps the next step off the ends when it would be there twice in a row."""
    margin = 0.1 * (right - left)
    if min(right - step, step - left) >= margin:
        return step, False
    if not (stuck or step >= right or step <= left):
        return step, True
    nearer_right = abs(step - right) < abs(step - left)
    return (right - margin if nearer_right else left + margin), False


def _cubic_minimum(a: Point, b: Point, lower: float, upper: float) -> float:
    """The minimum, within bounds, of the cubic through both losses with both slopes.

    References:
        Nocedal, Wright (2006), equation 3.59.
    """
    if a.step > b.step:
        a, b = b, a
    width = b.step - a.step
    if width == 0:
        return (lower + upper) / 2
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.step - b.step)
    square = d1 * d1 - a.slope * b.slope
    if not square >= 0:
        return (lower + upper) / 2
    d2 = math.sqrt(square)
    denominator = b.slope - a.slope + 2 * d2
    if denominator == 0:
        return (lower + upper) / 2
    step = b.step - width * ((b.slope + d2 - d1) / denominator)
    return min(max(step, lower), upper)
