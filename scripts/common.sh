# SPDX-License-Identifier: MIT
#
# What the scripts share; sourced, not run.

set -euo pipefail

# Debian's Python, and no other that may stand before it: Mesa's build needs its modules.
export PATH=/usr/bin:/bin:$PATH

cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/help.sh

say() {
   printf '\033[1m== %s\033[0m\n' "$*"
}

die() {
   echo "$(basename "$0"): $*" >&2
   exit 1
}

# Ends a script that was called wrongly.
die_usage() {
   echo "$(basename "$0"): $*; see scripts/$(basename "$0") --help" >&2
   exit 2
}

# Meson unpacks and patches Mesa once. What it unpacked for other patches is thrown away.
refresh_mesa() {
   local stamp wrap=subprojects/mesa.wrap
   local dir=subprojects/$(sed -n 's/^directory *= *//p' $wrap)
   stamp=$(cat $wrap subprojects/packagefiles/mesa/* | sha256sum)
   if [ -d "$dir" ] && [ "$(cat "$dir/.patched" 2>/dev/null)" != "$stamp" ]; then
      rm -rf "$dir"
   fi
   if [ ! -d "$dir" ]; then
      meson subprojects download mesa >/dev/null || die "cannot unpack Mesa"
      echo "$stamp" >"$dir/.patched"
   fi
}

# configure DIRECTORY [MESON OPTION...]: a build tree with these options, whatever it was before.
configure() {
   local dir=$1 log=$1/configure.log
   shift
   refresh_mesa
   local mode=() stamp
   stamp=$(sed -n '/mesa_options/,/\]/p' meson.build | sha256sum)
   # Meson asks for a subproject's options once.
   [ "$(cat "$dir/.mesa-options" 2>/dev/null)" = "$stamp" ] || rm -rf "$dir"
   mkdir -p "$dir"
   [ ! -f "$dir/build.ninja" ] || mode=(--reconfigure)
   # Nothing from the network: what a build needs are packages of scripts/setup.
   if ! meson setup "${mode[@]}" -Dwrap_mode=nofallback "$dir" "$@" >"$log" 2>&1; then
      tail -n 30 "$log"
      die "configuring $dir failed; all of it is in $log"
   fi
   echo "$stamp" >"$dir/.mesa-options"
}

# build DIRECTORY [TARGET...]
build() {
   local dir=$1
   shift
   ninja -C "$dir" -j "${JOBS:-$(nproc)}" "$@" || die "building $dir failed"
}
