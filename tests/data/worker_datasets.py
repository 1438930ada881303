"""Datasets for the tests of worker processes, importable by workers that start afresh."""

import os
import random
import signal
import time

import numpy as np

import rushlight
from rushlight.utils import data


class Samples(data.Dataset):
    """Tensors large enough for shared memory, beside small things."""

    def __init__(self, count=30, size=20_000):
        self.count = count
        self.size = size

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return {
            "large": np.full(self.size, index, np.float32),
            "small": rushlight.tensor([index, -index]),
            "text": str(index),
        }


class Troubled(data.Dataset):
    """Something happens at sample 13."""

    def __init__(self, trouble):
        self.trouble = trouble

    def __len__(self):
        return 20

    def __getitem__(self, index):
        if index == 13:
            if self.trouble == "raise":
                raise KeyError("thirteen")
            if self.trouble == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.trouble == "exit":
                os._exit(7)
            if self.trouble == "sleep":
                time.sleep(60)
            if self.trouble == "unpicklable":
                return lambda: index
        return index


class Shares(data.IterableDataset):
    """Every worker yields its share."""

    def __iter__(self):
        info = data.get_worker_info()
        return iter(range(info.id, 11, info.num_workers))


class Draws(data.Dataset):
    """Random numbers from every generator, and the worker's seed."""

    def __len__(self):
        return 8

    def __getitem__(self, index):
        info = data.get_worker_info()
        return random.random(), np.random.rand(), rushlight.rand(()).item(), info.id, info.seed


def as_is(samples):
    return samples


def worker_pid(samples):
    return os.getpid()


def fail_to_start(worker_id):
    raise OSError(f"worker {worker_id} has no disk")
