#!/bin/sh
# All of a machine that a deployment may touch, as text: two runs with the same output are two machines that are alike.
set -eu
cd /
find etc opt usr/local var/lib lib/systemd/system \
    \( -path var/lib/systemd -o -path var/lib/dpkg -o -path var/lib/apt -o -path var/lib/private \) -prune -o \
    \( -name '.pwd.lock' -o -name '*.pyc' -o -name __pycache__ -o -name 'ld.so.cache' \) -prune -o \
    -printf '%p %y %m %u %g %l\n' 2>/dev/null | sort
find etc opt usr/local -type f ! -name '*.pyc' ! -name ld.so.cache -exec sha256sum {} + | sort -k 2
ls run/netns 2>/dev/null || true
dpkg-query --show --showformat='${Package} ${Version} ${db:Status-Status}\n'
systemctl list-units --all --plain --no-legend 'contiv*' 'vpp*' 'etcd*' | awk '{print $1, $2, $3}'
ip -json link | python3 -c 'import json, sys; [print(link["ifname"], link["mtu"]) for link in json.load(sys.stdin)]'
ip route show table all | grep -v ' cache' | sort
ip -6 route show table all | sort
ip rule
nft list ruleset
sysctl -a 2>/dev/null | grep -E '^net\.(ipv4\.(ip_forward|conf\.all)|ipv6\.conf\.all|bridge)' | sort
