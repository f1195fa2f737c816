#!/bin/sh
# Deletes records older than DAYS, and the folders that this leaves empty. Once an hour, or once a day, from cron:
#   17 * * * * RECORDS_DIR=/var/records sh /etc/boxkite/retention.sh
set -eu
: "${RECORDS_DIR:?}" "${DAYS:=30}"
find "$RECORDS_DIR" -type f -name '*.txt' -mmin "+$((DAYS * 1440))" -delete
# Only folders that have not changed for a day: into a new one fluentd may be about to write.
find "$RECORDS_DIR" -mindepth 1 -depth -type d -empty -mmin +1440 -delete
