#!/bin/bash
# Imports a stand-in for python:3.11-slim-bookworm where no registry can be reached: a minimal Debian with this machine's
# CPython in /usr/local, as the official image has it, and this machine's certificate authorities.
# usage: base_image.sh FOLDER   (root, mmdebstrap, DOCKER_HOST)
set -euo pipefail
folder=${1:?a folder for the files}
sources=/etc/apt/sources.list.d/debian.sources
[[ -e $sources ]] || sources=/etc/apt/sources.list
python=$(python3.11 -c 'import sys; print(sys.base_prefix)')
root=$folder/base-image
libraries=ca-certificates,libbz2-1.0,libdb5.3,libexpat1,libffi8,libgdbm6,liblzma5,libncursesw6,libnsl2,libreadline8
libraries+=,libsqlite3-0,libssl3,libtirpc3,libuuid1,netbase,tzdata,zlib1g

trap 'rm -rf --one-file-system "$root"' EXIT
mmdebstrap --quiet --variant=minbase --include="$libraries" --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' bookworm "$root" "$sources"
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/etc/apt/sources.list*

shared=("$python"/lib/libpython3*.so*)
tar -C "$python" --exclude=site-packages --exclude=lib/python3.11/test --exclude=__pycache__ --exclude='*.a' \
  -c bin/python3.11 lib/python3.11 "${shared[@]#"$python/"}" | tar -C "$root/usr/local" -x
ln -s python3.11 "$root/usr/local/bin/python3"
ln -s python3.11 "$root/usr/local/bin/python"
cat /etc/ssl/certs/ca-certificates.crt >"$root/etc/ssl/certs/ca-certificates.crt"
printf '[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n' >"$root/etc/pip.conf"
chroot "$root" ldconfig
chroot "$root" /usr/local/bin/python3 -m ensurepip --default-pip >"$folder/ensurepip.log"

tar -C "$root" --exclude=./dev/* -c . | "${DOCKER:-docker}" import --change 'CMD ["python3"]' \
  --change 'ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin' - python:3.11-slim-bookworm
