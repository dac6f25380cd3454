# SPDX-License-Identifier: MIT
#
# What apt is configured with on this machine; sourced, not run.

# Whether apt is configured for this suite, as "deb" (Packages) or as "deb-src" (Sources).
apt_suite_entries() {
   apt-get indextargets --format '$(SOURCESENTRY) $(RELEASE) $(COMPONENT)' "Created-By: $2" |
      awk -v suite="$1" '$2 == suite && $3 == "main" { print $1 }' | sort -u
}

# Prints the configured entry of the distribution itself, options and all, for another suite and
# other types. An entry is "file:line" in one-line files and "file:stanza" in deb822 ones.
apt_entry_for_suite() {
   local entry=$1 suite=$2 kinds=$3 file number
   file=${entry%:*}
   number=${entry##*:}
   case "$file" in
      *.sources)
         awk -v RS= -v n="$number" 'NR == n' "$file" | grep -v '^#' |
            sed -e "s/^Types:.*/Types: $kinds/I" -e "s/^Suites:.*/Suites: $suite/I" \
                -e "s/^Components:.*/Components: main/I" -e '/^Enabled:/Id'
         ;;
      *)
         local kind
         for kind in $kinds; do
            sed -n "${number}p" "$file" |
               sed -E -e "s/^[[:space:]]*deb(-src)?([[:space:]]+(\[[^]]*\][[:space:]]+)?[^[:space:]]+)[[:space:]]+.*/$kind\2 $suite main/"
         done
         ;;
   esac
}
