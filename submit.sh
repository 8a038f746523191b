#!/bin/bash
# Submits the pipeline with nothing but gcloud's token and curl:
#
#   python compile.py --project my-project --region europe-west3 --pipeline-root gs://my-bucket/runs \
#     --parameters purchases=my-project.shop.purchases products=my-project.shop.products
#   ./submit.sh [job.json]
#
# gcloud has no command for pipelines, so this is the REST call:
# https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.pipelineJobs/create
#
# PROJECT          by default $GOOGLE_CLOUD_PROJECT, then gcloud's own (gcloud config set project …)
# REGION           by default $GOOGLE_CLOUD_REGION, then gcloud's own (gcloud config set ai/region …)
# VERTEX_ENDPOINT  by default https://REGION-aiplatform.googleapis.com; http:// on this machine gets no token
# RUN_ID           by default the pipeline's name and the time
set -euo pipefail

body=${1:-job.json}
fail() { echo "error: $1" >&2; exit "${2:-2}"; }
field() { sed -nE "s/^ *\"$1\": *\"(.*)\",?$/\1/p" "$2" | head -n 1; }

case $body in
  -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
esac
command -v curl >/dev/null || fail "curl is not installed. Install it."
command -v gcloud >/dev/null || fail "gcloud is not installed. See https://cloud.google.com/sdk/docs/install"
[[ -s $body ]] || fail "$body is not there. Run python compile.py --project … --region … --pipeline-root gs://… --parameters purchases=… products=…, which writes job.json."
grep -q '"pipelineSpec"' "$body" || fail "$body is no job body. Give python compile.py --parameters: it writes job.json, which is one."

project=${PROJECT:-${GOOGLE_CLOUD_PROJECT:-$(gcloud config get-value project 2>/dev/null || true)}}
region=${REGION:-${GOOGLE_CLOUD_REGION:-$(gcloud config get-value ai/region 2>/dev/null || true)}}
[[ -n $project && $project != "(unset)" ]] || fail "no project. Set PROJECT, or run gcloud config set project NAME."
[[ -n $region && $region != "(unset)" ]] || fail "no region. Set REGION, or run gcloud config set ai/region europe-west3."
# The token goes where these say, so they hold nothing that could lead elsewhere.
[[ $project =~ ^([a-z][a-z0-9.-]*:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$ ]] || fail "the project $project is no project's id. Set PROJECT."
[[ $region =~ ^[a-z]+-[a-z]+[0-9]+$ ]] || fail "the region $region is none such as europe-west3. Set REGION."
name=$(field displayName "$body" | tr '[:upper:]' '[:lower:]' | tr -c 'a-z0-9\n' '-')
run=${RUN_ID:-${name:-run}-$(date -u +%Y%m%d%H%M%S)}
[[ $run =~ ^[a-z][a-z0-9-]{0,127}$ ]] || fail "the run's id $run may hold lowercase letters, digits and - only. Set RUN_ID."
endpoint=${VERTEX_ENDPOINT:-https://$region-aiplatform.googleapis.com}
[[ $endpoint =~ ^(https://[a-zA-Z0-9.-]+|http://(127\.0\.0\.1|localhost))(:[0-9]+)?/?$ ]] ||
  fail "VERTEX_ENDPOINT must be https://HOST, or http:// for this machine's own address."
echo "project $project, region $region, $endpoint"
header=''
if [[ $endpoint != http://* ]]; then
  token=$(gcloud auth print-access-token 2>/dev/null) || token=""
  [[ -n $token ]] || fail "gcloud has no valid login. Run gcloud auth login."
  header="Authorization: Bearer $token"
fi

answer=$(mktemp)
trap 'rm -f "$answer"' EXIT
# The token goes through a pipe: arguments can be read by everybody on the machine.
status=$(printf '%s\n' "$header" | curl --silent --show-error --globoff --header @- \
  --header 'Content-Type: application/json; charset=utf-8' --data-binary "@$body" \
  --connect-timeout 10 --max-time 120 --output "$answer" --write-out '%{http_code}' \
  "${endpoint%/}/v1/projects/$project/locations/$region/pipelineJobs?pipelineJobId=$run") ||
  fail "no answer from $endpoint. Check the network and REGION; whether the run was created all the same, the console shows." 1

case $status in
  200)
    echo "submitted $run"
    echo "https://console.cloud.google.com/vertex-ai/locations/$region/pipelines/runs/$run?project=$project"
    ;;
  *)
    # The message is one JSON string, in a line of its own or not.
    message=$(tr -d '\n' <"$answer" | grep -oE '"message": *"([^"\\]|\\.)*"' | head -n 1 | sed -E 's/^"message": *"//; s/"$//; s/\\"/"/g' || true)
    case $status in
      401) remedy="Run gcloud auth login." ;;
      403) remedy="Run gcloud services enable aiplatform.googleapis.com --project $project, or ask for the role roles/aiplatform.user." ;;
      404) remedy="Check PROJECT and REGION." ;;
      409) remedy="Set another RUN_ID." ;;
      429) remedy="Ask for more quota, or run less at once." ;;
      5*) remedy="Try again later; whether the run was created all the same, the console shows." ;;
      *) remedy="Correct that and compile again." ;;
    esac
    fail "Vertex AI answered with $status: ${message:-no message}. $remedy" 1
    ;;
esac
