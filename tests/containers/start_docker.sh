#!/bin/bash
# Starts a Docker daemon of its own that leaves the machine's network rules alone, and prints the DOCKER_HOST to export.
# usage: start_docker.sh FOLDER   (root, Debian's docker.io); stop_docker.sh FOLDER ends it
set -euo pipefail
folder=$(realpath -m "${1:?a folder for the state of the daemon}")
mkdir -p "$folder"
setsid dockerd --data-root "$folder/data" --exec-root "$folder/exec" --pidfile "$folder/dockerd.pid" \
  --host "unix://$folder/docker.sock" --bridge=none --iptables=false --ip6tables=false --ip-forward=false \
  --ip-masq=false --userland-proxy=false >"$folder/dockerd.log" 2>&1 </dev/null &
for _ in $(seq 150); do
  if DOCKER_HOST=unix://$folder/docker.sock "${DOCKER:-docker}" info >/dev/null 2>&1; then
    echo "unix://$folder/docker.sock"
    exit 0
  fi
  sleep 0.2
done
echo "dockerd did not come up:" >&2
tail -n 5 "$folder/dockerd.log" >&2
exit 1
