# SPDX-License-Identifier: MIT
#
# What QEMU boots: the machine's device tree with a GPU in it, and an initramfs. Sourced; must not
# know what the tests do.

# make_device_tree OUT
make_device_tree() {
   local out=$1 machine=$1.machine
   # The NIC that the machine has by default wants a ROM that Debian packages apart.
   qemu-system-aarch64 -M "$machine_type,dumpdtb=$machine" $machine_options -nic none \
      >/dev/null 2>&1 || return 1
   { dtc -q -I dtb -O dts "$machine"; cat "$kernel_dir/gpu.dtsi"; } | dtc -q -I dts -O dtb -o "$out"
}

kernel_image() {
   ls "$1"/boot/vmlinuz-* "$1"/usr/lib/modules/*/vmlinuz* "$1"/lib/modules/*/vmlinuz* 2>/dev/null |
      head -n 1
}

# add_modules KERNEL_ROOT OUT: panthor with all that it needs, uncompressed, and the load order
add_modules() {
   local root=$1 out=$2 dir base release module file name
   dir=$(ls -d "$root"/usr/lib/modules/*-arm64 "$root"/lib/modules/*-arm64 2>/dev/null | head -n 1)
   release=$(basename "$dir")
   base=${dir%/lib/modules/*}
   [ -f "$dir/modules.dep.bin" ] || depmod -b "$base" "$release"
   mkdir -p "$out"
   # Debian builds the fixed regulator, which powers our GPU, as a module.
   for module in fixed panthor; do
      modprobe -d "$base" -S "$release" --show-depends $module
   done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' |
      while read -r file; do
         name=$(basename "$file" .ko.xz)
         xz --decompress --stdout "$file" >"$out/$name.ko"
         [ "$name" != panthor ] || echo fakemali
         echo "$name"
      done >"$out/order"
}

# add_libraries OUT PROGRAMS DIRECTORY...: what the files in PROGRAMS need, from these directories
add_libraries() {
   local out=$1 programs=$2 found name missing=true
   shift 2
   mkdir -p "$out"
   while $missing; do
      missing=false
      for name in $(aarch64-linux-gnu-objdump -p "$programs"/* "$out"/*.so* 2>/dev/null |
         awk '$1 == "NEEDED" { print $2 }' | sort -u) ld-linux-aarch64.so.1; do
         [ ! -e "$out/$name" ] || continue
         found=$(find "$@" -maxdepth 1 -name "$name" -print -quit)
         [ -n "$found" ] || { echo "no $name for the guest"; return 1; }
         cp -L "$found" "$out/$name"
         missing=true
      done
   done
}

# A Vulkan driver of a newer suite, with a C library of its own, apart from what else is there
add_panvk() {
   local root=$1 out=$2
   mkdir -p "$out"
   cp "$root/usr/lib/aarch64-linux-gnu/libvulkan_panfrost.so" "$out/" || return 1
   add_libraries "$out/lib" "$out" "$root/usr/lib/aarch64-linux-gnu" "$root/lib/aarch64-linux-gnu"
}

# make_initramfs KERNEL_ROOT SYSROOT MODULE FIRMWARE PROGRAMS VECTORS OUT [PANVK_ROOT]
make_initramfs() {
   local root=$1 sysroot=$2 module=$3 firmware=$4 programs=$5 vectors=$6 out=$7 tree=$7.d
   local fw_dir=$tree/lib/firmware/arm/mali/arch10.8
   rm -rf "$tree"
   mkdir -p "$tree"/{bin,proc,sys,dev,tmp,tests} "$fw_dir"
   cp "$kernel_dir/guest/init" "$tree/init"
   cp "$(find "$sysroot" -path '*/bin/busybox')" "$tree/bin/" || return 1
   cp "$firmware" "$fw_dir/mali_csffw.bin" || return 1
   [ ! -f "$vectors" ] || cp "$vectors" "$tree/vectors"
   add_modules "$root" "$tree/modules" || return 1
   aarch64-linux-gnu-strip -g -o "$tree/modules/fakemali.ko" "$module" || return 1
   find "$programs" -maxdepth 1 -type f -executable -exec cp -t "$tree/tests" {} +
   aarch64-linux-gnu-strip -g "$tree"/tests/*
   [ -z "${8:-}" ] || add_panvk "$8" "$tree/panvk" || return 1
   add_libraries "$tree/lib" "$tree/tests" "$sysroot/usr/lib/aarch64-linux-gnu" "$sysroot/lib/aarch64-linux-gnu" \
      /usr/aarch64-linux-gnu/lib || return 1
   (cd "$tree" && find . | cpio --quiet -o -H newc -R 0:0 | gzip -1) >"$out"
}
