import copy
import functools
import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax import checkpoint
from advjax.classifier import Classifier, initialise, variable_shapes
from advjax.models import VGG16, ResCNN
from advjax.representations import Magnitude, MelEnergies, Waveform
from tests.tiny_network import Tiny

pytestmark = pytest.mark.usefixtures("tiny_network")

SHORT = MelEnergies(source=Magnitude(source=Waveform(num_samples=2000)))


TINY = Tiny(num_classes=3)
RESCNN = ResCNN(num_classes=3, width=2, embedding_size=8)


@functools.cache
def variables(module, seed):
    return jax.device_get(initialise(module, SHORT, jax.random.key(seed)))


def classifier(seed=0, module=TINY):
    return Classifier(
        variables=copy.deepcopy(variables(module, seed)),
        module=module,
        representation=SHORT,
        labels=("a", "b", "c"),
    )


@jax.jit
def logits(logits_fn, x):
    return logits_fn(x)


@pytest.fixture(scope="module")
def wave():
    noise = np.random.default_rng(0).normal(0, 0.1, 2000)
    return jnp.asarray(noise, jnp.float32)


def test_logits_are_equal_from_every_stage(wave):
    found = classifier()
    whole = logits(found.logits_fn("waveform"), wave)
    assert whole.shape == (3,)
    for stage in SHORT.chain():
        again = logits(found.logits_fn(stage.name), stage.apply(wave))
        np.testing.assert_allclose(again, whole, atol=1e-4)


@pytest.mark.parametrize("module", [TINY, RESCNN])
def test_shapes_of_variables_are_those_of_fresh_ones(module):
    found = variable_shapes(module, SHORT.feature_shape)
    chex.assert_trees_all_equal_shapes_and_dtypes(found, variables(module, 0))
    assert variable_shapes(copy.copy(module), SHORT.feature_shape) is found
    assert variable_shapes(module.clone(num_classes=5), SHORT.feature_shape) != found


def test_repr_shows_no_weights():
    assert repr(classifier(module=RESCNN)) == (
        "Classifier(ResCNN(num_classes=3, width=2, embedding_size=8), mfbe, 3 labels)"
    )


def test_bfloat16_is_the_networks_alone(wave):
    found = classifier(module=RESCNN)
    exact = logits(found.logits_fn("waveform"), wave)
    coarse = found.logits_fn("waveform", precision="bfloat16")
    assert logits(coarse, wave).dtype == jnp.float32
    difference = np.abs(logits(coarse, wave) - exact).max()
    # Eight bits of fraction over thirty layers, but less than another network's error.
    assert 1e-5 < difference < 0.1 * np.abs(exact).max()
    text = jax.jit(coarse).lower(wave).as_text()
    convolutions = [line for line in text.splitlines() if ".convolution" in line]
    assert convolutions and all(line.count("bf16") == 3 for line in convolutions)
    # On a CPU convolutions of small maps are products.
    products = [line for line in text.splitlines() if ".dot_general" in line]
    products = [line for line in products if line.count("bf16") == 3]
    assert len(convolutions) + len(products) == 28
    front_end = [line for line in text.splitlines() if "fft" in line]
    assert front_end and not any("bf16" in line for line in front_end)


@pytest.mark.parametrize("precision", ["tf32", "float16"])
def test_a_precision_that_is_not_to_be_had_is_refused(precision):
    if precision == "tf32" and jax.default_backend() == "gpu":
        pytest.skip("this backend has it")
    with pytest.raises(ValueError, match="choose"):
        classifier().logits_fn("mfbe", precision=precision)


def test_unknown_stage_is_refused():
    with pytest.raises(ValueError, match="waveform, magnitude, mfbe"):
        classifier().logits_fn("logmel")


def test_jit_traces_once_for_all_classifiers_of_a_kind(wave):
    traces = []

    @jax.jit
    def traced(fn, x):
        traces.append(1)
        return fn(x)

    first = traced(classifier(0).logits_fn("waveform"), wave)
    second = traced(classifier(1).logits_fn("waveform"), wave)
    assert len(traces) == 1
    assert np.abs(first - second).max() > 0


def test_digest_sees_one_changed_weight():
    one, two = classifier(), classifier()
    assert one.digest() == two.digest()
    two.variables["params"]["Dense_1"]["bias"] = np.asarray([0, 1e-7, 0], np.float32)
    assert one.digest() != two.digest()


def test_checkpoint_gives_back_the_same_classifier(tmp_path, wave):
    saved = classifier()
    checkpoint.save(tmp_path / "c", saved, corpus="none")
    loaded = checkpoint.load(tmp_path / "c")
    assert loaded.module == saved.module
    assert loaded.representation == SHORT
    assert loaded.labels == saved.labels
    assert loaded.digest() == saved.digest()
    assert checkpoint.config(tmp_path / "c")["notes"] == {"corpus": "none"}
    np.testing.assert_array_equal(
        logits(loaded.logits_fn("waveform"), wave),
        logits(saved.logits_fn("waveform"), wave),
    )


def test_a_network_without_statistics_is_saved_and_loaded(tmp_path):
    module = VGG16(num_classes=3, width=2, resize=None)
    saved = Classifier(
        variables=jax.device_get(initialise(module, SHORT, jax.random.key(0))),
        module=module,
        representation=SHORT,
        labels=("a", "b", "c"),
    )
    assert set(saved.variables) == {"params"}
    checkpoint.save(tmp_path / "c", saved)
    loaded = checkpoint.load(tmp_path / "c")
    assert loaded.module == module
    assert loaded.digest() == saved.digest()
    chex.assert_trees_all_equal(loaded.variables, saved.variables)


def test_a_checkpoint_is_never_written_over_another(tmp_path):
    first = classifier()
    checkpoint.save(tmp_path / "c", first)
    with pytest.raises(FileExistsError, match="there already"):
        checkpoint.save(tmp_path / "c", first)
    assert checkpoint.load(tmp_path / "c").digest() == first.digest()


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no classifier in .*nowhere"):
        checkpoint.load(tmp_path / "nowhere")


def test_a_checkpoint_cut_short_is_refused(tmp_path):
    checkpoint.save(tmp_path / "c", classifier())
    data = [p for p in (tmp_path / "c" / "weights").rglob("*") if p.is_file()]
    largest = max(data, key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])
    with pytest.raises(checkpoint.BrokenCheckpoint, match="delete the folder"):
        checkpoint.load(tmp_path / "c")


def test_a_description_cut_short_is_refused(tmp_path):
    checkpoint.save(tmp_path / "c", classifier())
    config = tmp_path / "c" / "classifier.json"
    config.write_text(config.read_text()[:40])
    with pytest.raises(checkpoint.BrokenCheckpoint, match="not JSON"):
        checkpoint.load(tmp_path / "c")


def test_weights_of_another_network_are_refused(tmp_path):
    checkpoint.save(tmp_path / "c", classifier())
    config = tmp_path / "c" / "classifier.json"
    other = config.read_text().replace('"digest": "', '"digest": "0')
    config.write_text(other)
    with pytest.raises(checkpoint.BrokenCheckpoint, match="digest"):
        checkpoint.load(tmp_path / "c")


def changed(folder, change):
    path = folder / "classifier.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.fixture
def saved(tmp_path):
    checkpoint.save(tmp_path / "c", classifier())
    return tmp_path / "c"


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found["labels"].reverse(),
        lambda found: found["representation"].update(floor=1e-3),
        lambda found: found["module"].update(dropout=0.25),
        lambda found: found["notes"].update(defence="gaussian"),
        lambda found: found.update(labels=[1, 2, 3]),
        lambda found: found.update(labels="abc"),
        lambda found: found.update(digest=3),
        lambda found: found.update(more=1),
        lambda found: found.pop("module"),
    ],
)
def test_a_changed_description_is_named(saved, change):
    changed(saved, change)
    with pytest.raises(checkpoint.BrokenCheckpoint, match="cannot be read: .*delete"):
        checkpoint.load(saved)


def older(found):
    del found["description"]


def test_a_description_without_digest_is_of_an_earlier_version(saved):
    changed(saved, older)
    assert checkpoint.load(saved).labels == ("a", "b", "c")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda found: found["labels"].pop(), "2 labels do not belong to 3 classes"),
        (lambda found: found["module"].update(name="rescan"), "network or front"),
        (lambda found: found["module"].update(width="a"), "network or front end"),
        (lambda found: found["module"].update(size=3), "network or front end"),
        (lambda found: found["representation"].update(name="x"), "network or front"),
    ],
)
def test_an_earlier_description_of_anything_is_refused(saved, change, told):
    changed(saved, older)
    changed(saved, change)
    with pytest.raises(checkpoint.BrokenCheckpoint, match=told) as caught:
        checkpoint.load(saved)
    # It may be intact and of another version.
    assert ("delete the folder" in str(caught.value)) == ("labels" in told)


@pytest.mark.parametrize("name", ["x[1]", "back\\slash", "gs:", "new\nline", "\udcff"])
def test_a_folder_of_any_name_keeps_a_classifier(tmp_path, name):
    checkpoint.save(tmp_path / name / "c", classifier())
    assert checkpoint.load(tmp_path / name / "c").digest() == classifier().digest()


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    def full(*arguments):
        raise ValueError("RESOURCE_EXHAUSTED: write: No space left on device\\nTrace")

    monkeypatch.setattr(jax, "device_get", full)
    with pytest.raises(OSError, match="no room on the disk .* make room"):
        checkpoint.save(tmp_path / "c", classifier())
    assert list(tmp_path.iterdir()) == []
