"""The DataLoader in the main process: arguments, order, batches."""

import pytest

import rushlight
from rushlight.utils import data


class Numbers(data.Dataset):
    def __len__(self):
        return 10

    def __getitem__(self, index):
        return index


class Stream(data.IterableDataset):
    def __iter__(self):
        return iter(range(5))


class WrongLength(Stream):
    def __len__(self):
        return 3


def lists(loader):
    return [batch.tolist() for batch in loader]


def test_batches_come_in_order():
    assert lists(data.DataLoader(Numbers(), batch_size=4)) == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9],
    ]
    loader = data.DataLoader(Numbers(), batch_size=4, drop_last=True)
    assert len(loader) == 2 and len(lists(loader)) == 2


def test_without_batches_samples_come_as_they_are():
    assert list(data.DataLoader(Numbers(), batch_size=None)) == list(range(10))


def test_samplers_of_ones_own():
    assert lists(data.DataLoader(Numbers(), sampler=[3, 1], batch_size=2)) == [[3, 1]]
    assert lists(data.DataLoader(Numbers(), batch_sampler=[[3, 1], [2]])) == [[3, 1], [2]]


def test_shuffling_follows_the_generator():
    def order(seed):
        generator = rushlight.Generator().manual_seed(seed)
        return lists(data.DataLoader(Numbers(), 5, shuffle=True, generator=generator))

    assert order(0) == order(0) != order(1)
    assert sorted(index for batch in order(0) for index in batch) == list(range(10))


def test_epochs_differ():
    loader = data.DataLoader(Numbers(), 10, shuffle=True)
    assert any(lists(loader) != lists(loader) for _ in range(3))


def test_getitems_loads_a_batch_at_once():
    class Batched(Numbers):
        def __getitems__(self, indices):
            return [-index for index in indices]

    assert lists(data.DataLoader(Batched(), 5))[0] == [0, -1, -2, -3, -4]


def test_streams():
    assert lists(data.DataLoader(Stream(), 2)) == [[0, 1], [2, 3], [4]]
    assert lists(data.DataLoader(Stream(), 2, drop_last=True)) == [[0, 1], [2, 3]]
    assert list(data.DataLoader(Stream(), None)) == list(range(5))


def test_a_stream_longer_than_it_says_warns():
    loader = data.DataLoader(WrongLength(), 1)
    assert len(loader) == 3
    with pytest.warns(UserWarning, match="reported to be 3"):
        assert len(lists(loader)) == 5


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"num_workers": -1}, "num_workers"),
        ({"timeout": -1}, "timeout"),
        ({"prefetch_factor": 2}, "prefetch_factor"),
        ({"num_workers": 1, "prefetch_factor": -1}, "prefetch_factor"),
        ({"persistent_workers": True}, "persistent_workers"),
        ({"shuffle": True, "sampler": [1]}, "mutually exclusive with shuffle"),
        ({"batch_sampler": [[1]], "batch_size": 2}, "mutually exclusive with batch_size"),
        ({"batch_size": None, "drop_last": True}, "disables auto-batching"),
        ({"batch_size": 0}, "positive integer"),
        ({"drop_last": 1}, "boolean"),
        ({"multiprocessing_context": "spawn"}, "num_workers > 0"),
        ({"num_workers": 1, "multiprocessing_context": "x"}, "valid start method"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(options, text):
    with pytest.raises(ValueError, match=text):
        data.DataLoader(Numbers(), **options)


def test_a_context_must_be_one():
    with pytest.raises(TypeError, match="context object"):
        data.DataLoader(Numbers(), num_workers=1, multiprocessing_context=3)


@pytest.mark.parametrize("options", [{"shuffle": True}, {"sampler": [1]}, {"batch_sampler": [[1]]}])
def test_streams_have_their_own_order(options):
    with pytest.raises(ValueError, match="IterableDataset"):
        data.DataLoader(Stream(), **options)


def test_a_timeout_needs_workers():
    with pytest.raises(AssertionError, match="timeout"):
        iter(data.DataLoader(Numbers(), timeout=1))


@pytest.mark.parametrize("name", ["batch_size", "sampler", "drop_last", "dataset"])
def test_some_attributes_are_fixed(name):
    loader = data.DataLoader(Numbers())
    with pytest.raises(ValueError, match=name):
        setattr(loader, name, 1)


def test_too_many_workers_warn():
    with pytest.warns(UserWarning, match="suggested max number of worker"):
        data.DataLoader(Numbers(), num_workers=100_000)


def test_there_is_no_worker_here():
    assert data.get_worker_info() is None


def test_an_exception_is_the_datasets_own():
    class Broken(Numbers):
        def __getitem__(self, index):
            raise LookupError(f"no {index}")

    with pytest.raises(LookupError, match=r"^no 0$"):
        list(data.DataLoader(Broken()))
