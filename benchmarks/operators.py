"""The operators that training spends its time on, each forward and forward with backward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from rows import Row, distinct, integers, real

GROUP = "operators"
MILLION = 2**20
ROWS: list[Row] = []
#: Makes the inputs of each operator, for contenders whose calls are not torch's.
DATA: dict[str, Callable[[], list[np.ndarray]]] = {}

Function = Callable[..., Any]


def inputs_on(lib: Any, device: str, arrays: list[np.ndarray]) -> list[Any]:
    """The arrays as tensors on a device."""
    return [lib.from_numpy(array.copy()).to(device) for array in arrays]


def operator(
    name: str,
    function: Function,
    data: Callable[[], list[np.ndarray]],
    *,
    backward: bool = True,
    forward: bool = True,
    random: bool = False,
    tolerance: float = 1e-4,
) -> None:
    """Adds `name`, and `name+grad` which also computes the gradients of all float inputs.

    The function is called with the library, then the tensors.
    """

    def prepare(lib: Any, device: str) -> Callable[[], Any]:
        tensors = inputs_on(lib, device, data())

        def call() -> Any:
            return function(lib, *tensors)

        return call

    def prepare_both(lib: Any, device: str) -> Callable[[], Any]:
        tensors = inputs_on(lib, device, data())
        leaves = [t.requires_grad_() for t in tensors if t.is_floating_point()]
        out = function(lib, *tensors)
        weight = inputs_on(lib, device, [real(*out.shape, seed=9)])[0] if out.ndim else None
        del out

        def call() -> Any:
            for leaf in leaves:
                leaf.grad = None
            function(lib, *tensors).backward(weight)
            return [leaf.grad for leaf in leaves]

        return call

    DATA[name] = data
    if forward:
        ROWS.append(Row(name, GROUP, prepare, tolerance, random=random))
    if backward:
        ROWS.append(Row(f"{name}+grad", GROUP, prepare_both, tolerance, random=random))


def functional(name: str, *rest: Any, **options: Any) -> Function:
    """A call of `lib.nn.functional.name` with further arguments."""
    return lambda lib, *tensors: getattr(lib.nn.functional, name)(*tensors, *rest, **options)


def method(name: str, *rest: Any, **options: Any) -> Function:
    """A call of a method of the first tensor."""
    return lambda lib, x, *tensors: getattr(x, name)(*tensors, *rest, **options)


def first(function: Function) -> Function:
    """The first of several results (values of a sort, the output of a layer)."""
    return lambda lib, *tensors: function(lib, *tensors)[0]


def products() -> None:
    """Matrix products."""
    for n in (128, 256, 512, 1024, 2048):
        data = lambda n=n: [real(n, n), real(n, n, seed=1)]
        operator(f"sgemm_{n}", method("matmul"), data, backward=n in (256, 1024))
    operator("bmm_64x128", method("bmm"), lambda: [real(64, 128, 128), real(64, 128, 128, seed=1)])
    operator(
        "linear_1024x768_3072",
        functional("linear"),
        lambda: [real(1024, 768), real(3072, 768, seed=1, scale=0.04), real(3072)],
    )


def convolutions() -> None:
    """Convolution shapes of residual and mobile networks, and pooling."""

    def conv(name: str, x: tuple[int, ...], w: tuple[int, ...], **options: Any) -> None:
        scale = 1.0 / (w[1] * w[2] * w[3]) ** 0.5
        data = lambda: [real(*x), real(*w, seed=1, scale=scale)]
        operator(name, functional("conv2d", **options), data)

    conv("conv3x3_56", (32, 64, 56, 56), (64, 64, 3, 3), padding=1)
    conv("conv3x3_28", (8, 128, 28, 28), (128, 128, 3, 3), padding=1)
    conv("conv3x3_14", (8, 256, 14, 14), (256, 256, 3, 3), padding=1)
    conv("conv1x1_56", (32, 64, 56, 56), (256, 64, 1, 1))
    conv("conv7x7s2_224", (8, 3, 224, 224), (64, 3, 7, 7), stride=2, padding=3)
    conv("conv3x3s2_28", (8, 128, 28, 28), (256, 128, 3, 3), stride=2, padding=1)
    conv("conv_depthwise_56", (32, 64, 56, 56), (64, 1, 3, 3), padding=1, groups=64)
    operator(
        "conv1d_k5",
        functional("conv1d", padding=2),
        lambda: [real(16, 128, 512), real(128, 128, 5, seed=1, scale=0.04)],
    )
    operator(
        "conv_transpose_28",
        functional("conv_transpose2d", stride=2, padding=1),
        lambda: [real(8, 128, 28, 28), real(128, 64, 4, 4, seed=1, scale=0.03)],
    )
    operator(
        "max_pool_3x3s2_112",
        functional("max_pool2d", 3, stride=2, padding=1),
        lambda: [real(32, 64, 112, 112)],
    )
    operator("max_pool_2x2_56", functional("max_pool2d", 2), lambda: [real(32, 64, 56, 56)])
    operator("avg_pool_2x2_56", functional("avg_pool2d", 2), lambda: [real(32, 64, 56, 56)])
    operator(
        "global_avg_pool_56", functional("adaptive_avg_pool2d", 1), lambda: [real(32, 64, 56, 56)]
    )


def normalisations() -> None:
    """Norms, softmax, losses."""
    rows = lambda: [real(4096, 1024)]
    affine = lambda: [real(4096, 1024), real(1024, seed=1), real(1024, seed=2)]
    planes = lambda: [real(32, 64, 56, 56), real(64, seed=1), real(64, seed=2)]

    def layer_norm(lib: Any, x: Any, w: Any, b: Any) -> Any:
        return lib.nn.functional.layer_norm(x, (1024,), w, b)

    def rms_norm(lib: Any, x: Any, w: Any) -> Any:
        return lib.nn.functional.rms_norm(x, (1024,), w, 1e-6)

    def batch_norm(lib: Any, x: Any, w: Any, b: Any) -> Any:
        return lib.nn.functional.batch_norm(x, None, None, w, b, training=True)

    def group_norm(lib: Any, x: Any, w: Any, b: Any) -> Any:
        return lib.nn.functional.group_norm(x, 8, w, b)

    operator("layer_norm", layer_norm, affine)
    operator("rms_norm", rms_norm, lambda: affine()[:2])
    operator("batch_norm", batch_norm, planes)
    operator("group_norm", group_norm, planes)
    operator("softmax", method("softmax", -1), rows)
    operator("log_softmax", method("log_softmax", -1), rows)
    labels = lambda: [real(4096, 32000), integers(4096, high=32000)]
    operator("cross_entropy_32k", functional("cross_entropy"), labels)
    few = lambda: [real(128, 10), integers(128, high=10)]
    operator("cross_entropy_128x10", functional("cross_entropy"), few)
    operator("mse_loss", functional("mse_loss"), lambda: [real(MILLION), real(MILLION, seed=1)])


def elementwise() -> None:
    """One value in, one value out."""
    large = lambda: [real(4 * MILLION)]
    small = lambda: [real(64 * 1024)]
    operator("add_4M", method("add"), lambda: [*large(), real(4 * MILLION, seed=1)])
    operator("add_bias_4096x1024", method("add"), lambda: [real(4096, 1024), real(1024, seed=1)])
    operator("mul_64k", method("mul"), lambda: [*small(), real(64 * 1024, seed=1)])
    for name in ("gelu", "relu", "silu"):
        operator(f"{name}_4M", functional(name), large)
    operator("gelu_64k", functional("gelu"), small)
    for name in ("exp", "tanh", "sigmoid"):
        operator(f"{name}_4M", method(name), large)
    operator("tanh_64k", method("tanh"), small)
    operator("chain8_4M", _chain, large)
    operator("transpose_copy", lambda lib, x: x.t().contiguous(), lambda: [real(4096, 1024)])
    parts = lambda: [real(1024, 1024, seed=n) for n in range(4)]
    operator("cat", lambda lib, *tensors: lib.cat(tensors, 1), parts)
    operator("dropout_4M", functional("dropout", 0.3), large, random=True, tolerance=5e-3)
    for name in ("rand", "randn"):
        _draw(name)


def _chain(lib: Any, x: Any) -> Any:
    """Eight operators one after the other."""
    y = (x * 2.0 + 1.0).tanh()
    return (y * x - 0.5).sigmoid() * y + x


def _draw(name: str) -> None:
    def prepare(lib: Any, device: str) -> Callable[[], Any]:
        lib.manual_seed(0)
        return lambda: getattr(lib, name)(4 * MILLION, device=device)

    ROWS.append(Row(f"{name}_4M", GROUP, prepare, 5e-3, random=True))


def reductions() -> None:
    """Many values in, few out; scans and sorts."""
    rows = lambda: [real(4096, 1024)]
    operator("sum_all", method("sum"), rows)
    operator("sum_dim0", method("sum", 0), rows)
    operator("sum_dim1", method("sum", 1), rows)
    operator("mean_dim1", method("mean", 1), rows)
    operator("var_dim1", method("var", 1), rows)
    operator("amax_dim1", method("amax", 1), rows)
    operator("logsumexp_dim1", method("logsumexp", 1), rows)
    operator("argmax_dim1", method("argmax", 1), rows, backward=False)
    operator("cumsum_dim1", method("cumsum", 1), rows)
    operator("sort_1M", first(method("sort")), lambda: [distinct(MILLION)])
    operator("sort_4096x256", first(method("sort", -1)), lambda: [real(4096, 256)], backward=False)
    operator("topk_10", first(method("topk", 10)), rows)


def indexing() -> None:
    """Rows and elements picked and put by index."""
    table = lambda: [real(20000, 256), integers(16384, high=20000)]
    operator(
        "embedding",
        lambda lib, weight, index: lib.nn.functional.embedding(index, weight),
        table,
    )
    operator("index_rows", lambda lib, x, index: x[index], table)
    operator("index_select", lambda lib, x, index: x.index_select(0, index), table)
    pick = lambda: [real(4096, 1024), integers(4096, 1024, high=1024)]
    operator("gather", lambda lib, x, index: x.gather(1, index), pick)
    operator(
        "scatter_add",
        lambda lib, x, index, src: x.scatter_add(1, index, src),
        lambda: [*pick(), real(4096, 1024, seed=2)],
    )
    operator(
        "index_add",
        lambda lib, x, index, src: x.index_add(0, index, src),
        lambda: [*table(), real(16384, 256, seed=2)],
    )
    operator(
        "masked_fill",
        lambda lib, x, m: x.masked_fill(m, 0.0),
        lambda: [real(4096, 1024), real(4096, 1024, seed=1) > 0],
    )
    operator("boolean_mask", lambda lib, x, m: x[m], lambda: [real(MILLION), real(MILLION) > 0])


def layers() -> None:
    """Attention and recurrence."""
    heads = lambda: [real(8, 8, 512, 64, seed=n) for n in range(3)]
    attend = "scaled_dot_product_attention"
    operator("attention_causal", functional(attend, is_causal=True), heads)
    operator("attention_full", functional(attend), heads)
    for name, gates in (("LSTM", 4), ("GRU", 3)):
        _recurrence(name, gates)


def _recurrence(name: str, gates: int) -> None:
    """One recurrent layer: 32 sequences of 32 steps, 128 features into 256."""
    data = lambda: [
        real(32, 32, 128),
        real(gates * 256, 128, seed=1, scale=0.06),
        real(gates * 256, 256, seed=2, scale=0.06),
        real(gates * 256, seed=3, scale=0.06),
        real(gates * 256, seed=4, scale=0.06),
    ]

    def prepare_layer(lib: Any, device: str) -> tuple[Any, Any]:
        layer = getattr(lib.nn, name)(128, 256, batch_first=True)
        x, *weights = data()
        with lib.no_grad():
            for parameter, value in zip(layer.parameters(), weights, strict=True):
                parameter.copy_(lib.from_numpy(value))
        return layer.to(device), lib.from_numpy(x).to(device)

    def forward(lib: Any, device: str) -> Callable[[], Any]:
        layer, x = prepare_layer(lib, device)

        def call() -> Any:
            with lib.no_grad():
                return layer(x)[0]

        return call

    def both(lib: Any, device: str) -> Callable[[], Any]:
        layer, x = prepare_layer(lib, device)
        g = lib.from_numpy(real(32, 32, 256, seed=9)).to(device)

        def call() -> Any:
            layer.zero_grad()
            layer(x)[0].backward(g)
            return [p.grad for p in layer.parameters()]

        return call

    ROWS.append(Row(f"{name.lower()}_layer", GROUP, forward))
    ROWS.append(Row(f"{name.lower()}_layer+grad", GROUP, both))


def half_precision() -> None:
    """16-bit storage."""

    def cast(dtype: str) -> Function:
        return lambda lib, x: x.to(getattr(lib, dtype))

    def prepare_add(dtype: str) -> Callable[[Any, str], Callable[[], Any]]:
        def prepare(lib: Any, device: str) -> Callable[[], Any]:
            arrays = [real(MILLION), real(MILLION, seed=1)]
            x, y = (t.to(getattr(lib, dtype)) for t in inputs_on(lib, device, arrays))
            return lambda: x + y

        return prepare

    def prepare_widen(lib: Any, device: str) -> Callable[[], Any]:
        x = inputs_on(lib, device, [real(MILLION)])[0].to(lib.bfloat16)
        return lambda: x.float()

    data = lambda: [real(MILLION)]
    operator("to_bfloat16_1M", cast("bfloat16"), data, backward=False, tolerance=1e-2)
    operator("to_float16_1M", cast("float16"), data, backward=False, tolerance=1e-2)
    ROWS.append(Row("from_bfloat16_1M", GROUP, prepare_widen, 1e-2))
    for dtype in ("bfloat16", "float16"):
        ROWS.append(Row(f"add_{dtype}_1M", GROUP, prepare_add(dtype), 1e-2))


def optimisers() -> None:
    """Steps over 10 million parameters in 100 tensors, and over 1000 small tensors."""
    kinds: dict[str, dict[str, Any]] = {
        "SGD": {"lr": 1e-3, "momentum": 0.9},
        "Adam": {"lr": 1e-3},
        "AdamW": {"lr": 1e-3, "weight_decay": 0.01},
    }
    for name, options in kinds.items():
        for count, size in ((100, 100_000), (1000, 1000)):
            _optimiser(name, options, count, size)


def _optimiser(name: str, options: dict[str, Any], count: int, size: int) -> None:
    def prepare(lib: Any, device: str) -> Callable[[], Any]:
        values = real(size)
        parameters = []
        for number in range(count):
            p = lib.from_numpy(np.roll(values, number)).to(device).requires_grad_()
            p.grad = lib.from_numpy(np.roll(values, number + 7)).to(device)
            parameters.append(p)
        step = getattr(lib.optim, name)(parameters, **options).step

        def call() -> Any:
            step()
            return parameters[:2]

        return call

    label = f"{name.lower()}_{count}x{size // 1000}k"
    ROWS.append(Row(label, GROUP, prepare, 1e-4, calls=3))


products()
convolutions()
normalisations()
elementwise()
reductions()
indexing()
layers()
half_precision()
optimisers()
