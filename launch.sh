#!/usr/bin/env bash
# Makes the environment once (python3 + venv + pip), then runs a program of this
# project, or its tests, in it: here, or one process a host of a cluster
# (experiments/launch_on.sh). `./launch.sh --help` describes the rest.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)"
venv="${VENV:-$root/.venv}"
case "$venv" in /*) ;; *) venv="$PWD/$venv" ;; esac
venv_python="$venv/bin/python"
stamps="$venv/.advjax"            # a file per extra, written once it is installed
unfinished="$stamps/.unfinished"  # there while the environment is being changed
made_here="$stamps/.made_here"    # ours to make again, should it break

say() {  # one line on standard error, control characters replaced
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

fitting() {  # dies with advice $4 unless $2, the value of $1, matches the pattern $3
  local LC_ALL=C pattern="^($3)\$"
  [[ "$2" =~ $pattern ]] || die "$1=$2: $4"
}

run() {  # the command; with --dry_run, only its line
  if [ -n "$dry_run" ]; then printf '%s\n' "$(quoted "$@")"; else "$@"; fi
}

# ---- the programs: every module with a main, named as for python -m -------------

programs() {  # in the order of experiments/programs.py
  (cd "$root" && grep -ls '^if __name__ == "__main__":' \
    experiments/certify.py experiments/attack.py experiments/train.py \
    experiments/*.py data_prep/*.py experiments/*/*.py experiments/*/*/__main__.py \
    || true) | awk '!seen[$0]++' \
    | sed -e 's/\.py$//' -e 's|/__main__$||' -e 's|/|.|g' -e 's/^experiments\.//'
}

near() {  # a hint at the program whose name is nearest to $1, if one is near
  case "$1" in "" | *[!A-Za-z0-9_.]*) return ;; esac
  programs | LC_ALL=C awk -v word="$1" '
    function least(a, b) { return a < b ? a : b }
    function distance(a, b,    i, j, row, diagonal, changed) {  # Levenshtein
      for (j = 0; j <= length(b); j++) row[j] = j
      for (i = 1; i <= length(a); i++) {
        diagonal = row[0]; row[0] = i
        for (j = 1; j <= length(b); j++) {
          changed = diagonal + (substr(a, i, 1) != substr(b, j, 1))
          diagonal = row[j]
          row[j] = least(changed, least(row[j], row[j - 1]) + 1)
        }
      }
      return row[length(b)]
    }
    { d = substr($0, length($0) - length(word)) == "." word ? 0 : distance(word, $0)
      if (d <= length($0) / 3 && (best == "" || d < nearest)) { nearest = d; best = $0 } }
    END { if (best != "") printf " Did you mean \047%s\047?", best }'
}

module_of() {
  case "$1" in
    data_prep.* | experiments.*) printf '%s' "$1" ;;
    *) printf 'experiments.%s' "$1" ;;
  esac
}

list() {  # the programs by group, each with the first line of its docstring
  local name module file group last=""
  for name in $(programs); do
    case "$name" in
      data_prep.*) group=data ;;
      *.*) group=research ;;
      *) group=daily ;;
    esac
    if [ "$group" != "$last" ]; then printf '%s%s:\n' "${last:+$'\n'}" "$group"; fi
    last="$group"
    module="$(module_of "$name")"
    file="$root/${module//.//}"
    [ ! -d "$file" ] || file="$file/__main__"
    printf '  %-28s %s\n' "$name" \
      "$(sed -n -e '1{s/^[rR]*"""//;s/"""$//;p;}' "$file.py")"
  done
  printf '\nthis checkout:\n'
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
  ./launch.sh certify --help=pgd     options of a name, such as pgd, rescnn or voices

PYTHON=python3.12   the Python to make the environment with (3.11 to 3.13)
VENV=some/folder    where the environment lives, if not in .venv beside this file
EXTRAS=cuda12,svm   what else to install: cuda12, cuda13, tpu, svm, interop, openvino,
                    bench, dev, all

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

key() {  # checksum of what an installation depends on, with the Python behind links
  { sed '/^\[tool\.ruff/,$d' "$root/pyproject.toml"  # without settings of tools
    cat "$root"/constraints-*.txt "$venv/pyvenv.cfg"
    readlink -f "$venv_python"; } 2>/dev/null | cksum || true
}

missing() {  # the given extras that are not installed or out of date
  local extra now
  now="$(key)"
  for extra in "$@"; do
    if [ -e "$unfinished" ] || [ ! -e "$stamps/$extra" ] \
      || [ "$(<"$stamps/$extra")" != "$now" ]; then printf '%s ' "$extra"; fi
  done
}

usable() {  # is there an environment to install into?
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

follow() {  # progress of the installation that process $1 writes to the log $2
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

bracketed() {  # the extras given as pip takes them; base stands for none
  local extras=" $* "
  set -- ${extras/ base / }
  if [ $# != 0 ]; then printf '[%s]' "$(IFS=,; printf '%s' "$*")"; fi
}

install() {  # the extras given; the caller holds the lock
  local extra constraints log="$venv/install.log" began=$SECONDS
  local fetched="$stamps/.fetched"  # not in /tmp, where a killed pip would leave it
  if [ -n "${PYTHON:-}" ]; then choose_python; fi
  usable || make_venv
  # Another start may have done it while this one waited for the lock.
  set -- $(missing "$@")
  if [ $# = 0 ]; then return; fi
  constraints="$(version_of "$venv_python")"
  constraints="$root/constraints-${constraints%.*}.txt"
  rm -rf "$fetched"
  mkdir -p "$fetched"
  touch "$unfinished"
  say "Installing advjax$(bracketed "$@") into $venv (once, about 2 minutes)..."
  # Compiling all of it takes 25 s here; compiling what is imported, at first use, 3 s.
  TMPDIR="$fetched" "$venv_python" -I -m pip install --no-input \
    --disable-pip-version-check --progress-bar off --no-compile \
    --constraint "$constraints" --editable "$root$(bracketed "$@")" >"$log" 2>&1 &
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

check_extras() {  # dies if EXTRAS names an unknown extra
  local LC_ALL=C extra known
  known="$(sed -n '/^\[project.optional/,/^\[tool/s/^\([a-z0-9-]*\) = .*/\1/p' \
    "$root/pyproject.toml")"
  known="${known//$'\n'/, }"
  # Other characters first: below, a shell would replace * by file names.
  case "$EXTRAS" in
    *[!a-z0-9,\ -]*) die "EXTRAS has no '$EXTRAS'; there is $known" ;;
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
    [ $# = 0 ] || say "Would first install advjax$(bracketed "$@")"
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
  case "${1:-}" in
    "") prepare base ;;
    -h | --help) usage ;;
    *) die "install takes no '$1': name extras as EXTRAS=svm ./launch.sh install" ;;
  esac
  exit
fi
if [ "$name" = test ]; then
  prepare base test
  run cd "$root"
  run exec "$venv_python" -m pytest "$@"
  exit
fi

name="${name#experiments.}"
case "$name" in  # grep takes each line of a name for a pattern
  *[!A-Za-z0-9_.]*) found="" ;;
  *) found="$(programs | grep -xF -e "$name" || true)" ;;
esac
if [ -z "$found" ]; then
  say "launch.sh: there is no program '$name'.$(near "$name") (./launch.sh --help lists" \
    "the programs)"
  exit 2
fi
if [ "$on" != local ]; then
  [ -r "$root/experiments/launch_on.sh" ] \
    || die "--on=$on needs experiments/launch_on.sh, which is missing: copy it, too"
  . "$root/experiments/launch_on.sh"
  case "$on" in
    tpu:*) on_tpu "${on#tpu:}" "$@" ;;
    slurm) on_slurm "$@" ;;
    k8s) on_k8s "$@" ;;
  esac
  exit
fi

prepare base
# By default glibc returns large buffers to the system after each compiled call and maps
# them anew in the next: a fifth of a short attack's time. PYTHONPATH has this checkout's
# code come first. Not by env, which takes a path with = in it for a variable.
run export ADVJAX_COMMAND=./launch.sh \
  MALLOC_MMAP_THRESHOLD_="${MALLOC_MMAP_THRESHOLD_:-4294967296}" \
  MALLOC_TRIM_THRESHOLD_="${MALLOC_TRIM_THRESHOLD_:-17179869184}" \
  PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
run exec "$venv_python" -P -m "$(module_of "$name")" "$@"
