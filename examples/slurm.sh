#!/usr/bin/env bash
# Captions a folder shared by all nodes with an array of Slurm jobs, each a part of the files.
#
#     sbatch examples/slurm.sh FOLDER [OPTION...]         # options of vidcaption run
#     sbatch --array=1-64 --export=ALL,PATH="$PWD/.venv/bin:$PATH" examples/slurm.sh /data/videos
#     vidcaption status vidcaption-JOB-*.jsonl            # progress
#
# Run the same command again after timeouts and node failures: it continues with the remaining inputs. All
# tasks must run for all files to be captioned: --array=1-64%8 is fine, --array=1,3 is refused.
#
#SBATCH --job-name=vidcaption
#SBATCH --array=1-8
#SBATCH --cpus-per-task=4
#SBATCH --mem=4G
#SBATCH --time=08:00:00
#SBATCH --output=vidcaption-%A-%a.log
#SBATCH --signal=B:TERM@60
set -euo pipefail

folder=${1:?"usage: sbatch $0 FOLDER [OPTION...]"}
shift
task=${SLURM_ARRAY_JOB_ID:?"usage: sbatch $0 FOLDER [OPTION...]"}-$SLURM_ARRAY_TASK_ID

# In place of this shell, so that the signal before the time limit arrives.
exec vidcaption run "$folder" -r --srt --shard auto --threads "${SLURM_CPUS_PER_TASK:-1}" \
    --manifest "vidcaption-$task.jsonl" "$@"
