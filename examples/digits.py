"""Trains a small convolutional network to read handwritten digits, in well under a minute.

The 1,797 digits of 8 by 8 pixels come with scikit-learn. Everything the run produces lands in one
folder: the learning curve, a confusion matrix with the misread digits, the losses and a checkpoint,
which a fresh process then loads to reach the same accuracy.
"""

import argparse
import json
import math
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import train_test_split
from tqdm import tqdm

import rushlight as rl
from rushlight import nn
from rushlight.utils.data import DataLoader, Dataset, TensorDataset

matplotlib.use("Agg")  # draw into files: there may be no screen
import matplotlib.pyplot as plt

SPLIT_SEED = 0  # the test digits are the same whatever --seed says
BATCH_SIZE = 32
LEARNING_RATE = 1e-2


class ShiftedDigits(Dataset):
    """Training digits, each moved by up to one pixel whenever it is read."""

    def __init__(self, images: rl.Tensor, labels: rl.Tensor) -> None:
        self.images = nn.functional.pad(images, (1, 1, 1, 1))
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[rl.Tensor, rl.Tensor]:
        top, left = rl.randint(0, 3, (2,)).tolist()
        return self.images[index, :, top : top + 8, left : left + 8], self.labels[index]


def load_data() -> dict[str, tuple[rl.Tensor, rl.Tensor]]:
    """Splits the digits into 1,257 to train on, 180 to validate and 360 to test."""
    digits = load_digits()
    images = (digits.images[:, None] / 16).astype(np.float32)
    rest, test = train_test_split(
        np.arange(len(images)), test_size=360, stratify=digits.target, random_state=SPLIT_SEED
    )
    train, validation = train_test_split(
        rest, test_size=180, stratify=digits.target[rest], random_state=SPLIT_SEED
    )
    return {
        name: (rl.from_numpy(images[rows]), rl.from_numpy(digits.target[rows]))
        for name, rows in {"train": train, "validation": validation, "test": test}.items()
    }


def make_model() -> nn.Module:
    def block(inputs: int, outputs: int) -> list[nn.Module]:
        convolution = nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False)
        return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]

    return nn.Sequential(
        *block(1, 16),
        *block(16, 32),
        nn.MaxPool2d(2),
        *block(32, 48),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(48 * 2 * 2, 10),
    )


@rl.no_grad()
def predict(model: nn.Module, images: rl.Tensor, device: str) -> np.ndarray:
    """The digit the model reads in each image."""
    model.eval()
    batches = DataLoader(TensorDataset(images), batch_size=256)
    return np.concatenate([model(x.to(device)).argmax(dim=1).cpu().numpy() for (x,) in batches])


def accuracy(model: nn.Module, data: tuple[rl.Tensor, rl.Tensor], device: str) -> float:
    images, labels = data
    return float(np.mean(predict(model, images, device) == labels.numpy()))


def train(
    model: nn.Module, data: dict[str, tuple[rl.Tensor, rl.Tensor]], epochs: int, device: str
) -> dict[str, list[float]]:
    """Trains in place; returns the loss of each step, the accuracy after each epoch."""
    loader = DataLoader(ShiftedDigits(*data["train"]), batch_size=BATCH_SIZE, shuffle=True)
    optimizer = rl.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=1e-2)
    schedule = rl.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=LEARNING_RATE, total_steps=epochs * len(loader)
    )
    loss_function = nn.CrossEntropyLoss(label_smoothing=0.1)
    history: dict[str, list[float]] = {"loss": [], "validation_accuracy": []}
    for epoch in range(1, epochs + 1):
        model.train()
        # Bars only where someone watches; what stays is one line per epoch.
        title = f"epoch {epoch:2d}/{epochs}"
        progress = tqdm(loader, desc=title, unit="batch", leave=False, disable=None)
        for images, labels in progress:
            loss = loss_function(model(images.to(device)), labels.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            history["loss"].append(loss.item())
            progress.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
        score = accuracy(model, data["validation"], device)
        history["validation_accuracy"].append(score)
        recent = float(np.mean(history["loss"][-len(loader) :]))
        tqdm.write(f"{title}: loss {recent:.3f}, validation accuracy {score:.1%}")
    return history


def draw_learning_curve(history: dict[str, list[float]], file: Path) -> None:
    """Draws the loss of every batch and its mean per epoch, below it the validation accuracy."""
    losses, scores = np.array(history["loss"]), 100 * np.array(history["validation_accuracy"])
    epochs = np.arange(1, len(scores) + 1)
    figure, (top, bottom) = plt.subplots(2, sharex=True, figsize=(7, 6), layout="constrained")
    batches = np.arange(1, len(losses) + 1) / (len(losses) / len(scores))
    top.plot(batches, losses, color="tab:blue", linewidth=0.6, alpha=0.5, label="each batch")
    means = losses.reshape(len(scores), -1).mean(axis=1)
    top.plot(epochs - 0.5, means, color="tab:blue", marker="o", markersize=4, label="epoch's mean")
    top.set(ylabel="training loss", ylim=(0, None), title="Learning to read digits")
    top.legend()
    bottom.plot(epochs, scores, color="tab:orange", marker="o", markersize=4)
    bottom.annotate(
        f"{scores[-1]:.1f} %", (epochs[-1], scores[-1]), (0, -16), textcoords="offset points",
        ha="center",
    )  # fmt: skip
    bottom.set(xlabel="epoch", ylabel="validation accuracy (%)", xlim=(0, len(scores) + 0.5))
    bottom.xaxis.get_major_locator().set_params(integer=True)
    for axes in (top, bottom):
        axes.grid(alpha=0.3)
    figure.savefig(file, dpi=120)
    plt.close(figure)


def draw_mistakes(predicted: np.ndarray, data: tuple[rl.Tensor, rl.Tensor], file: Path) -> None:
    """Draws the confusion matrix and, beside it, up to 16 of the misread digits."""
    images, labels = data[0].numpy()[:, 0], data[1].numpy()
    wrong = np.flatnonzero(predicted != labels)
    figure = plt.figure(figsize=(10, 5), layout="constrained")
    left, right = figure.subfigures(1, 2)

    matrix = confusion_matrix(labels, predicted, labels=range(10))
    axes = left.subplots()
    axes.imshow(matrix, cmap="Blues")
    for (row, column), count in np.ndenumerate(matrix):
        if count:
            # On the diagonal white upon dark; a mistake is pale, and should catch the eye.
            color = "white" if row == column else "tab:red"
            axes.text(column, row, str(count), ha="center", va="center", color=color)
    right_ones = f"{len(labels) - len(wrong)} of {len(labels)} test digits read correctly"
    axes.set(xticks=range(10), yticks=range(10), title=right_ones)
    axes.set(xlabel="what the network read", ylabel="what was written")

    right.suptitle("All that it misread" if 0 < len(wrong) <= 16 else f"{len(wrong)} misread")
    side = min(4, max(2, math.ceil(math.sqrt(len(wrong)))))
    panels = right.subplots(side, side).ravel()
    for panel in panels:
        panel.axis("off")
    for panel, index in zip(panels, wrong, strict=False):
        panel.imshow(images[index], cmap="gray_r", vmin=0, vmax=1)
        panel.set_title(f"{labels[index]}, read as {predicted[index]}", fontsize=14 - side)
    figure.savefig(file, dpi=120)
    plt.close(figure)


def score_checkpoint(file: Path, device: str) -> float:
    """Test accuracy of a saved state."""
    model = make_model()
    model.load_state_dict(rl.load(file))
    return accuracy(model.to(device), load_data()["test"], device)


def score_in_fresh_process(file: Path, device: str) -> float:
    command = [sys.executable, __file__, "--evaluate", str(file), "--device", device]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--device", default="cpu", help="where to compute (cpu)")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same run, bit by bit (0)")
    parser.add_argument("--epochs", type=int, default=15, help="passes over the digits (15)")
    output = Path(__file__).parent / "output"
    parser.add_argument("--output", type=Path, default=output, help="folder for what is produced")
    parser.add_argument("--evaluate", type=Path, metavar="CHECKPOINT", help="only score this file")
    arguments = parser.parse_args()
    try:
        rl.zeros(1, device=arguments.device)
    except RuntimeError as problem:  # the message lists the devices there are and how to get more
        parser.exit(2, f"{parser.prog}: {problem}\n")
    return arguments


def main() -> None:
    arguments = parse_arguments()
    device: str = arguments.device
    if arguments.evaluate:
        print(score_checkpoint(arguments.evaluate, device))
        return

    arguments.output.mkdir(parents=True, exist_ok=True)
    rl.manual_seed(arguments.seed)
    data = load_data()
    model = make_model().to(device)
    history = train(model, data, arguments.epochs, device)

    predicted = predict(model, data["test"][0], device)
    score = float(np.mean(predicted == data["test"][1].numpy()))
    checkpoint = arguments.output / "digits.safetensors"
    rl.save(model.state_dict(), checkpoint)
    (arguments.output / "history.json").write_text(json.dumps({**history, "test_accuracy": score}))
    draw_learning_curve(history, arguments.output / "learning_curve.png")
    draw_mistakes(predicted, data["test"], arguments.output / "mistakes.png")

    reloaded = score_in_fresh_process(checkpoint, device)
    if reloaded != score:
        sys.exit(f"the reloaded checkpoint scores {reloaded:.4%} instead of {score:.4%}")
    print(f"test accuracy {score:.2%}; the same from the checkpoint in a fresh process")
    print(f"pictures and checkpoint: {arguments.output}")


if __name__ == "__main__":
    main()
