#!/bin/bash
# Ends the daemon that start_docker.sh started, by its id, and removes its state.
# usage: stop_docker.sh FOLDER
set -uo pipefail
folder=$(realpath -m "${1:?the folder given to start_docker.sh}")
pid=$(cat "$folder/dockerd.pid" 2>/dev/null)
if [[ -n $pid ]]; then
  kill "$pid" 2>/dev/null
  for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.2; done
  kill -9 "$pid" 2>/dev/null
fi
# What a daemon that was killed leaves mounted would keep the folder from being removed.
grep -F " $folder/" /proc/self/mountinfo | awk '{print $5}' | sort -r | while read -r mount; do umount -l "$mount"; done
rm -rf --one-file-system "$folder"
