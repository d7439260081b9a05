#!/bin/sh
# Alertmanager reads no environment: this puts the webhook's URL where its configuration looks.
set -eu
umask 077
receiver=none
if [ -n "${ALERT_WEBHOOK_URL:-}" ]; then
    receiver=webhook
    printf '%s' "$ALERT_WEBHOOK_URL" >/tmp/webhook-url
fi
sed "s/^  receiver: none$/  receiver: $receiver/" /etc/alertmanager/alertmanager.yml >/tmp/alertmanager.yml
echo "alertmanager: alerts go to the receiver '$receiver'"
unset ALERT_WEBHOOK_URL
exec alertmanager --config.file=/tmp/alertmanager.yml "$@"
