# SPDX-License-Identifier: MIT
#
# --help of the scripts; sourced, not run, in the project's directory.

# Prints what a script (help_of, or the one of scripts/ that runs) says of itself in its first lines, and ends it, if
# --help is among the arguments.
help_if_asked() {
   local argument
   for argument in "$@"; do
      case "$argument" in
         --) return 0 ;;
         -h | --help)
            sed -n -e '1,2d' -e '/^[^#]/q' -e '/^$/q' -e 's/^# \{0,1\}//p' "${help_of:-scripts/$(basename "$0")}" |
               sed '1{/^$/d}'
            exit 0
            ;;
      esac
   done
}
