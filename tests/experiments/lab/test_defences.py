import pytest

from experiments.lab import defences


@pytest.mark.parametrize(
    ("defence", "text"),
    [
        # Folders of classifiers are named by these.
        ("gaussian", "gaussian(sigma=0.5)"),
        ("gaussian(sigma=0.1)", "gaussian(sigma=0.1)"),
        ("macer", "macer(sigma=0.5)"),
        ("consistency(lbd=5.0, sigma=0.1)", "consistency(sigma=0.1, lbd=5.0)"),
        ("noisy", "noisy(noise='gaussian', sigma=0.5)"),
        ("fused_adversarial(eps=0.05)", "fused_adversarial(eps=0.05)"),
    ],
)
def test_a_defence_that_takes_a_sigma_is_named_with_it(defence, text):
    assert defences.full_text(defence, sigma=0.5, noise="gaussian") == text
