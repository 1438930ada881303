"""Checkpoints: the file formats behind `rushlight.save` and `rushlight.load`.

`sources` reads bytes, `container` knows safetensors files, `structure` the nesting we write into
their metadata, `entries` which memory to write once, `torch_zip` PyTorch's files; all readers
describe tensors by `notes`, which `build` turns into tensors after everything was checked.
`classes` lists what becomes more than a plain tensor.
"""

from __future__ import annotations

import importlib
from typing import Any


def api() -> Any:
    """The public `rushlight`, whose operators are in place once all of it is imported."""
    return importlib.import_module("rushlight")
