#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#SBATCH --job-name=manybody
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=16
#SBATCH --cpus-per-task=1
#SBATCH --hint=nomultithread
#SBATCH --time=04:00:00
#SBATCH --signal=USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.out
#
# A program on MPI ranks of processors, queued again until it is finished:
#
#     MANYBODY_VENV=~/venv sbatch slurm_cpu.sh ground-state heisenberg_square --out runs/heisenberg
#
# Two minutes before the time is up all ranks get SIGUSR1, save, and end with code 75. Make that long enough for one step
# and one checkpoint. The number of chains must be a multiple of the number of ranks.
set -uo pipefail
source "${MANYBODY_VENV:?is the virtual environment with manybody}/bin/activate"

export MANYBODY_BACKEND=mpi JAX_PLATFORMS=cpu
export OPENBLAS_NUM_THREADS="${SLURM_CPUS_PER_TASK:-1}" OMP_NUM_THREADS="${SLURM_CPUS_PER_TASK:-1}"
export JAX_COMPILATION_CACHE_DIR="${JAX_COMPILATION_CACHE_DIR:-$HOME/.cache/manybody}"

# The MPICH of the Python wheel needs LAUNCH="srun --cpu-bind=cores --mpi=pmi2".
${LAUNCH:-srun --cpu-bind=cores} manybody "$@"
code=$?
if [[ $code -eq 75 ]]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
