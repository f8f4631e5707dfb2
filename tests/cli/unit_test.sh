#!/bin/sh
# SPDX-License-Identifier: MIT
# The example unit of systemd: it has limits, nothing hides the mount, and systemd accepts it.
. "${top_srcdir:-.}/tests/lib.sh"
unit=$top_srcdir/doc/examples/tenpak@.service

for line in 'MemoryMax=[0-9]' 'OOMScoreAdjust=-' 'OOMPolicy=continue' 'NoNewPrivileges=yes' 'CapabilityBoundingSet=CAP_' \
    'SystemCallFilter=@' 'RestrictAddressFamilies=AF_'; do
    has "the unit has $line" "$unit" "^$line"
done
not_ok 'users other than root see the mount only on demand' grep '^Environment=.*allow_other' "$unit"
not_ok 'no option gives the daemon a mount namespace' \
    grep -E '^(Protect|Private|Read(Write|Only)Paths|InaccessiblePaths|BindPaths|TemporaryFileSystem|RootDirectory)' "$unit"

if [ -e /dev/fuse ] && [ "$(id -u)" -eq 0 ]; then
    mkdir "$tmp/store"
    options=$(sed -n 's/^Environment=OPTIONS=//p' "$unit")
    ok 'the options of the unit are good' mount_dir "$tmp/store" "$tmp/mnt" -o "$options"
    ok 'unmounted' unmount "$tmp/mnt"
else
    skip 'the options of the unit are good' 'root and /dev/fuse are needed'
fi

if command -v systemd-analyze >/dev/null 2>&1; then
    mkdir -p "$tmp/units"
    sed "s,/usr/bin/tenpak,$(command -v true)," "$unit" >"$tmp/units/tenpak@tmp.service"
    ok 'systemd accepts the unit' systemd-analyze verify --man=no "$tmp/units/tenpak@tmp.service"
    is 'systemd has nothing to say' "$(systemd-analyze verify --man=no "$tmp/units/tenpak@tmp.service" 2>&1 | grep -c tenpak)" 0
    level=$(systemd-analyze security --offline=yes "$tmp/units/tenpak@tmp.service" 2>/dev/null |
        sed -n 's/.*Overall exposure level for [^:]*: \([0-9]*\).*/\1/p')
    ok "systemd rates its exposure below 7 of 10: ${level:-none}" test "${level:-10}" -lt 7
else
    skip 'systemd accepts the unit' 'systemd-analyze is not installed'
fi
tap_done
