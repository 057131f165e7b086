#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#SBATCH --job-name=manybody
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --time=04:00:00
#SBATCH --signal=USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.out
#
# A program on GPUs, one process for each, queued again until it is finished:
#
#     MANYBODY_VENV=~/venv sbatch slurm_gpu.sh ground-state heisenberg_square --out runs/heisenberg
#
# The processes find each other through Slurm, and talk over NCCL. All processes get SIGUSR1 two minutes before the
# time is up, save, and end with code 75. The number of chains must be a multiple of the number of GPUs.
set -uo pipefail
source "${MANYBODY_VENV:?is the virtual environment with manybody}/bin/activate"

export MANYBODY_BACKEND=mesh
export OPENBLAS_NUM_THREADS="${SLURM_CPUS_PER_TASK:-1}" OMP_NUM_THREADS="${SLURM_CPUS_PER_TASK:-1}"
export XLA_PYTHON_CLIENT_MEM_FRACTION="${XLA_PYTHON_CLIENT_MEM_FRACTION:-0.90}"
export XLA_FLAGS="${XLA_FLAGS:---xla_gpu_enable_latency_hiding_scheduler=true}"
export JAX_COMPILATION_CACHE_DIR="${JAX_COMPILATION_CACHE_DIR:-$HOME/.cache/manybody}"

${LAUNCH:-srun --cpu-bind=cores} manybody "$@"
code=$?
if [[ $code -eq 75 ]]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
