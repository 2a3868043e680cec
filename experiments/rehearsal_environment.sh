#!/usr/bin/env bash
# Makes an environment for `advjax rehearse`: compilers for NVIDIA GPUs and Google's TPUs
# beside the packages of another environment, which stays as it is. 2 GB.
#
#   experiments/rehearsal_environment.sh FOLDER [PYTHON]
#   FOLDER/bin/python -m experiments.rehearse --target=h100
#
# PYTHON is that of the other environment, by default .venv/bin/python.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
folder="${1:?give the folder of the new environment}"
python="${2:-$root/.venv/bin/python}"

packages="$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
jax="$("$python" -c 'import jax; print(jax.__version__)')"
tpu="$("$python" -c '
import importlib.metadata, re
for line in importlib.metadata.requires("jax"):
    if found := re.match(r"libtpu\s*([^;]*);.*extra == .tpu.", line):
        print("libtpu" + found[1].strip().strip("()"))
')"
"$python" -m venv "$folder"
own="$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
printf '%s\n' "$packages" "$root" >"$own/beside.pth"
# Without their requirements: JAX and its own are in the other environment.
"$folder/bin/python" -m pip install --no-deps --disable-pip-version-check \
  "jax-cuda12-plugin==$jax" "jax-cuda12-pjrt==$jax" nvidia-cuda-nvcc-cu12 "$tpu"
