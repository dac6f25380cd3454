# SPDX-License-Identifier: MIT
#
# Boots a kernel in QEMU until it powers off. Sourced; must not know what the guest does.

machine_type=virt,gic-version=3
machine_options='-cpu cortex-a57 -smp 2 -m 1G'

# boot SECONDS KERNEL INITRAMFS DEVICE_TREE CONSOLE [COMMAND LINE WORD...]
#
# Whatever the kernel complains about is a panic, and a panic is the end. The exit code is that of
# timeout(1): 124 if the guest did not power off in time.
boot() {
   local seconds=$1 kernel=$2 initramfs=$3 device_tree=$4 console=$5
   shift 5
   timeout --kill-after=10 "$seconds" qemu-system-aarch64 -M $machine_type $machine_options \
      -nodefaults -display none -serial "file:$console" -no-reboot \
      -kernel "$kernel" -initrd "$initramfs" -dtb "$device_tree" \
      -append "console=ttyAMA0 loglevel=1 oops=panic panic=-1 panic_on_warn=1 $*" </dev/null
}
