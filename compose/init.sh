#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# What the services of compose.yaml need at their first start: the simulated site's files,
# certificates and the broker's rules, tokens and passwords. Each goes into the volume of who needs
# it; the authority's key stays in /pki, which nobody else mounts. Run again, it changes nothing.
set -eu
umask 077

owner=10001:10001
broker=mosquitto:8883
alertmanager=http://alertmanager:9093
stamp=/pki/.done

say() { printf 'init: %s\n' "$*"; }

secret() { # FILE: one is made where there is none
  [ -s "$1" ] || python -c 'import secrets; print(secrets.token_urlsafe(32))' >"$1"
}

own() { # what this container makes belongs to those who run the others
  [ "$(id -u)" -ne 0 ] || chown -R "$owner" "$@"
}

if [ -e "$stamp" ]; then
  say "there already"
  exit 0
fi

say "the simulated site"
rackwatt twin build --data /site --scenario "$RACKWATT_SCENARIO" --broker "mqtts://$broker" \
  --keys /keys --alertmanager "$alertmanager"
site=$(python -c 'import yaml; print(yaml.safe_load(open("/site/site.yaml"))["site"]["id"])')
agents=$(cd /site/agents && for file in *.yaml; do printf '%s\n' "${file%.yaml}"; done)

say "certificates"
[ -e /pki/ca.key ] || rackwatt pki init --site "$site" --dir /pki
# shellcheck disable=SC2086  # one word each
rackwatt pki agent --dir /pki $agents >/dev/null
rackwatt pki broker --site "$site" --collector collector-1 --listen 0.0.0.0 \
  --installed /mosquitto/config --data /mosquitto/data --dir /pki mosquitto localhost 127.0.0.1
rackwatt pki collector --dir /pki collector-1
rackwatt pki server --dir /pki collector-web collector localhost 127.0.0.1

for target in trust agent-keys collector-keys; do
  cp /pki/ca.crt "/out/$target/ca.crt"
done
cp /pki/agents/*.crt /pki/agents/*.key /out/agent-keys/
cp /pki/collectors/collector-1.crt /pki/collectors/collector-1.key /out/collector-keys/
cp /pki/servers/collector-web.crt /out/collector-keys/web.crt
cp /pki/servers/collector-web.key /out/collector-keys/web.key
cp /pki/broker/* /out/broker-config/

say "tokens and passwords"
secret /out/collector-keys/internal.token
cp /out/collector-keys/internal.token /out/accountant-keys/internal.token
secret /out/influx-keys/admin.token
secret /out/influx-keys/admin.password
secret /out/grafana-keys/admin.password

own /site /out
: >"$stamp"
say "done"
