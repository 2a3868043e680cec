import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax import checkpoint
from advjax.models import SurfSvm
from advjax.representations import Image, Magnitude, Waveform
from advjax.surf_svm.autoencoder import Autoencoder
from advjax.surf_svm.fitting import (
    Stages,
    SvmRecipe,
    fit,
    fit_autoencoder,
    fit_codebook,
    fit_machine,
)

pytest.importorskip("sklearn")
REPRESENTATION = Image(
    source=Magnitude(source=Waveform(num_samples=4000)), frames=60, bins=48
)
RECIPE = SvmRecipe(num_steps=5, batch_size=4, costs=(1.0,))
LABELS = ("stripes", "bars")
NETWORK = SurfSvm(num_classes=2, width=2, zones=3, max_points=16, num_words=6)


def images(count=12, seed=0):
    """Stripes along either axis, shifted, with noise."""
    generator = np.random.default_rng(seed)
    y = np.arange(count) % 2
    lines = np.arange(60)[:, None] + np.zeros(48), np.zeros(60)[:, None] + np.arange(48)
    found = [
        0.5 + 0.4 * np.sin(lines[label] * 0.6 + generator.uniform(0, 6)) for label in y
    ]
    noisy = np.stack(found) + 0.05 * generator.normal(size=(count, 60, 48))
    return np.clip(noisy, 0, 1).astype(np.float32)[..., None], y


def fitted(x, y, network=NETWORK, **options):
    return fit(network, REPRESENTATION, x, y, labels=LABELS, recipe=RECIPE, **options)


@pytest.fixture(scope="module")
def classifier():
    return fitted(*images())


def test_what_is_fitted_knows_new_images(classifier):
    x, y = images(seed=1)
    logits = jax.jit(jax.vmap(classifier.logits))(jnp.asarray(x))
    assert (logits.argmax(axis=1) == y).all()


def test_it_is_saved_and_loaded_like_any_classifier(classifier, tmp_path):
    checkpoint.save(tmp_path / "svm", classifier)
    again = checkpoint.load(tmp_path / "svm")
    assert again.digest() == classifier.digest()
    assert again.module.num_support == len(again.variables["params"]["support"])


@pytest.mark.parametrize("encoder", ["soft", "hard", "pixels"])
def test_a_killed_fit_goes_on_behind_its_last_stage(
    classifier, encoder, tmp_path, monkeypatch
):
    network = NETWORK.clone(encoder=encoder)
    x, y = images()
    whole = classifier if network == NETWORK else fitted(x, y, network)

    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("advjax.surf_svm.fitting.fit_machine", killed)
        with pytest.raises(KeyboardInterrupt):
            fitted(x, y, network, workdir=tmp_path)
    with monkeypatch.context() as patch:
        for stage in ("fit_autoencoder", "fit_codebook"):
            patch.setattr(f"advjax.surf_svm.fitting.{stage}", killed)
        again = fitted(x, y, network, workdir=tmp_path)
    assert again.digest() == whole.digest()


def test_a_folder_of_another_fit_is_refused(tmp_path):
    x, y = images()
    fitted(x, y, workdir=tmp_path)
    with pytest.raises(ValueError, match="stages of another fit"):
        fitted(x, y, NETWORK.clone(energy=0.5), workdir=tmp_path)


def stages(folder, seed=0):
    x, y = np.zeros(3, np.float32), np.zeros(3, np.int32)
    return Stages(folder, "network", "front end", SvmRecipe(), x, y, seed)


def found(folder, value):
    made = {"a": {"b": np.float32([value, 1])}, "c": np.int32(value)}
    return stages(folder).load_or_fit("codebook", lambda: made)["a"]["b"].tolist()


def test_a_damaged_stage_is_told_and_fitted_again(tmp_path, capsys):
    folder = tmp_path / "fit"
    assert found(folder, 1) == found(folder, 2) == [1, 1]
    file = folder / "codebook.npz"
    good = file.read_bytes()
    other = stages(folder).load_or_fit(
        "other", lambda: {"a": {"b": np.float32([7, 7])}}
    )
    assert other["a"]["b"].tolist() == [7, 7]
    for value, damage in enumerate(
        [good[:100], b"", b"junk" * 99, (folder / "other.npz").read_bytes()], start=3
    ):
        file.write_bytes(damage)
        assert found(folder, value) == [value, 1]
        assert "codebook.npz is damaged" in (said := capsys.readouterr().err)
        assert said.count("\n") == 1 and "fitted again" in said


def test_stages_of_nobody_are_told_and_fitted_again(tmp_path, capsys):
    folder = tmp_path / "fit"
    assert found(folder, 1) == [1, 1]
    (folder / "fit.json").write_text('{"network": "net')
    assert found(folder, 2) == [2, 1]
    assert "fit.json is damaged" in capsys.readouterr().err
    with pytest.raises(ValueError, match="stages of another fit"):
        stages(folder, seed=1)


@pytest.mark.slow
def test_the_autoencoder_lowers_the_error_of_noisy_images():
    x, _ = images(24)
    x = x[..., 0]
    recipe = SvmRecipe(num_steps=300, batch_size=8, corruption=0.2)
    params = fit_autoencoder(x, 4, recipe, seed=0)
    unseen = images(seed=2)[0][..., 0]
    noise = 0.2 * np.random.default_rng(3).normal(size=unseen.shape)
    noisy = (unseen + noise).astype(np.float32)
    found = jax.jit(Autoencoder(4).apply)({"params": params}, noisy)
    before, after = (np.mean((z - unseen) ** 2) for z in (noisy, np.asarray(found)))
    assert after < 0.5 * before


def test_silent_images_are_left_out_of_a_fit(classifier):
    x, y = images()
    x = np.concatenate([x, np.zeros_like(x[:2])])
    assert fitted(x, np.append(y, [0, 1])).digest() == classifier.digest()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (np.zeros_like(x), y), "all 12 training images have a single"),
        (lambda x, y: (x, np.zeros_like(y)), "all training images are of the class"),
    ],
)
def test_what_cannot_be_fitted_is_told_before_any_stage(change, message):
    with pytest.raises(ValueError, match=message):
        fitted(*change(*images()))


def test_a_class_without_images_is_told():
    x, y = images()
    network = SurfSvm(num_classes=3)
    with pytest.raises(ValueError, match="no training image of dots"):
        fit(network, REPRESENTATION, x, y, labels=(*LABELS, "dots"), recipe=RECIPE)


def test_more_words_than_descriptors_are_told():
    descriptors = np.eye(64, dtype=np.float32)[:5].repeat(3, axis=0)
    with pytest.raises(ValueError, match="num_words=6: .* 5 different descriptors"):
        fit_codebook(descriptors, 6, RECIPE, 0)
    assert fit_codebook(descriptors, 5, RECIPE, 0).shape == (5, 64)


def test_the_cost_of_a_network_goes_before_cross_validation():
    x, y = np.random.default_rng(0).normal(size=(20, 6)), np.arange(20) % 2
    recipe = SvmRecipe(costs=(0.01, 100.0))

    def largest(network):
        return np.abs(fit_machine(x, y, network, recipe)["coefficients"]).max()

    # A machine's coefficients are at most its C, and those on the wrong side reach it.
    np.testing.assert_allclose(largest(NETWORK.clone(cost=0.003)), 0.003)
    assert largest(NETWORK) >= 0.0099
