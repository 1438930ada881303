"""Trains a small network for ten thousand steps and shows that memory does not grow.

    python benchmarks/flat_memory.py --device opencl:0

After a tenth of the steps everything that is made once is there: programs, pools, kept numbers.
From then on neither the process nor the device's pool may grow by more than `--allowed` bytes; the
exit status says so. Linux tells how much memory a process has; elsewhere only the device is asked.
"""

import argparse
import gc
import sys
import time
from pathlib import Path

import rushlight as rl
from rushlight import nn

ROWS = 10


def resident() -> int:
    """Bytes of memory this process has."""
    status = Path("/proc/self/statm")
    return int(status.read_text().split()[1]) * 4096 if status.exists() else 0


def on_device(device: str) -> tuple[int, int]:
    """Bytes that tensors have on a device, and bytes that its pool has."""
    if device == "cpu":
        return 0, 0
    of_type = getattr(rl, rl.device(device).type)
    return of_type.memory_allocated(device), of_type.memory_reserved(device)


def main() -> int:
    """Trains; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--device", default="cpu", help="where to train (cpu)")
    parser.add_argument("--steps", type=int, default=10_000, help="how many steps (10000)")
    parser.add_argument("--allowed", type=int, default=1 << 20, help="bytes of growth (1 MiB)")
    arguments = parser.parse_args()
    device = arguments.device

    rl.manual_seed(0)
    layers = nn.Linear(32, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 10)
    model = nn.Sequential(*layers).to(device)
    optimizer = rl.optim.Adam(model.parameters(), lr=1e-3)
    images, labels = rl.randn(64, 32), rl.randint(0, 10, (64,))
    every = max(arguments.steps // ROWS, 1)
    seen: list[tuple[int, ...]] = []
    print("| step | seconds | loss | process MiB | allocated KiB | reserved KiB |")
    print("|---|---|---|---|---|---|")
    begun = time.perf_counter()
    for step in range(1, arguments.steps + 1):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images.to(device)), labels.to(device))
        loss.backward()
        optimizer.step()
        if step % every == 0:
            value = loss.item()
            gc.collect()
            seen.append((resident(), *on_device(device)))
            print(
                f"| {step} | {time.perf_counter() - begun:.1f} | {value:.4f} "
                f"| {seen[-1][0] / 2**20:.1f} | {seen[-1][1] / 2**10:.1f} "
                f"| {seen[-1][2] / 2**10:.1f} |"
            )
    growth = [last - first for first, last in zip(seen[0], seen[-1], strict=True)]
    flat = all(each <= arguments.allowed for each in growth)
    print(
        f"growth since step {every}: process {growth[0]}, allocated {growth[1]}, "
        f"reserved {growth[2]} bytes; {'flat' if flat else 'NOT FLAT'}"
    )
    return 0 if flat else 1


if __name__ == "__main__":
    sys.exit(main())
