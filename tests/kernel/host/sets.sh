# SPDX-License-Identifier: MIT
#
# Which packages the kernel tests take, from which suites. Sourced after packages.sh.
#
# have_kernel_set VERSION and have_sysroot_set see to it that the set is in the cache; on failure
# $reason says why it is not.

kernel_suites() {
   case "$1" in
      6.12) echo bookworm-backports ;;
      *) echo sid experimental ;;
   esac
}

# The kernel, what a module is built against, and the build tools for this machine.
resolve_kernel() {
   local version=${1//./\\.} index=$2 image release common package
   # Where there is an unsigned one, the other only pulls it in.
   for package in linux-binary-unsigned linux-image; do
      image=$(newest "$index" arm64 "$package-$version[.0-9]*(-rc[0-9]+)?([+]deb[0-9]+)?-arm64")
      [ -z "$image" ] || break
   done
   [ -n "$image" ] || return 1
   release=${image%%:*}
   release=${release#linux-image-}
   release=${release#linux-binary-unsigned-}
   release=${release//+/[+]}
   common=${release%-arm64}
   echo "$image"
   # Newer packages carry the modules apart from the image.
   newest "$index" arm64 "linux-modules-$release"
   newest "$index" arm64 "linux-base-$release"
   for package in "arm64 linux-headers-$release" "arm64 linux-headers-$common-common" \
      "$host_arch linux-kbuild-$common"; do
      newest "$index" ${package% *} "${package#* }"
   done
   # Build tools of a newer suite want a newer C library than this system may have.
   [ "$1" = 6.12 ] || newest "$index" "$host_arch" libc6
}

# Kernels that the suites do have, for the message
offered() {
   sed -nE 's/^linux-(image|binary-unsigned)-([0-9]+\.[0-9]+).*-arm64 .*/\2/p' "$1" | sort -Vu | xargs
}

have_kernel_set() {
   local version=$1 index=$cache/apt/index suites packages
   ! set_is_cached "linux-$version" || return 0
   suites=$(kernel_suites "$version")
   refresh_index $suites || return 1
   index >"$index"
   packages=$(resolve_kernel "$version" "$index") ||
      { reason="no Linux $version in $suites (there: $(offered "$index"))"; return 1; }
   fetch_set "linux-$version" $packages
}

# A shell for the guest, and the libraries that the programs link: of the stable suite, for any kernel.
sysroot_packages='busybox-static libdrm2 libdrm-dev libcmocka0 libcmocka-dev zlib1g zlib1g-dev
   libpng16-16 libpng-dev'
# Another choice is another set.
sysroot_set=sysroot-$(echo $sysroot_packages | sha256sum | cut -c 1-8)

have_sysroot_set() {
   local index=$cache/apt/index name packages=()
   ! set_is_cached "$sysroot_set" || return 0
   refresh_index bookworm || return 1
   index >"$index"
   for name in $sysroot_packages; do
      packages+=("$(newest "$index" arm64 $name)")
   done
   fetch_set "$sysroot_set" "${packages[@]}"
}

# Debian's PanVK, to be compared with, and what it links
panvk_packages='mesa-vulkan-drivers libc6 libgcc-s1 libstdc++6 libdrm2 libexpat1 libdisplay-info3 zlib1g
   libzstd1 libwayland-client0 libffi8 libx11-xcb1 libxcb1 libxcb-dri3-0 libxcb-present0 libxcb-randr0 libxcb-shm0
   libxcb-sync1 libxcb-xfixes0 libxshmfence1 libxau6 libxdmcp6'
panvk_set=panvk-$(echo $panvk_packages | sha256sum | cut -c 1-8)

have_panvk_set() {
   local index=$cache/apt/index name packages=()
   ! set_is_cached "$panvk_set" || return 0
   refresh_index sid || return 1
   index >"$index"
   for name in $panvk_packages; do
      packages+=("$(newest "$index" arm64 ${name//+/[+]})")
   done
   fetch_set "$panvk_set" "${packages[@]}"
}
