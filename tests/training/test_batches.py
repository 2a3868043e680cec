import threading

import jax
import numpy as np
import pytest

from advjax.runtime.parallel import data_mesh
from advjax.training import Dataset
from advjax.training.batches import AHEAD, Rows, batches_ahead

WAIT_S = 60


class Disk:
    """Rows of an array, and the reads of them."""

    def __init__(self, array, broken=-1):
        self.array, self.broken = array, broken
        self.shape, self.dtype = array.shape, array.dtype
        self.reads, self.threads = [], set()
        self.read_enough = threading.Event()

    def __getitem__(self, rows):
        self.reads.append(rows.tolist())
        self.threads.add(threading.current_thread())
        if len(self.reads) == 1 + AHEAD:
            self.read_enough.set()
        if self.broken in rows:
            raise ValueError(f"record {self.broken} is damaged")
        return self.array[rows]


def data(**options):
    x = np.arange(60, dtype=np.int16).reshape(20, 3)
    return Dataset(Disk(x, **options), np.arange(20, dtype=np.int32))


ROWS = [np.asarray(rows) for rows in ([3, 1], [0, 19], [5, 5], [7, 8], [9, 2], [4, 6])]
MESH = data_mesh(jax.devices()[:1])


def test_batches_come_in_order_and_are_read_by_another_thread():
    examples = data()
    assert isinstance(examples.x, Rows)
    with batches_ahead(examples, iter(ROWS), MESH) as ahead:
        found = list(ahead)
    for rows, batch in zip(ROWS, found, strict=True):
        np.testing.assert_array_equal(batch.x, examples.x.array[rows])
        np.testing.assert_array_equal(batch.y, rows)
        assert batch.verified is None
    assert threading.current_thread() not in examples.x.threads


def test_the_next_batches_are_read_before_they_are_asked_for():
    examples = data()
    with batches_ahead(examples, iter(ROWS), MESH) as ahead:
        next(ahead)
        assert examples.x.read_enough.wait(WAIT_S)
    # No more than those ahead, and none after the end.
    assert examples.x.reads == [rows.tolist() for rows in ROWS[: 1 + AHEAD]]


def test_an_error_of_the_reader_arrives_with_its_batch():
    with batches_ahead(data(broken=7), iter(ROWS), MESH) as ahead:
        for _ in range(3):
            next(ahead)
        with pytest.raises(ValueError, match="record 7 is damaged"):
            next(ahead)


def test_an_error_of_the_caller_ends_the_reading():
    examples = data()
    with pytest.raises(KeyboardInterrupt), batches_ahead(examples, ROWS, MESH) as ahead:
        next(ahead)
        raise KeyboardInterrupt
    (thread,) = examples.x.threads
    thread.join(WAIT_S)
    assert not thread.is_alive() and len(examples.x.reads) <= 1 + AHEAD


def test_devices_get_their_own_rows():
    examples, devices = data(), jax.devices()[:2]
    if len(devices) < 2:
        pytest.skip("one device")
    with batches_ahead(examples, ROWS[:1], data_mesh(devices)) as ahead:
        (batch,) = ahead
    np.testing.assert_array_equal(batch.x, examples.x.array[[3, 1]])
    assert sorted(examples.x.reads) == [[1], [3]]
