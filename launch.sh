#!/usr/bin/env bash
# Makes the environment once (python3 + venv + pip), then runs a program of this
# project, or its tests, in it: here, or in one process a host of a cluster.
# `./launch.sh --help` tells the rest.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)"
venv="${VENV:-$root/.venv}"
case "$venv" in /*) ;; *) venv="$PWD/$venv" ;; esac
venv_python="$venv/bin/python"
stamps="$venv/.advjax"            # a file per extra, written once it is installed
unfinished="$stamps/.unfinished"  # there while the environment is being changed
made_here="$stamps/.made_here"    # ours to make again, should it break

say() {  # one line; what would steer a terminal is shown instead
  local LC_ALL=C text="$*"
  text="${text//$'\n'/\\n}"
  text="${text//$'\xc2'[$'\x80'-$'\x9f']/?}"
  printf '%s\n' "${text//[[:cntrl:]]/?}" >&2
}
die() { say "launch.sh: $*"; exit 1; }

quoted() {  # the arguments as text that any shell reads back as they are
  local LC_ALL=C word space="" mark="'" escaped="'\\''"
  for word in "$@"; do
    case "$word" in
      "" | *[!A-Za-z0-9_./:=,@%+-]*) word="'${word//$mark/$escaped}'" ;;
    esac
    printf '%s%s' "$space" "$word"
    space=" "
  done
}

fitting() {  # dies unless the variable $1, whose value is $2, is all as the pattern $3
  local LC_ALL=C pattern="^($3)\$"
  [[ "$2" =~ $pattern ]] || die "$1=$2: $4"
}

run() {  # the command; with --dry_run, only its line
  if [ -n "$dry_run" ]; then printf '%s\n' "$(quoted "$@")"; else "$@"; fi
}

# ---- the programs: every module with a main, named as python -m names it --------

programs() {
  (cd "$root" && grep -ls '__name__ == "__main__"' experiments/*.py \
    experiments/*/*.py data_prep/*.py || true) \
    | sed -e 's/\.py$//' -e 's|/|.|g' -e 's/^experiments\.//'
}

module_of() {
  case "$1" in
    data_prep.* | experiments.*) printf '%s' "$1" ;;
    *) printf 'experiments.%s' "$1" ;;
  esac
}

list() {
  local name module
  for name in $(programs); do
    module="$(module_of "$name")"
    printf '  %-28s %s\n' "$name" \
      "$(sed -n -e '1{s/^[rR]*"""//;s/"""$//;p;}' "$root/${module//.//}.py")"
  done
  printf '  %-28s %s\n' test "The tests (the slow ones: ./launch.sh test -m slow)." \
    install "The environment alone."
}

usage() {
  cat <<TEXT
./launch.sh [--on=WHERE] [--dry_run] NAME [FLAGS] runs a program of advjax in an
environment of its own, which the first start makes (about 2 minutes).

$(list)

  ./launch.sh certify --rep=mfbe --sigma=0.25
  ./launch.sh certify --help

PYTHON=python3.12   the Python to make the environment with (3.11 to 3.13)
VENV=some/folder    where the environment lives, if not in .venv beside this file
EXTRAS=cuda12,svm   what else to install: cuda12, cuda13, tpu, svm, bench

--dry_run prints what would run and runs nothing. --on says where, one process a host:
  local      this machine alone (default)
  tpu:SLICE  a Cloud TPU slice, by gcloud; ZONE, PROJECT, REMOTE_DIR=advjax
  slurm      a job for sbatch; NODES=1, GPUS_PER_NODE=1, CPUS_PER_NODE, TIME,
             PARTITION, ACCOUNT
  k8s        a manifest for kubectl apply -f -; IMAGE, CLAIM (a volume for what is
             written), JOB=advjax-NAME, NODES=1, GPUS_PER_NODE=1
TEXT
}

# ---- the environment ------------------------------------------------------------

version_of() {
  "$1" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null
}

fits() { case "$1" in 3.11.* | 3.12.* | 3.13.*) ;; *) return 1 ;; esac; }

choose_python() {  # sets python and version
  local name first="" use="PYTHON=/path/to/python3.12 ./launch.sh ..."
  if [ -n "${PYTHON:-}" ]; then set -- "$PYTHON"
  else set -- python3 python3.13 python3.12 python3.11; fi
  for name in "$@"; do
    version="$(version_of "$name")" || continue
    python="$name"
    if fits "$version"; then return; fi
    first="${first:-$name, Python $version,}"
  done
  case "$first" in
    "") die "found no Python that runs as '${PYTHON:-python3}'. Install Python 3.11," \
      "3.12 or 3.13, or name one: $use" ;;
    *" 2."* | *" 3."[0-9].* | *" 3.10."*) first="$first is too old" ;;
    *) first="$first is newer than JAX was tried with here" ;;
  esac
  die "$first. advjax needs Python 3.11, 3.12 or 3.13; name one: $use"
}

key() {  # what an installation depends on; a system's Python may move under its link
  { sed '/^\[tool\.ruff/,$d' "$root/pyproject.toml"  # no tool's settings
    cat "$root"/constraints-*.txt "$venv/pyvenv.cfg"
    readlink -f "$venv_python"; } 2>/dev/null | cksum || true
}

missing() {  # those of the given extras that are not installed as they should be
  local extra now
  now="$(key)"
  for extra in "$@"; do
    if [ -e "$unfinished" ] || [ ! -e "$stamps/$extra" ] \
      || [ "$(<"$stamps/$extra")" != "$now" ]; then printf '%s ' "$extra"; fi
  done
}

usable() {  # is there an environment to build on?
  [ -x "$venv_python" ] || return 1
  [ ! -e "$unfinished" ] || [ ! -e "$made_here" ] || return 1
  local there
  there="$(version_of "$venv_python")" && fits "$there" || return 1
  [ -z "${PYTHON:-}" ] || [ "$there" = "$version" ] || return 1
  "$venv_python" -I -c 'import pip' 2>/dev/null
}

make_venv() {
  if [ -e "$unfinished" ]; then
    say "An earlier installation did not finish: starting again."
  fi
  case "$([ -e "$made_here" ] || ls -A "$venv" 2>/dev/null)" in
    "" | .advjax) ;;
    *) die "$venv holds other things than an environment for this Python;" \
      "name a new folder with VENV=" ;;
  esac
  choose_python
  "$python" -I -c 'import venv, ensurepip' 2>/dev/null \
    || die "$python (Python $version) lacks the venv module or its pip. On Debian and" \
      "Ubuntu: sudo apt install python${version%.*}-venv. Or name another: PYTHON=..."
  mkdir -p "$stamps"
  touch "$unfinished" "$made_here"
  find "$venv" -mindepth 1 -maxdepth 1 ! -name .advjax -exec rm -rf {} +
  "$python" -I -m venv "$venv" >&2 || die "$python could not make $venv (see above)"
}

follow() {  # signs of life while process $1 writes the log $2
  local began=$SECONDS every=15 front="" back='\n' last=0 what
  if [ -t 2 ]; then every=1 front='\r' back='\033[K'; fi
  while kill -0 "$1" 2>/dev/null; do
    sleep 0.2
    if [ $((SECONDS - began - last)) -lt $every ]; then continue; fi
    last=$((SECONDS - began))
    what="$(grep -cE '^(Collecting|Processing) ' "$2" || true) packages fetched"
    if grep -q '^Installing collected' "$2"; then what="$what, unpacking them"; fi
    printf "$front  %d s: %s$back" "$last" "$what" >&2
  done
  if [ -t 2 ]; then printf '\r\033[K' >&2; fi
}

install() {  # the extras given; the caller holds the lock
  local extra extras constraints log="$venv/install.log" began=$SECONDS
  local fetched="$stamps/.fetched"  # not in /tmp, where a killed pip would leave it
  if [ -n "${PYTHON:-}" ]; then choose_python; fi
  usable || make_venv
  # Another start may have done it while this one waited for the lock.
  set -- $(missing "$@")
  if [ $# = 0 ]; then return; fi
  extras="$(IFS=,; printf '%s' "$*")"
  constraints="$(version_of "$venv_python")"
  constraints="$root/constraints-${constraints%.*}.txt"
  rm -rf "$fetched"
  mkdir -p "$fetched"
  touch "$unfinished"
  say "Installing advjax[$extras] into $venv (once, about 2 minutes)..."
  # Compiling all of it takes 25 s here; compiling what is imported, at first use, 3 s.
  TMPDIR="$fetched" "$venv_python" -I -m pip install --no-input \
    --disable-pip-version-check --progress-bar off --no-compile \
    --constraint "$constraints" --editable "${root}[$extras]" >"$log" 2>&1 &
  pid=$!
  # A child in the background ignores Ctrl-C.
  trap 'kill "$pid" 2>/dev/null; exit 130' INT TERM
  follow "$pid" "$log"
  if ! wait "$pid"; then
    tail -n 15 "$log" >&2
    # What failed while fetching changed nothing: the environment is as it was.
    grep -q '^Installing collected' "$log" || rm -f "$unfinished"
    die "the installation failed; all that pip said is in $log. Is there a network?" \
      "The next start tries again"
  fi
  for extra in "$@"; do key >"$stamps/$extra"; done
  rm -rf "$fetched" "$unfinished"
  say "Installed in $((SECONDS - began)) s."
}

check_extras() {  # dies if EXTRAS names what is no extra
  local LC_ALL=C extra known
  known="$(sed -n '/^\[project.optional/,/^\[tool/s/^\([a-z0-9]*\) = .*/\1/p' \
    "$root/pyproject.toml")"
  known="${known//$'\n'/, }"
  # Other characters first: a shell would take a * below for the files here.
  case "$EXTRAS" in
    *[!a-z0-9,\ ]*) die "EXTRAS has no '$EXTRAS'; there is $known" ;;
  esac
  for extra in ${EXTRAS//,/ }; do
    case ", $known, " in
      *", $extra, "*) ;;
      *) die "EXTRAS has no '$extra'; there is $known" ;;
    esac
  done
}

prepare() {  # an environment with the extras given, and those of EXTRAS
  check_extras
  set -- "$@" ${EXTRAS//,/ }
  if [ -n "$dry_run" ]; then
    set -- $(missing "$@")
    [ $# = 0 ] || say "Would first install advjax[$(IFS=,; printf '%s' "$*")]"
    return
  fi
  if [ -z "$(missing "$@")" ]; then
    if [ -z "${PYTHON:-}" ]; then return; fi
    choose_python
    if [ "$(version_of "$venv_python")" = "$version" ]; then return; fi
  fi
  if [ -n "${PYTHON:-}" ] || ! usable; then choose_python; fi  # complain before waiting
  mkdir -p "$(dirname "$venv")"
  (
    if command -v flock >/dev/null && ! flock -n 9; then
      say "Another start is installing into $venv; waiting for it..."
      flock 9
    fi
    install "$@"
  ) 9>"$venv.lock"
}

# ---- clusters: the same program, one process a host -----------------------------
# What comes from the environment is text of another language there, be it YAML, a
# directive of Slurm or a command for another host's shell: it fits, or it is refused.

cluster_size() {  # sets nodes, gpus and name_there from the environment
  nodes="${NODES:-1}" gpus="${GPUS_PER_NODE:-1}" name_there="${JOB:-advjax-$name}"
  fitting NODES "$nodes" '[1-9][0-9]{0,5}' "say how many hosts"
  fitting GPUS_PER_NODE "$gpus" '0|[1-9][0-9]{0,3}' \
    "say how many GPUs a host has; 0 for none"
  fitting JOB "$name_there" '[A-Za-z0-9][A-Za-z0-9._-]*' \
    "say a name of letters, digits, hyphens, dots and underscores"
  name_there="$(printf '%s' "$name_there" | tr 'A-Z._' 'a-z--')"
}

tool() {  # is the program of a cluster here?
  [ -n "$dry_run" ] || command -v "$1" >/dev/null \
    || die "there is no $1 here, which --on=$on needs; --dry_run shows what for"
}

on_tpu() {  # a slice's name and flags: copies the code to its workers, runs it there
  local slice="$1" code="$root/dist/${1#*@}.tgz" there="${REMOTE_DIR:-advjax}" command
  local printing='[^[:cntrl:]]*'
  shift
  fitting --on "tpu:$slice" \
    'tpu:([A-Za-z0-9_][A-Za-z0-9_.-]*@)?[A-Za-z][A-Za-z0-9_-]*' \
    "say --on=tpu:SLICE or --on=tpu:USER@SLICE"
  fitting ZONE "${ZONE:-}" '([a-z0-9][a-z0-9-]*)?' "say a zone as gcloud lists it"
  fitting PROJECT "${PROJECT:-}" '([a-z0-9][a-z0-9.:-]*)?' "say a project's identifier"
  fitting REMOTE_DIR "$there" "$printing" "say a folder without control characters"
  fitting PYTHON "${PYTHON:-}" "$printing" "say a program without control characters"
  check_extras
  tool gcloud
  case " $*" in
    *" --home"[=\ ]*) ;;
    *) die "the workers of a TPU slice share no disk: name a folder that all of them" \
      "mount, --home=/mnt/runs (for a slice of one worker any folder does)" ;;
  esac
  case "$there" in  # from the worker's home, where ssh begins; never taken for a flag
    /*) ;;
    \~ | \~/*) there=".${there#\~}" ;;
    \~*) die "REMOTE_DIR=$there: say a folder of the worker's home, or a whole path" ;;
    *) there="./$there" ;;
  esac
  there="$(quoted "$there")"
  command="mkdir -p $there && tar -xzf advjax.tgz -C $there && cd $there && $(quoted \
    env ${PYTHON:+"PYTHON=$PYTHON"} "EXTRAS=${EXTRAS:-tpu}" ./launch.sh "$name" "$@" \
    --cluster)"
  set -- --worker=all ${ZONE:+"--zone=$ZONE"} ${PROJECT:+"--project=$PROJECT"}
  cd "$root"  # for the names of the constraints
  run mkdir -p "$root/dist"
  # The variable keeps macOS from adding a file of its own beside each.
  run env COPYFILE_DISABLE=1 tar -czf "$code" -C "$root" --exclude=__pycache__ \
    --exclude=experiments/results advjax data_prep experiments launch.sh \
    pyproject.toml README.md LICENSE constraints-*.txt
  run gcloud compute tpus tpu-vm scp "$code" "$slice:advjax.tgz" "$@"
  run gcloud compute tpus tpu-vm ssh "$slice" "$@" --command="$command"
}

directive() { if [ -n "$2" ]; then printf '#SBATCH --%s=%s\n' "$1" "$2"; fi; }

slurm_job() {  # the batch script
  printf '#!/usr/bin/env bash\n'
  directive job-name "$name_there"
  directive nodes "$nodes"
  directive ntasks-per-node 1
  directive cpus-per-task "$cpus"
  directive gres "$([ "$gpus" = 0 ] || printf 'gpu:%s' "$gpus")"
  directive time "${TIME:-}"
  directive partition "${PARTITION:-}"
  directive account "${ACCOUNT:-}"
  cat <<TEXT
#SBATCH --open-mode=append
#SBATCH --requeue
set -euo pipefail
cd $(quoted "$PWD")
export $(quoted "VENV=$venv" "EXTRAS=$EXTRAS")
export SRUN_CPUS_PER_TASK=$cpus
TEXT
  if [ "$gpus" != 0 ]; then
    # Under Slurm JAX takes one GPU a process unless told: jax-ml/jax issue 16788.
    printf 'export JAX_LOCAL_DEVICE_IDS=%s\n' "$(seq 0 $((gpus - 1)) | paste -sd, -)"
  fi
  cat <<TEXT
$(quoted "$root/launch.sh" install)
# A process that ends early costs its share alone, and the next start makes up for it.
for start in 1 2 3; do
  srun --kill-on-bad-exit=0 --wait=0 \\
    $(quoted "$root/launch.sh" "$name" "$@" --cluster) && exit
done
exit 1
TEXT
}

on_slurm() {
  local job cpus names='([A-Za-z0-9_][A-Za-z0-9_.,:@/+=-]*)?'
  cluster_size
  cpus="${CPUS_PER_NODE:-$((8 * (gpus > 1 ? gpus : 1)))}"
  fitting CPUS_PER_NODE "$cpus" '[1-9][0-9]{0,5}' "say how many cores a host gives"
  fitting TIME "${TIME:-}" '([0-9]+(-[0-9]+)?(:[0-9]+){0,2}|[A-Za-z]+)?' \
    "say a limit as Slurm reads it, such as 1-12:00:00"
  fitting PARTITION "${PARTITION:-}" "$names" "say a name, or some with commas"
  fitting ACCOUNT "${ACCOUNT:-}" "$names" "say a name"
  check_extras
  tool sbatch
  if [ "$gpus" != 0 ]; then EXTRAS="${EXTRAS:-cuda12}"; fi
  prepare plots  # here, since many a compute node has no network
  job="$(slurm_job "$@")"
  if [ -n "$dry_run" ]; then printf '%s\n' "$job"; return; fi
  printf '%s\n' "$job" | sbatch
}

yaml() {  # the arguments as a list; Kubernetes reads $$ as one $
  # YAML 1.1 also ends a line at U+2028 and U+2029.
  printf '%s\n' "$@" | sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/\$/$$/g' \
    -e $'s/\xe2\x80\xa8/\\\\L/g' -e $'s/\xe2\x80\xa9/\\\\P/g' \
    -e 's/^/        - "/' -e 's/$/"/'
}

on_k8s() {  # the manifest
  local LC_ALL=C
  cluster_size
  if [ -z "${IMAGE:-}" ] || [ -z "${CLAIM:-}" ]; then
    die "say IMAGE=the container image that holds this checkout, and CLAIM=the" \
      "PersistentVolumeClaim for what the run writes (ReadWriteMany for NODES > 1)"
  fi
  fitting IMAGE "$IMAGE" '[A-Za-z0-9][A-Za-z0-9._/:@-]*' \
    "say a container image, such as registry/advjax:1"
  fitting CLAIM "$CLAIM" '[a-z0-9]([a-z0-9.-]*[a-z0-9])?' \
    "say the name of a PersistentVolumeClaim"
  fitting JOB "$name_there" '[a-z]([a-z0-9-]*[a-z0-9])?' \
    "for Kubernetes a name begins with a letter and ends with a letter or a digit"
  # The names of the pods end with their numbers.
  fitting JOB "$name_there" ".{1,$((62 - ${#nodes}))}" "too long a name for Kubernetes"
  case "$*" in
    *[[:cntrl:]]* | *$'\xc2'[$'\x80'-$'\x9f']*)
      die "no flag of a manifest may hold a line break or another control character" ;;
  esac
  say "Give this to: kubectl apply -f -"
  # A pod that fails is started again, some times, and never ends the others.
  cat <<TEXT
apiVersion: v1
kind: Service
metadata:
  name: "$name_there"
spec:
  clusterIP: None
  publishNotReadyAddresses: true
  selector:
    job-name: "$name_there"
---
apiVersion: batch/v1
kind: Job
metadata:
  name: "$name_there"
spec:
  completionMode: Indexed
  completions: $nodes
  parallelism: $nodes
  backoffLimitPerIndex: 6
  podFailurePolicy:
    rules:
    - action: Ignore
      onPodConditions:
      - type: DisruptionTarget
        status: "True"
  template:
    spec:
      subdomain: "$name_there"
      restartPolicy: Never
      containers:
      - name: advjax
        image: "$IMAGE"
        command:
$(yaml ./launch.sh "$name" --home=/runs "$@" \
    --coordinator="$name_there-0.$name_there:8476" --num_processes="$nodes")
        - "--process_id=\$(JOB_COMPLETION_INDEX)"
        resources:
          limits:
            nvidia.com/gpu: $gpus
        volumeMounts:
        - name: runs
          mountPath: /runs
        - name: shared-memory
          mountPath: /dev/shm
      volumes:
      - name: runs
        persistentVolumeClaim:
          claimName: "$CLAIM"
      - name: shared-memory
        emptyDir:
          medium: Memory
TEXT
}

# ---- the command ----------------------------------------------------------------

on=local dry_run=""
while :; do
  case "${1:-}" in
    --on=local | --on=slurm | --on=k8s | --on=tpu:?*) on="${1#--on=}" ;;
    --on | --on=*) die "there is --on=local, --on=tpu:SLICE, --on=slurm and --on=k8s" ;;
    --dry_run) dry_run=yes ;;
    *) break ;;
  esac
  shift
done
name="${1:-}"
case "$name" in "" | -h | --help | help) usage; exit ;; esac
shift
EXTRAS="${EXTRAS:-}"

case "$name" in
  test | install)
    [ "$on" = local ] || die "'$name' is for this machine: leave out --on=$on" ;;
esac
if [ "$name" = install ]; then
  prepare plots
  exit
fi
if [ "$name" = test ]; then
  prepare plots test
  run cd "$root"
  run exec "$venv_python" -m pytest "$@"
  exit
fi

name="${name#experiments.}"
case "$name" in  # to grep each line of several is a pattern
  *[!A-Za-z0-9_.]*) found="" ;;
  *) found="$(programs | grep -xF -e "$name" || true)" ;;
esac
if [ -z "$found" ]; then
  say "launch.sh: there is no program '$name'. There are:"
  list >&2
  exit 2
fi
case "$on" in
  tpu:*) on_tpu "${on#tpu:}" "$@"; exit ;;
  slurm) on_slurm "$@"; exit ;;
  k8s) on_k8s "$@"; exit ;;
esac

prepare plots
# By default glibc gives the large buffers of a compiled program back after every call,
# to take them anew, page by page, in the next: a fifth of a short attack's time.
# PYTHONPATH is this checkout's code, wherever the command is given. The program env
# would take a folder of the environment that holds a = for a variable.
run export \
  MALLOC_MMAP_THRESHOLD_="${MALLOC_MMAP_THRESHOLD_:-4294967296}" \
  MALLOC_TRIM_THRESHOLD_="${MALLOC_TRIM_THRESHOLD_:-17179869184}" \
  PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
run exec "$venv_python" -P -m "$(module_of "$name")" "$@"
