#!/usr/bin/env bash
# Captions a folder shared by all nodes on all of them at once: a Ray cluster for the time of one Slurm job.
#
#     sbatch examples/ray_slurm.sh FOLDER [OPTION...]         # options of vidcaption run
#     sbatch --nodes=16 --gpus-per-node=1 --export=ALL,PATH="$PWD/.venv/bin:$PATH" \
#         examples/ray_slurm.sh /data/videos --manifest run.jsonl
#
# Needs vidcaption[ray] on all nodes. Run the same command again after timeouts and node failures: it continues.
#
#SBATCH --job-name=vidcaption
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --mem=32G
#SBATCH --time=08:00:00
#SBATCH --output=vidcaption-%j.log
set -euo pipefail

folder=${1:?"usage: sbatch $0 FOLDER [OPTION...]"}
shift
nodes=${SLURM_JOB_NODELIST:?"usage: sbatch $0 FOLDER [OPTION...]"}
head=$(scontrol show hostnames "$nodes" | head -n 1)
address=$head:${RAY_PORT:-6379}

export RAY_USAGE_STATS_ENABLED=0 # no telemetry
exec srun ray symmetric-run --address "$address" --min-nodes "$SLURM_JOB_NUM_NODES" \
    --num-cpus "${SLURM_CPUS_PER_TASK:-1}" -- \
    vidcaption run "$folder" -r --srt --ray --ray-address "$address" "$@"
