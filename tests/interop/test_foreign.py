import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax.interop import ForeignClassifier
from advjax.representations import LogMel, Magnitude, Waveform

WAVEFORM = Waveform(num_samples=4)


def classifier(labels=("a", "b", "c"), scale=1.0, **more):
    weights = np.float32(np.arange(12).reshape(4, 3) * scale)
    return ForeignClassifier(
        network=jax.tree_util.Partial(lambda w, x: x @ w, weights),
        representation=WAVEFORM,
        labels=labels,
        order=(0, 1, 2),
        name="module:mine.py:make",
        code="12ab",
        **more,
    )


def logits(of):
    return of.logits_fn("waveform")(jnp.ones(4)).tolist()


def test_classes_follow_the_labels_of_the_clips():
    found = classifier()
    assert logits(found) == [18, 22, 26]
    again = found.in_order(("c", "a", "b"))
    assert again.labels == ("c", "a", "b") and logits(again) == [26, 18, 22]
    # A class that no clip has stays, at the end; so does the digest.
    fewer = again.in_order(("b",))
    assert fewer.labels == ("b", "c", "a") and logits(fewer) == [22, 26, 18]
    assert fewer.digest() == found.digest()


def test_labels_that_do_not_match_are_refused_by_name():
    with pytest.raises(ValueError, match="no class 'd', which clips are of.* a, b, c"):
        classifier().in_order(("a", "d"))
    bare = classifier(labels=())
    assert bare.in_order(("x", "y", "z")).labels == ("x", "y", "z")
    with pytest.raises(ValueError, match="names no labels and has 3 classes.*have 2"):
        bare.in_order(("x", "y"))


def test_the_digest_is_of_the_weights_and_the_file():
    digests = {
        classifier().digest(),
        classifier(scale=2).digest(),
        classifier().replace(code="34cd").digest(),
    }
    assert len(digests) == 3 and all(len(each) == 16 for each in digests)
    assert classifier().num_parameters() == 12


def test_a_precision_that_it_lacks_is_refused():
    with pytest.raises(ValueError, match="bfloat16.*give float32"):
        classifier().logits_fn("waveform", precision="bfloat16")
    with pytest.raises(ValueError, match="tf32.*give float32"):
        classifier(has_gradients=False).logits_fn("waveform", precision="tf32")


def test_a_network_may_take_a_stage_of_the_house():
    mel = LogMel(source=Magnitude(source=Waveform(num_samples=800)))
    found = classifier().replace(
        network=jax.tree_util.Partial(lambda x: x.mean(axis=(1, 2))[:3]),
        representation=mel,
    )
    wave = np.random.default_rng(0).normal(size=800).astype(np.float32)
    assert found.logits_fn("waveform")(jnp.asarray(wave)).shape == (3,)
