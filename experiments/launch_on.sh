# Clusters for launch.sh, which reads this file for --on=tpu:SLICE, slurm and k8s: the
# same program, one process a host.
#
# Values from the environment become part of YAML, of Slurm's directives or of commands
# for other hosts, so each has to match a pattern.

cluster_size() {  # sets nodes, gpus and name_there from the environment
  nodes="${NODES:-1}" gpus="${GPUS_PER_NODE:-1}" name_there="${JOB:-advjax-$name}"
  fitting NODES "$nodes" '[1-9][0-9]{0,5}' "give the number of hosts"
  fitting GPUS_PER_NODE "$gpus" '0|[1-9][0-9]{0,3}' \
    "give the number of GPUs of a host; 0 for none"
  fitting JOB "$name_there" '[A-Za-z0-9][A-Za-z0-9._-]*' \
    "give a name of letters, digits, hyphens, dots and underscores"
  name_there="$(printf '%s' "$name_there" | tr 'A-Z._' 'a-z--')"
}

tool() {  # is the program of a cluster here?
  [ -n "$dry_run" ] || command -v "$1" >/dev/null \
    || die "--on=$on needs $1, which is not installed; --dry_run shows its commands"
}

on_tpu() {  # a slice's name and flags: copies the code to its workers, runs it there
  local slice="$1" code="$root/dist/${1#*@}.tgz" there="${REMOTE_DIR:-advjax}" command
  local printing='[^[:cntrl:]]*'
  shift
  fitting --on "tpu:$slice" \
    'tpu:([A-Za-z0-9_][A-Za-z0-9_.-]*@)?[A-Za-z][A-Za-z0-9_-]*' \
    "give --on=tpu:SLICE or --on=tpu:USER@SLICE"
  fitting ZONE "${ZONE:-}" '([a-z0-9][a-z0-9-]*)?' "give a zone as gcloud lists it"
  fitting PROJECT "${PROJECT:-}" '([a-z0-9][a-z0-9.:-]*)?' "give the identifier of a project"
  fitting REMOTE_DIR "$there" "$printing" "give a folder without control characters"
  fitting PYTHON "${PYTHON:-}" "$printing" "give a program without control characters"
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
    \~*) die "REMOTE_DIR=$there: give a folder in the worker's home, or an absolute path" ;;
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
  fitting CPUS_PER_NODE "$cpus" '[1-9][0-9]{0,5}' "give the number of cores of a host"
  fitting TIME "${TIME:-}" '([0-9]+(-[0-9]+)?(:[0-9]+){0,2}|[A-Za-z]+)?' \
    "give a limit as Slurm reads it, such as 1-12:00:00"
  fitting PARTITION "${PARTITION:-}" "$names" "give a name, or several with commas"
  fitting ACCOUNT "${ACCOUNT:-}" "$names" "give a name"
  check_extras
  tool sbatch
  if [ "$gpus" != 0 ]; then EXTRAS="${EXTRAS:-cuda12}"; fi
  prepare base  # here, since many a compute node has no network
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
    die "give IMAGE=a container image with this checkout, and CLAIM=the" \
      "PersistentVolumeClaim for what the run writes (ReadWriteMany for NODES > 1)"
  fi
  fitting IMAGE "$IMAGE" '[A-Za-z0-9][A-Za-z0-9._/:@-]*' \
    "give a container image, such as registry/advjax:1"
  fitting CLAIM "$CLAIM" '[a-z0-9]([a-z0-9.-]*[a-z0-9])?' \
    "give the name of a PersistentVolumeClaim"
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
