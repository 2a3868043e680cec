"""Table of corpora: name on the command line -> builder."""

from collections.abc import Callable

from data_prep.corpora.base import Corpus
from data_prep.corpora.esc50 import esc50
from data_prep.corpora.folder import folder
from data_prep.corpora.free_spoken_digits import free_spoken_digits
from data_prep.corpora.fsdkaggle2018 import fsdkaggle2018
from data_prep.corpora.librispeech import librispeech
from data_prep.corpora.speech_commands import speech_commands
from data_prep.corpora.urbansound8k import urbansound8k
from data_prep.corpora.voices import voices

CORPORA: dict[str, Callable[..., Corpus]] = {
    "voices": voices,
    "librispeech": librispeech,
    "free_spoken_digits": free_spoken_digits,
    "esc50": esc50,
    "urbansound8k": urbansound8k,
    "fsdkaggle2018": fsdkaggle2018,
    "speech_commands": speech_commands,
    "folder": folder,
}
