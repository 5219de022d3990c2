#!/bin/sh
# Draws the secrets of docker-compose.yml that FILE lacks (.env, which compose reads by itself), and shuts FILE to others.
# What is there stays: a database and a store keep the password that they were made with.

set -eu
umask 077
file=${1:-.env}
touch "$file"
chmod 600 "$file"
for name in KAFKA_ADMIN_PASSWORD POSTGRES_PASSWORD S3_SECRET_KEY; do
    grep -q "^$name=." "$file" && continue
    sed -i "/^$name=\$/d" "$file"
    echo "$name=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')" >>"$file"
    echo "$name: drawn, in $file"
done
