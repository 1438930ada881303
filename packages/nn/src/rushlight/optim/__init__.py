"""Optimisers, learning rate schedulers and weight averaging."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

from rushlight.optim import lr_scheduler as lr_scheduler
from rushlight.optim._swap import (
    swap_in_optimizer_params_and_state as swap_in_optimizer_params_and_state,
)
from rushlight.optim.adadelta import Adadelta as Adadelta
from rushlight.optim.adafactor import Adafactor as Adafactor
from rushlight.optim.adagrad import Adagrad as Adagrad
from rushlight.optim.adam import Adam as Adam
from rushlight.optim.adamax import Adamax as Adamax
from rushlight.optim.adamw import AdamW as AdamW
from rushlight.optim.asgd import ASGD as ASGD
from rushlight.optim.lbfgs import LBFGS as LBFGS
from rushlight.optim.muon import Muon as Muon
from rushlight.optim.nadam import NAdam as NAdam
from rushlight.optim.optimizer import Optimizer as Optimizer
from rushlight.optim.radam import RAdam as RAdam
from rushlight.optim.rmsprop import RMSprop as RMSprop
from rushlight.optim.rprop import Rprop as Rprop
from rushlight.optim.sgd import SGD as SGD

if TYPE_CHECKING:
    from rushlight.optim import swa_utils as swa_utils

__all__ = [
    "ASGD",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "lr_scheduler",
    "swa_utils",
    "swap_in_optimizer_params_and_state",
]


def __getattr__(name: str) -> ModuleType:
    # swa_utils needs rushlight.nn, which a program that only optimises tensors does without.
    if name == "swa_utils":
        return importlib.import_module("rushlight.optim.swa_utils")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
