import errno
import json

import chex
import numpy as np
import pytest

from advjax.runtime.locks import reserve
from advjax.training.checkpoints import Checkpoints, Log, TrainState


def state(step=0, size=3):
    return TrainState(
        step=np.int32(step),
        params={"layer": {"kernel": np.full(size, step, np.float32)}},
        batch_stats={},
        opt_state=({"count": np.int32(step)},),
        rate_scale=np.float32(1),
    )


BEST = {"params": {"kernel": np.arange(4, dtype=np.float32)}}
FRESH = {"params": {"kernel": np.zeros(4, np.float32)}}


@pytest.fixture
def kept(tmp_path):
    """A folder with the checkpoint of step 5."""
    folder = tmp_path / "c.training"
    with Checkpoints(folder) as checkpoints:
        log = Log(settings="one", best=0.5, best_loss=1.5, best_step=5)
        checkpoints.save(state(5), BEST, log)
    return folder


def latest(folder, settings="one", size=3):
    with Checkpoints(folder) as checkpoints:
        found = checkpoints.latest(state(size=size), FRESH, Log(settings=settings))
        chex.assert_trees_all_equal_structs(found[0], state(size=size))
        return found


def test_a_checkpoint_is_read_by_the_next_start(kept):
    last, best, log = latest(kept)
    chex.assert_trees_all_equal((last, best), (state(5), BEST))
    assert (log.best, log.best_step, log.history) == (0.5, 5, [])
    assert [path.name for path in kept.parent.iterdir()] == ["c.training"]


def test_one_without_digests_is_of_an_earlier_version(kept):
    rewrite(kept, lambda log: log.pop("digests"))
    assert int(latest(kept)[0].step) == 5


def rewrite(folder, change):
    files = (folder / "5" / "log").iterdir()
    (path,) = (file for file in files if "settings" in file.read_text())
    log = json.loads(path.read_text())
    change(log)
    path.write_text(json.dumps(log))


@pytest.mark.parametrize(
    "change",
    [
        lambda log: log.update(best="high"),
        lambda log: log.update(best=3),
        lambda log: log.update(gainless=-1),
        lambda log: log.update(history={}),
        lambda log: log.update(mood="good"),
        lambda log: log.pop("settings"),
        lambda log: log["digests"].update(last="0" * 64),
        lambda log: log["digests"].update(best="0" * 64),
    ],
)
def test_a_changed_checkpoint_is_told_and_the_training_starts_anew(
    kept, capsys, change
):
    rewrite(kept, change)
    last, best, log = latest(kept)
    chex.assert_trees_all_equal((last, best), (state(0), FRESH))
    assert log == Log(settings="one")
    assert "is damaged" in (said := capsys.readouterr().err)
    assert said.count("\n") == 1
    with Checkpoints(kept) as checkpoints:  # there is room for the new ones
        checkpoints.save(state(2), BEST, Log(settings="one"))
    assert int(latest(kept)[0].step) == 2


def test_damaged_arrays_are_told(kept, capsys):
    for path in (kept / "5" / "last").rglob("*"):
        if path.is_file() and path.parent.name == "d":
            path.write_bytes(b"x" * path.stat().st_size)
    assert int(latest(kept)[0].step) == 0
    assert "is damaged" in capsys.readouterr().err


def test_other_settings_are_refused_before_their_arrays_are_read(kept):
    for _ in range(2):
        with pytest.raises(ValueError, match="other settings: choose another folder"):
            latest(kept, settings="two", size=7)
    assert int(latest(kept)[0].step) == 5


def test_a_second_training_in_one_folder_is_refused(kept):
    with (
        reserve(kept),
        pytest.raises(BlockingIOError, match="is being made by"),
    ):
        Checkpoints(kept)
    assert int(latest(kept)[0].step) == 5


@pytest.mark.parametrize("name", ["x[1]", "back\\slash", "gs:", "new\nline", "\udcff"])
def test_a_folder_of_any_name_keeps_checkpoints(tmp_path, name):
    with Checkpoints(tmp_path / name) as checkpoints:
        checkpoints.save(state(5), BEST, Log(settings="one"))
    chex.assert_trees_all_equal(latest(tmp_path / name)[:2], (state(5), BEST))


def test_a_full_disk_is_one_line_and_keeps_the_checkpoint_before(kept, monkeypatch):
    with Checkpoints(kept) as checkpoints:

        def full(*arguments, **options):
            (kept / "6.orbax-checkpoint-tmp").mkdir()
            raise ValueError("RESOURCE_EXHAUSTED: No space left on device")

        monkeypatch.setattr(checkpoints._manager, "save", full)
        with pytest.raises(OSError, match="make room and run the same") as caught:
            checkpoints.save(state(6), BEST, Log(settings="one"))
    assert caught.value.errno == errno.ENOSPC
    assert [path.name for path in kept.iterdir()] == ["5"]
    assert int(latest(kept)[0].step) == 5
