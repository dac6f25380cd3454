# SPDX-License-Identifier: MIT
#
# Builds fakemali.ko against a Debian kernel's headers. Sourced; must not know how it is run.

# The headers as they lie in the cache say where they would be installed; make them usable there.
prepare_headers() {
   local root=$1 headers=$2 modpost loader lib
   [ ! -f "$root/.headers-are-ready" ] || return 0

   sed -i "s#/usr/src/#$root/usr/src/#g" "$headers/Makefile"
   # Without the kernel's type information the module is built without its own.
   rm -f "$headers/vmlinux"

   loader=$(echo "$root"/usr/lib/*-linux-gnu/ld-linux-*.so.?)
   if [ -f "$loader" ]; then
      lib=$(dirname "$loader")
      for modpost in "$root"/usr/lib/linux-kbuild-*/scripts/mod/modpost.real-lsb-64; do
         mv "$modpost" "$modpost.bin"
         printf '#!/bin/sh\nexec %s --library-path %s %s "$@"\n' "$loader" "$lib" "$modpost.bin" \
            >"$modpost"
         chmod +x "$modpost"
      done
   fi
   touch "$root/.headers-are-ready"
}

# build_module KERNEL_ROOT SOURCE BUILD: BUILD/fakemali.ko
build_module() {
   local root=$1 source=$2 build=$3 headers
   headers=$(echo "$root"/usr/src/linux-headers-*-arm64)
   prepare_headers "$root" "$headers"
   # Kbuild writes beside the sources.
   mkdir -p "$build"
   cp -u "$source"/Kbuild "$source"/*.[ch] "$build"
   if ! make -s -C "$headers" M="$build" ARCH=arm64 CC="$kernel_dir/host/kcc" modules \
      >"$build/log" 2>&1; then
      tail -n 20 "$build/log"
      return 1
   fi
}
