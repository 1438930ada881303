"""Learning rate schedulers."""

from __future__ import annotations

from rushlight.optim.lr_scheduler._base import LRScheduler as LRScheduler
from rushlight.optim.lr_scheduler._composed import (
    ChainedScheduler as ChainedScheduler,
)
from rushlight.optim.lr_scheduler._composed import (
    SequentialLR as SequentialLR,
)
from rushlight.optim.lr_scheduler._cyclic import (
    CosineAnnealingWarmRestarts as CosineAnnealingWarmRestarts,
)
from rushlight.optim.lr_scheduler._cyclic import (
    CyclicLR as CyclicLR,
)
from rushlight.optim.lr_scheduler._cyclic import (
    OneCycleLR as OneCycleLR,
)
from rushlight.optim.lr_scheduler._plateau import ReduceLROnPlateau as ReduceLROnPlateau
from rushlight.optim.lr_scheduler._simple import (
    ConstantLR as ConstantLR,
)
from rushlight.optim.lr_scheduler._simple import (
    CosineAnnealingLR as CosineAnnealingLR,
)
from rushlight.optim.lr_scheduler._simple import (
    ExponentialLR as ExponentialLR,
)
from rushlight.optim.lr_scheduler._simple import (
    LambdaLR as LambdaLR,
)
from rushlight.optim.lr_scheduler._simple import (
    LinearLR as LinearLR,
)
from rushlight.optim.lr_scheduler._simple import (
    MultiplicativeLR as MultiplicativeLR,
)
from rushlight.optim.lr_scheduler._simple import (
    MultiStepLR as MultiStepLR,
)
from rushlight.optim.lr_scheduler._simple import (
    PolynomialLR as PolynomialLR,
)
from rushlight.optim.lr_scheduler._simple import (
    StepLR as StepLR,
)

# The name of the base class in older programs.
_LRScheduler = LRScheduler

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]
