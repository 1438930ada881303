"""Training steps written for tinygrad, with its jit, on its OpenCL device.

tinygrad loads a system's libOpenCL.  A plain machine has none, but pyopencl's wheel brings a loader
with it.  That finds its drivers only when pyopencl loads it first, so pyopencl is imported before
tinygrad is told the path; then `pip install pyopencl[pocl] tinygrad` is all there is to install.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import models
from rows import Row, named_weights, real


def use_bundled_loader() -> None:
    """Points tinygrad at the OpenCL loader that lies in pyopencl's wheel."""
    os.environ["DEV"] = "CL"
    if os.environ.get("OPENCL_PATH"):
        return
    import pyopencl

    pyopencl.get_platforms()
    found = list((Path(pyopencl.__file__).parent / ".libs").glob("libOpenCL*"))
    if found:
        os.environ["OPENCL_PATH"] = str(found[0])


class Tinygrad:
    """Prepares the rows that are written for tinygrad."""

    def __init__(self) -> None:
        use_bundled_loader()
        import tinygrad

        self.lib = tinygrad
        self.steps = {
            "mlp_784_256_10": self.mlp,
            "lenet_128": self.lenet,
            "resnet18_32x32": self.resnet18,
            "gpt_6x384": self.gpt,
        }

    def prepare(self, name: str) -> tuple[Row, Callable[[], Any]]:
        """The row and its call."""
        import cases

        if name not in self.steps:
            raise NotImplementedError("not written for tinygrad")
        return cases.ROWS[name], self.steps[name]()

    def finish(self, result: Any) -> None:
        """Waits for the device."""
        self.lib.Device[self.lib.Device.DEFAULT].synchronize()

    def training(self, model: Any, call: Any, data: Any, optimiser: Any) -> Callable[[], Any]:
        """The training step of training.py: the same weights, data, loss and results."""
        tensor, nn = self.lib.Tensor, self.lib.nn
        for name, parameter in nn.state.get_state_dict(model).items():
            if "running_" not in name and "num_batches" not in name:
                value = tensor(named_weights(name, tuple(parameter.shape)))
                parameter.assign(value.contiguous()).realize()
        x, y = (tensor(array).realize() for array in data)
        optim = optimiser(nn.state.get_parameters(model))
        losses: list[float] = []

        @self.lib.TinyJit
        def jitted() -> Any:
            optim.zero_grad()
            out = call(x)
            loss = out.reshape(-1, out.shape[-1]).sparse_categorical_crossentropy(y.reshape(-1))
            loss.backward()
            return loss.realize(*optim.schedule_step())

        def step() -> Any:
            with self.lib.Context(TRAINING=1):
                loss = jitted()
            if len(losses) < 3:
                losses.append(loss.item())
            return losses if len(losses) < 3 else [*losses, loss]

        return step

    def mlp(self) -> Callable[[], Any]:
        """784-256-10 with Adam."""
        nn, tensor = self.lib.nn, self.lib.Tensor
        model = [nn.Linear(784, 256), tensor.relu, nn.Linear(256, 10)]
        data = real(128, 784), models.images(128, 1, 1)[1]
        return self.training(model, lambda x: x.sequential(model), data, self.adam)

    def lenet(self) -> Callable[[], Any]:
        """Two convolutions and three linear layers with Adam."""
        nn, tensor = self.lib.nn, self.lib.Tensor
        pool, flat = lambda x: x.max_pool2d(2), lambda x: x.flatten(1)
        model = [
            nn.Conv2d(1, 16, 5, padding=2), tensor.relu, pool,
            nn.Conv2d(16, 32, 5), tensor.relu, pool, flat,
            nn.Linear(32 * 5 * 5, 120), tensor.relu,
            nn.Linear(120, 84), tensor.relu, nn.Linear(84, 10),
        ]  # fmt: skip
        data = models.images(128, 1, 28)
        return self.training(model, lambda x: x.sequential(model), data, self.adam)

    def resnet18(self) -> Callable[[], Any]:
        """ResNet-18 for 32x32 images with SGD."""
        nn, tensor = self.lib.nn, self.lib.Tensor

        class Block:
            def __init__(self, inputs: int, outputs: int, stride: int) -> None:
                self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
                self.bn1 = nn.BatchNorm(outputs)
                self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, padding=1, bias=False)
                self.bn2 = nn.BatchNorm(outputs)
                self.shortcut: list[Any] = []
                if stride != 1 or inputs != outputs:
                    conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
                    self.shortcut = [conv, nn.BatchNorm(outputs)]

            def __call__(self, x: Any) -> Any:
                y = self.bn1(self.conv1(x)).relu()
                return (self.bn2(self.conv2(y)) + x.sequential(self.shortcut)).relu()

        model: list[Any] = [
            nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm(64), tensor.relu
        ]  # fmt: skip
        inputs = 64
        for outputs, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
            model += [Block(inputs, outputs, stride), Block(outputs, outputs, 1)]
            inputs = outputs
        model += [lambda x: x.mean((2, 3), keepdim=True), lambda x: x.flatten(1)]
        model.append(nn.Linear(512, 10))

        def sgd(parameters: Any) -> Any:
            return nn.optim.SGD(parameters, lr=0.01, momentum=0.9, weight_decay=5e-4)

        data = models.images(32, 3, 32)
        return self.training(model, lambda x: x.sequential(model), data, sgd)

    def gpt(self, layers: int = 6, width: int = 384, context: int = 256) -> Callable[[], Any]:
        """Decoder-only transformer with AdamW."""
        nn, tensor, heads = self.lib.nn, self.lib.Tensor, width // 64

        class Block:
            def __init__(self) -> None:
                self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
                self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
                self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

            def __call__(self, x: Any) -> Any:
                x = x + self.attend(self.ln1(x))
                return x + self.down(self.up(self.ln2(x)).gelu(approximate="none"))

            def attend(self, x: Any) -> Any:
                batch, length, _ = x.shape
                parts = self.qkv(x).split(width, dim=2)
                q, k, v = (p.reshape(batch, length, heads, 64).transpose(1, 2) for p in parts)
                y = q.scaled_dot_product_attention(k, v, is_causal=True)
                return self.out(y.transpose(1, 2).reshape(batch, length, width))

        class GPT:
            def __init__(self) -> None:
                self.tokens, self.places = nn.Embedding(256, width), nn.Embedding(context, width)
                self.blocks = [Block() for _ in range(layers)]
                self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 256, bias=False)

            def __call__(self, index: Any) -> Any:
                x = self.tokens(index) + self.places(tensor.arange(index.shape[1]))
                return self.head(self.norm(x.sequential(self.blocks)))

        def adamw(parameters: Any) -> Any:
            return nn.optim.AdamW(parameters, lr=3e-4, weight_decay=0.1)

        model = GPT()
        return self.training(model, model, models.sequences(4, 256), adamw)

    def adam(self, parameters: Any) -> Any:
        """Adam at its usual rate."""
        return self.lib.nn.optim.Adam(parameters, lr=1e-3)
