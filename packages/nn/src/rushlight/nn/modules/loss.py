"""Losses: the names of all loss modules."""

from ._loss_base import _Loss as _Loss
from ._loss_base import _WeightedLoss as _WeightedLoss
from ._loss_classification import BCELoss as BCELoss
from ._loss_classification import BCEWithLogitsLoss as BCEWithLogitsLoss
from ._loss_classification import CrossEntropyLoss as CrossEntropyLoss
from ._loss_classification import CTCLoss as CTCLoss
from ._loss_classification import LinearCrossEntropyLoss as LinearCrossEntropyLoss
from ._loss_classification import LinearCrossEntropyOptions as LinearCrossEntropyOptions
from ._loss_classification import NLLLoss as NLLLoss
from ._loss_classification import NLLLoss2d as NLLLoss2d
from ._loss_margin import CosineEmbeddingLoss as CosineEmbeddingLoss
from ._loss_margin import HingeEmbeddingLoss as HingeEmbeddingLoss
from ._loss_margin import MarginRankingLoss as MarginRankingLoss
from ._loss_margin import MultiLabelMarginLoss as MultiLabelMarginLoss
from ._loss_margin import MultiLabelSoftMarginLoss as MultiLabelSoftMarginLoss
from ._loss_margin import MultiMarginLoss as MultiMarginLoss
from ._loss_margin import SoftMarginLoss as SoftMarginLoss
from ._loss_margin import TripletMarginLoss as TripletMarginLoss
from ._loss_margin import TripletMarginWithDistanceLoss as TripletMarginWithDistanceLoss
from ._loss_regression import GaussianNLLLoss as GaussianNLLLoss
from ._loss_regression import HuberLoss as HuberLoss
from ._loss_regression import KLDivLoss as KLDivLoss
from ._loss_regression import L1Loss as L1Loss
from ._loss_regression import MSELoss as MSELoss
from ._loss_regression import PoissonNLLLoss as PoissonNLLLoss
from ._loss_regression import SmoothL1Loss as SmoothL1Loss
