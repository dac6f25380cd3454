# SPDX-License-Identifier: MIT
#
# Debian packages of other suites and architectures, unpacked into a cache, with no change to the
# system: apt does the work (mirror, proxy, signatures, checksums) in a state directory of its own.
# Sourced; must not know what the packages are for.
#
# A set of packages is resolved once and written down with its checksums. While all of it is in the
# cache nothing is fetched or even looked up, so a suite that moves on does not change what runs.

cache=${XDG_CACHE_HOME:-$HOME/.cache}/vmbind/kernel
host_arch=$(dpkg --print-architecture)

apt_private() {
   local command=$1
   shift
   "apt-$command" \
      -o Dir::Etc::sourcelist="$cache/apt/debian.sources" -o Dir::Etc::sourceparts=/dev/null \
      -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null \
      -o Dir::State="$cache/apt/state" -o Dir::State::status="$cache/apt/status" \
      -o Dir::Cache="$cache/apt/cache" -o APT::Default-Release= \
      -o APT::Architectures="$host_arch,arm64" -o APT::Sandbox::User="$(id -un)" \
      -o Acquire::Languages=none -o Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false \
      "$@"
}

# The archive that this system is configured for, whatever its suite.
archive_uri() {
   apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(COMPONENT)|$(REPO_URI)' \
      'Created-By: Packages' | sed -n 's/^Debian|Debian|main|//p' | head -n 1
}

# refresh_index SUITE...
refresh_index() {
   local uri keyring=/usr/share/keyrings/debian-archive-keyring.gpg
   uri=$(archive_uri)
   [ -n "$uri" ] || { reason='apt is not configured for a Debian archive'; return 1; }
   mkdir -p "$cache"/apt/{state/lists/partial,cache/archives/partial}
   : >"$cache/apt/status"
   {
      printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\n' "$uri" "$*"
      [ ! -f $keyring ] || echo "Signed-By: $keyring"
   } >"$cache/apt/debian.sources"
   apt_private get -qq -o APT::Update::Error-Mode=any update >"$cache/apt/update.log" 2>&1 ||
      { reason="the package lists of $* cannot be had: $(tail -n 1 "$cache/apt/update.log")"; return 1; }
}

# All that the suites hold: "name architecture version suite"
index() {
   apt_private get indextargets --format '$(RELEASE) $(FILENAME)' 'Created-By: Packages' |
      while read -r suite file; do
         /usr/lib/apt/apt-helper cat-file "$file" | awk -v suite="$suite" '
            /^Package: /      { name = $2 }
            /^Architecture: / { arch = $2 }
            /^Version: /      { version = $2 }
            /^$/              { print name, arch, version, suite }'
      done
}

# newest INDEX ARCHITECTURE NAME_REGEX: "name:architecture=version", with the highest version
newest() {
   awk -v arch="$2" -v name="^($3)$" \
      '($2 == arch || $2 == "all") && $1 ~ name { print $3, $1 ":" $2 "=" $3 }' "$1" |
      sort -V | tail -n 1 | cut -d ' ' -f 2
}

# fetch_set SET PACKAGE=VERSION...: into the cache, and the set's list beside it
fetch_set() {
   local set=$1 package name version debs=()
   shift
   mkdir -p "$cache/debs"
   for package in "$@"; do
      [ -n "$package" ] || { reason="a package of the set $set is not in the archive"; return 1; }
      version=${package#*=}
      name=${package%%=*}
      debs+=("${name%:*}_${version//:/%3a}_${name##*:}.deb")
   done
   (cd "$cache/debs" && apt_private get -qq download "${@/:all=/=}") >"$cache/apt/download.log" 2>&1 ||
      { reason="packages cannot be fetched: $(tail -n 1 "$cache/apt/download.log")"; return 1; }
   (cd "$cache/debs" && sha256sum "${debs[@]}") >"$cache/$set.list.new"
   mv "$cache/$set.list.new" "$cache/$set.list"
}

set_is_cached() {
   [ -s "$cache/$1.list" ] &&
      (cd "$cache/debs" && cut -d ' ' -f 3 "$cache/$1.list" | xargs ls) >/dev/null 2>&1
}

# unpack_set SET: prints the directory that holds the set's files
unpack_set() {
   local set=$1 root deb
   root=$cache/roots/$set-$(sha256sum <"$cache/$set.list" | cut -c 1-12)
   if [ ! -d "$root" ]; then
      (cd "$cache/debs" && sha256sum --quiet --check "$cache/$set.list" >&2) || return 1
      rm -rf "$cache/roots/$set"-* "$root.new"
      mkdir -p "$root.new"
      while read -r _ deb; do
         dpkg-deb --extract "$cache/debs/$deb" "$root.new"
      done <"$cache/$set.list"
      mv "$root.new" "$root"
   fi
   echo "$root"
}
