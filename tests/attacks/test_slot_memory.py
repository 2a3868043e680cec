import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax.attacks import fitting_slots, pgd, run_batch, slot_memory
from advjax.runtime.parallel import data_mesh

ATTACK = pgd(num_steps=2, bounds=(-9.0, 9.0))


def wide(x):
    """A network whose hidden layer takes 40 kB an example."""
    hidden = jnp.sin(jnp.arange(10_000.0) * x.sum())
    return jnp.stack([hidden.sum(), jnp.square(hidden).sum(), x[0]])


def fitted(num_slots, **options):
    return fitting_slots(ATTACK, wide, (6,), num_slots=num_slots, **options)


def test_slots_are_halved_until_the_program_fits(monkeypatch):
    needed, program_memory = [], slot_memory.program_memory

    def watched(compiled):
        needed.append(program_memory(compiled))
        return needed[-1]

    monkeypatch.setattr(slot_memory, "program_memory", watched)
    assert fitted(8) == 8
    monkeypatch.setattr(slot_memory, "free_memory", lambda mesh: needed[0] / 3)
    found = fitted(8)
    assert 1 <= found < 4 and needed[-1] <= needed[0] / 3 < needed[-2]
    monkeypatch.setattr(slot_memory, "free_memory", lambda mesh: 1e3)
    with pytest.raises(MemoryError, match="not even one example"):
        fitted(2)


def test_every_device_has_at_least_one_slot(monkeypatch):
    mesh = data_mesh(jax.devices()[:4])
    assert fitted(7, mesh=mesh) == 8
    monkeypatch.setattr(slot_memory, "program_memory", lambda compiled: 2)
    monkeypatch.setattr(slot_memory, "free_memory", lambda mesh: 1.0)
    with pytest.raises(MemoryError):
        fitted(7, mesh=mesh)


@pytest.mark.parametrize("num_devices", [1, 2])
def test_the_program_that_was_weighed_is_the_one_that_runs(num_devices):
    mesh = data_mesh(jax.devices()[:num_devices]) if num_devices > 1 else None
    attack = pgd(num_steps=3, bounds=(-9.0, 9.0))
    assert fitting_slots(attack, wide, (6,), num_slots=4, mesh=mesh) == 4
    compiled = []

    def heard(event, *_, fun_name="", **__):
        if event.endswith("backend_compile_duration"):
            compiled.append(fun_name)

    jax.monitoring.register_event_duration_secs_listener(heard)
    try:
        x, keys = np.ones((5, 6), np.float32), jax.random.split(jax.random.key(0), 5)
        y = np.zeros(5, np.int32)
        results = run_batch(attack, wide, x, y, keys, 0.1, num_slots=4, mesh=mesh)
        assert len(dict(results)) == 5
    finally:
        jax.monitoring.unregister_event_duration_listener(heard)
    assert compiled and not [name for name in compiled if "advance" in name]
