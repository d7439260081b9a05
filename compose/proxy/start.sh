#!/bin/sh
# Serves /live/current, which the lifecycle chooses; without its choice, what is in this image.
set -eu
current=$(readlink /live/current || echo image)
if [ "$current" = image ]; then
    mkdir -p /live/image
    (cd /etc/nginx && cp nginx.conf upstreams.conf version.conf mime.types /live/image)
    ln -sfn image /live/current
fi
exec nginx -e stderr -c /live/current/nginx.conf -g "daemon off;"
