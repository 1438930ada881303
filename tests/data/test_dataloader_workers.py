"""Worker processes: what they deliver, how they fail, that they end."""

import gc
import multiprocessing
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import rushlight
from rushlight.utils import data

HERE = str(Path(__file__).parent)
sys.path.insert(0, HERE)  # workers that start afresh inherit it
import worker_datasets as datasets  # noqa: E402

METHODS = multiprocessing.get_all_start_methods()
needs_signals = pytest.mark.skipif(os.name != "posix", reason="kills a process with a signal")


def loader(dataset, batch_size=5, workers=2, **options):
    return data.DataLoader(dataset, batch_size, num_workers=workers, **options)


def seeded(seed=0):
    return rushlight.Generator().manual_seed(seed)


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    status = Path(f"/proc/{pid}/stat")
    if status.exists():  # a zombie has ended, whoever should notice
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    return True


def end_within(pids, seconds):
    deadline = time.monotonic() + seconds
    while any(is_running(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def pids_of(iterator):
    return [worker.process.pid for worker in iterator._workers]


@pytest.mark.parametrize("method", METHODS)
def test_workers_deliver_what_the_main_process_would(method):
    samples = datasets.Samples()
    expected = list(data.DataLoader(samples, 4))
    found = list(loader(samples, 4, multiprocessing_context=method))
    assert len(found) == len(expected)
    for batch, wanted in zip(found, expected):
        assert rushlight.equal(batch["large"], wanted["large"])
        assert rushlight.equal(batch["small"], wanted["small"])
        assert batch["text"] == wanted["text"]
        batch["large"].add_(1)  # the memory is ours to write to
        batch["small"].add_(1)


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_the_order_depends_on_the_seed_alone(workers):
    def order(workers):
        options = {"shuffle": True, "generator": seeded(3)}
        return [b.tolist() for b in loader(range(23), 4, workers, **options)]

    assert order(workers) == order(0)


def test_every_kind_of_tensor_survives_the_way():
    tensors = [
        rushlight.tensor([1.5, -2.0], dtype=rushlight.bfloat16),
        rushlight.tensor([True, False]),
        rushlight.tensor(3 + 4j),
        rushlight.zeros(0, 3),
        rushlight.arange(6).reshape(2, 3).T,
        rushlight.ones(2, requires_grad=True),
    ]
    (found,) = loader([tensors], None, 1)
    for tensor, original in zip(found, tensors):
        assert tensor.dtype == original.dtype and tensor.shape == original.shape
        assert tensor.tolist() == original.tolist()
        assert tensor.requires_grad == original.requires_grad


def test_streams_are_shared_among_workers():
    batches = [batch.tolist() for batch in loader(datasets.Shares(), 2)]
    assert batches == [[0, 2], [1, 3], [4, 6], [5, 7], [8, 10], [9]]
    assert list(loader(datasets.Shares(), None)) == list(range(11))


def test_every_worker_has_its_own_seeds():
    def draws(seed):
        return [
            sample
            for batch in loader(
                datasets.Draws(), 4, generator=seeded(seed), collate_fn=datasets.as_is
            )
            for sample in batch
        ]

    first = draws(0)
    assert first == draws(0) != draws(1)
    for source in range(3):
        assert len({sample[source] for sample in first}) == 8
    seeds = {sample[3]: sample[4] for sample in first}
    assert seeds[1] == seeds[0] + 1


def test_batches_as_they_are_ready():
    batches = [batch.tolist() for batch in loader(range(20), 3, in_order=False)]
    assert sorted(index for batch in batches for index in batch) == list(range(20))


def test_index_lists_larger_than_a_pipe():
    order = list(range(100_000))
    (batch, again) = loader([0] * 100_000, batch_sampler=[order, order], batch_size=1, workers=1)
    assert len(batch) == len(again) == 100_000


def test_an_exception_names_worker_sample_and_cause():
    with pytest.raises(KeyError) as caught:
        list(loader(datasets.Troubled("raise")))
    text = str(caught.value)
    assert "Caught KeyError in DataLoader worker process 0 (pid " in text
    assert "while fetching sample 13 of the batch [10, 11, 12, 13, 14]" in text
    assert "Original Traceback" in text and "worker_datasets.py" in text
    assert repr(caught.value.__cause__) == "KeyError('thirteen')"


def test_a_worker_that_cannot_start_says_so():
    with pytest.raises(OSError, match="worker 0 has no disk") as caught:
        list(loader(range(4), worker_init_fn=datasets.fail_to_start))
    assert "while it started" in str(caught.value)


def test_a_batch_that_cannot_be_sent_is_an_error():
    with pytest.raises(Exception, match="while sending the batch") as caught:
        list(loader(datasets.Troubled("unpicklable"), collate_fn=datasets.as_is))
    assert "pickle" in str(caught.value)


@needs_signals
@pytest.mark.parametrize("method", METHODS)
def test_a_killed_worker_is_reported_at_once(method):
    iterator = iter(loader(datasets.Troubled("kill"), multiprocessing_context=method))
    pids = pids_of(iterator)
    with pytest.raises(RuntimeError) as caught:
        list(iterator)
    text = str(caught.value)
    assert "exit code -9 (SIGKILL)" in text and f"pid {pids[0]}" in text
    assert "at sample 13, working on samples [10, 11, 12, 13, 14]" in text
    assert end_within(pids, 5)


def test_a_worker_that_exits_is_reported():
    with pytest.raises(RuntimeError, match="exit code 7"):
        list(loader(datasets.Troubled("exit")))


def test_a_stuck_worker_is_reported_after_the_timeout():
    iterator = iter(loader(datasets.Troubled("sleep"), timeout=0.5))
    pids = pids_of(iterator)
    began = time.monotonic()
    with pytest.raises(RuntimeError, match=r"timed out after 0\.5 seconds") as caught:
        list(iterator)
    assert "at sample 13" in str(caught.value)
    assert end_within(pids, 5) and time.monotonic() - began < 20


def test_persistent_workers_stay():
    source = loader(range(10), persistent_workers=True, collate_fn=datasets.worker_pid)
    first, second = set(source), set(source)
    assert first == second and len(first) == 2
    source._iterator.close()


def test_persistent_workers_forget_an_abandoned_epoch():
    source = loader(range(20), 2, persistent_workers=True)
    for _ in source:
        break
    assert [batch.tolist() for batch in source] == [[i, i + 1] for i in range(0, 20, 2)]
    source._iterator.close()


def test_persistent_workers_are_replaced_when_they_die():
    source = loader(range(6), 2, persistent_workers=True)
    assert len(list(source)) == 3
    for worker in source._iterator._workers:
        worker.process.kill()
        worker.process.join()
    assert len(list(source)) == 3
    source._iterator.close()


def test_an_abandoned_iterator_takes_its_workers_along():
    iterator = iter(loader(datasets.Samples(), 2))
    next(iterator)
    pids = pids_of(iterator)
    del iterator
    gc.collect()
    assert end_within(pids, 5)


def test_a_finished_iterator_has_no_workers():
    iterator = iter(loader(range(10)))
    pids = pids_of(iterator)
    list(iterator)
    assert end_within(pids, 5)
    with pytest.raises(StopIteration):
        next(iterator)


SCRIPT = """
import os, sys, signal
sys.path.insert(0, {here!r})
import worker_datasets as datasets
from rushlight.utils import data

def main():
    loaders = [
        data.DataLoader(
            datasets.Samples(1000), 4, num_workers=1, multiprocessing_context={method!r},
            persistent_workers=persistent,
        )
        for persistent in (False, True)
    ]
    iterators = [iter(loader) for loader in loaders]
    for iterator in iterators:
        next(iterator)
    print(*[w.process.pid for i in iterators for w in i._workers], flush=True)
    {ending}

if __name__ == "__main__":
    main()
"""


@needs_signals
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("pass", 0),
        ("raise ValueError", 1),
        ("sys.exit(4)", 4),
        ("os._exit(5)", 5),
        ("os.kill(os.getpid(), signal.SIGKILL)", -9),
    ],
)
def test_no_worker_outlives_its_program(tmp_path, method, ending, code):
    script = tmp_path / "program.py"
    script.write_text(textwrap.dedent(SCRIPT).format(here=HERE, method=method, ending=ending))
    run = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == code, run.stderr
    pids = [int(pid) for pid in run.stdout.split()]
    assert len(pids) == 2
    assert end_within(pids, 20)
    expected_errors = 1 if ending == "raise ValueError" else 0
    assert run.stderr.count("Traceback") == expected_errors, run.stderr
