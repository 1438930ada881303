"""Whole training steps and inference: groups `models`, `inference` and, of both, `memory`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import models
from rows import Row, real

ROWS: list[Row] = []


def training(
    name: str,
    build: Callable[[Any], Any],
    data: Callable[[], tuple[Any, Any]],
    optimiser: Callable[[Any, Any], Any],
    tolerance: float = 1e-3,
) -> None:
    """Adds the row of a training step; the losses of three steps are compared."""

    def prepare(lib: Any, device: str) -> Callable[[], Any]:
        model = models.load_named_weights(lib, build(lib)).to(device)
        x, y = (lib.from_numpy(array).to(device) for array in data())
        loss_of = lib.nn.CrossEntropyLoss()
        optim = optimiser(lib, model.parameters())
        losses: list[Any] = []

        def step() -> Any:
            optim.zero_grad()
            out = model(x)
            loss = loss_of(out.reshape(-1, out.shape[-1]), y.reshape(-1))
            loss.backward()
            optim.step()
            if len(losses) < 3:
                losses.append(loss.detach())
            return losses if len(losses) < 3 else [*losses, loss.detach()]

        return step

    ROWS.append(Row(name, "models", prepare, tolerance, calls=3))


def adam(lib: Any, parameters: Any) -> Any:
    """Adam at its usual rate."""
    return lib.optim.Adam(parameters, lr=1e-3)


def adamw(lib: Any, parameters: Any) -> Any:
    """AdamW as transformers are trained with it."""
    return lib.optim.AdamW(parameters, lr=3e-4, weight_decay=0.1)


def sgd(lib: Any, parameters: Any) -> Any:
    """SGD with momentum as residual networks are trained with it."""
    return lib.optim.SGD(parameters, lr=0.01, momentum=0.9, weight_decay=5e-4)


def resnet_224(lib: Any, device: str) -> Callable[[], Any]:
    """One image through ResNet-18 at 224x224."""
    model = models.resnet18(lib, small=False, classes=1000)
    model = models.load_named_weights(lib, model).to(device).eval()
    x = lib.from_numpy(real(1, 3, 224, 224)).to(device)

    def call() -> Any:
        with lib.no_grad():
            return model(x)

    return call


def generate_64(lib: Any, device: str) -> Callable[[], Any]:
    """64 tokens after a prompt of 16, the most probable each, with a cache of keys and values."""
    model = models.load_named_weights(lib, models.gpt(lib)).to(device).eval()
    prompt = lib.from_numpy(models.sequences(1, 16)[0]).to(device)

    def call() -> Any:
        with lib.no_grad():
            caches: list[Any] = [[] for _ in model.blocks]
            token = model(prompt, caches)[:, -1].argmax(-1, keepdim=True)
            tokens = [token]
            for place in range(16, 79):
                token = model(token, caches, place)[:, -1].argmax(-1, keepdim=True)
                tokens.append(token)
            return lib.cat(tokens, 1)

    return call


training("mlp_784_256_10", models.mlp, lambda: (real(128, 784), models.images(128, 1, 1)[1]), adam)
training("lenet_128", models.lenet, lambda: models.images(128, 1, 28), adam)
training(
    "resnet18_32x32",
    lambda lib: models.resnet18(lib, small=True),
    lambda: models.images(32, 3, 32),
    sgd,
    tolerance=5e-3,
)
training("gpt_6x384", models.gpt, lambda: models.sequences(4, 256), adamw)
training("lstm_2x256", models.lstm, lambda: models.sequences(32, 64), adam)
ROWS.append(Row("resnet18_224", "inference", resnet_224, 1e-3))
ROWS.append(Row("gpt_generate_64", "inference", generate_64))
