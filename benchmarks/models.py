"""Networks written with the `nn` of a given library, as its users would write them."""

from __future__ import annotations

from typing import Any

from rows import integers, named_weights, real


def load_named_weights(lib: Any, model: Any) -> Any:
    """The model with starting values that depend on names and shapes alone."""
    with lib.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(lib.from_numpy(named_weights(name, tuple(parameter.shape))))
    return model


def mlp(lib: Any) -> Any:
    """784-256-10."""
    nn = lib.nn
    return nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))


def lenet(lib: Any) -> Any:
    """Two convolutions and three linear layers for 28x28 images."""
    nn = lib.nn
    return nn.Sequential(
        nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(32 * 5 * 5, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


def resnet18(lib: Any, small: bool, classes: int = 10) -> Any:
    """Residual network; `small` has the stem for 32x32 images (3x3, no pooling)."""
    nn = lib.nn

    class Block(nn.Module):  # type: ignore[misc]
        def __init__(self, inputs: int, outputs: int, stride: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
            self.bn1 = nn.BatchNorm2d(outputs)
            self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, padding=1, bias=False)
            self.bn2 = nn.BatchNorm2d(outputs)
            self.shortcut = nn.Sequential()
            if stride != 1 or inputs != outputs:
                self.shortcut = nn.Sequential(
                    nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
                )

        def forward(self, x: Any) -> Any:
            y = lib.relu(self.bn1(self.conv1(x)))
            return lib.relu(self.bn2(self.conv2(y)) + self.shortcut(x))

    if small:
        stem = [nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    else:
        stem = [nn.Conv2d(3, 64, 7, 2, padding=3, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
        stem.append(nn.MaxPool2d(3, 2, padding=1))
    blocks, inputs = [], 64
    for outputs, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        blocks += [Block(inputs, outputs, stride), Block(outputs, outputs, 1)]
        inputs = outputs
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, classes)]
    return nn.Sequential(*stem, *blocks, *head)


def gpt(lib: Any, layers: int = 6, width: int = 384, context: int = 256, vocabulary: int = 256):
    """A decoder-only transformer, with an optional cache of keys and values."""
    nn, heads = lib.nn, width // 64

    class Block(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x: Any, cache: list[Any] | None) -> Any:
            x = x + self.attend(self.ln1(x), cache)
            return x + self.down(nn.functional.gelu(self.up(self.ln2(x))))

        def attend(self, x: Any, cache: list[Any] | None) -> Any:
            batch, length, _ = x.shape
            parts = self.qkv(x).split(width, dim=2)
            q, k, v = (p.view(batch, length, heads, 64).transpose(1, 2) for p in parts)
            if cache is not None:
                if cache:
                    k, v = lib.cat([cache[0], k], dim=2), lib.cat([cache[1], v], dim=2)
                cache[:] = [k, v]
            causal = length > 1
            y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)
            return self.out(y.transpose(1, 2).contiguous().view(batch, length, width))

    class GPT(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.places = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
            self.blocks = nn.ModuleList([Block() for _ in range(layers)])
            self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)

        def forward(self, index: Any, caches: list[Any] | None = None, start: int = 0) -> Any:
            places = lib.arange(start, start + index.shape[1], device=index.device)
            x = self.tokens(index) + self.places(places)
            for number, block in enumerate(self.blocks):
                x = block(x, None if caches is None else caches[number])
            return self.head(self.norm(x))

    return GPT()


def lstm(lib: Any, vocabulary: int = 256, hidden: int = 256) -> Any:
    """Two recurrent layers that predict the next of a sequence of symbols."""
    nn = lib.nn

    class Model(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(vocabulary, hidden)
            self.lstm = nn.LSTM(hidden, hidden, num_layers=2, batch_first=True)
            self.head = nn.Linear(hidden, vocabulary)

        def forward(self, index: Any) -> Any:
            return self.head(self.lstm(self.embedding(index))[0])

    return Model()


def sequences(batch: int, length: int, vocabulary: int = 256) -> tuple[Any, Any]:
    """Random symbols and their successors."""
    symbols = integers(batch, length + 1, high=vocabulary)
    return symbols[:, :-1].copy(), symbols[:, 1:].copy()


def images(batch: int, channels: int, size: int) -> tuple[Any, Any]:
    """Random images and labels."""
    return real(batch, channels, size, size), integers(batch, high=10)
