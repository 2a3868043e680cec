import numpy as np
import pytest

from experiments.benchmarks import problems, training


@pytest.mark.slow
def test_pytorch_takes_the_same_steps_in_every_way():
    pytorch = pytest.importorskip("experiments.benchmarks.rivals.pytorch")
    pytest.importorskip("torch")
    pytorch.start()
    networks = {
        "rescnn": problems.fresh_rescnn(2, dropout=0.0),
        "resnet18": problems.fresh_resnet18((32, 16), width=2),
    }
    for name, classifier in networks.items():
        batch = problems.labelled(classifier, 4, seed=0)
        losses = {
            one.name: one.build(**one.options).run(2)
            for one in training.contestants(classifier, batch)
        }
        assert len(losses) == 4
        ours = losses["ours"]
        # The second step sees the weights that the first one has changed.
        assert ours[0] != ours[1]
        for way, theirs in losses.items():
            # The signs of tiny gradients flip.
            tolerance = training.LOSSES_TOLERANCE
            np.testing.assert_allclose(theirs, ours, tolerance, err_msg=f"{name} {way}")
