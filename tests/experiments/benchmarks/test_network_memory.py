from advjax.models import AlexNet
from experiments.benchmarks.network_memory import step_memory


def test_a_step_needs_its_weights_averages_gradients_and_maps_at_least():
    network = AlexNet(num_classes=2, width=4, resize=None)
    count, kept, whole = step_memory(network, (400, 300))
    # Weights and Adam's two averages in float32, and its count of steps.
    assert kept == 3 * 4 * count + 4
    # The gradients, and the maps of the first convolution.
    assert whole > kept + 4 * count + 4 * 4 * 98 * 73
