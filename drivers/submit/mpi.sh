#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A program on MPI ranks of processors, without a batch system or under one that has no Slurm:
#
#     RANKS=8 MAX_TIME=3h bash mpi.sh ground-state heisenberg_square --out runs/heisenberg
#
# RANKS      number of ranks; the number of chains must be a multiple of it
# THREADS    threads of each rank (1)
# MAX_TIME   the program saves and ends with code 75 within this time; none if left out
# AGAIN      what queues the job again then, for instance "qsub job.sh"; without it this script starts the program again
# LAUNCH     what starts the ranks, if not mpiexec
set -uo pipefail
: "${RANKS:?is the number of ranks}"

export MANYBODY_BACKEND=mpi JAX_PLATFORMS=cpu
export OPENBLAS_NUM_THREADS="${THREADS:-1}" OMP_NUM_THREADS="${THREADS:-1}"
export JAX_COMPILATION_CACHE_DIR="${JAX_COMPILATION_CACHE_DIR:-$HOME/.cache/manybody}"

# One core for each rank, unless it has several threads: then the system places them.
binding=(--bind-to core)
[[ "${THREADS:-1}" -gt 1 ]] && binding=()
limit=()
[[ -n "${MAX_TIME:-}" ]] && limit=(--max-time "$MAX_TIME")

asked=0
trap 'asked=1; [[ -n "${job:-}" ]] && kill -TERM "$job"' TERM USR1 INT

while true; do
    ${LAUNCH:-mpiexec -n "$RANKS" "${binding[@]}"} manybody "$@" "${limit[@]}" &
    job=$!
    wait "$job"
    code=$?
    while kill -0 "$job" 2>/dev/null; do # a signal ends the first wait, not the job
        wait "$job"
        code=$?
    done
    if [[ $code -ne 75 || $asked -eq 1 ]]; then
        exit "$code"
    fi
    if [[ -n "${AGAIN:-}" ]]; then
        $AGAIN
        exit "$code"
    fi
done
