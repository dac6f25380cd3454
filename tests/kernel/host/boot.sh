# SPDX-License-Identifier: MIT
#
# Boots a kernel in QEMU until it powers off. Sourced; must not know what the guest does.

machine_type=virt,gic-version=3
machine_options='-cpu cortex-a57 -smp 2 -m 1G'
# One instruction a nanosecond: what the guest counts is the same in every run.
counting_options='-icount shift=0,sleep=off'
extra_options=

# watch PID SECONDS FILE: until the process ends; kills it if the file does not grow for so long
watch() {
   local pid=$1 seconds=$2 file=$3 size=-1 now quiet=0
   while kill -0 "$pid" 2>/dev/null; do
      sleep 0.5
      now=$(stat -c %s "$file" 2>/dev/null || echo 0)
      quiet=$((now == size ? quiet + 1 : 0))
      size=$now
      [ $quiet -lt $((2 * seconds)) ] || kill -9 "$pid" 2>/dev/null
   done
}

# boot SECONDS KERNEL INITRAMFS DEVICE_TREE CONSOLE [COMMAND LINE WORD...]
#
# Whatever the kernel complains about is a panic, and a panic is the end. A guest that says nothing for
# SECONDS hangs: how long it takes in all depends on what else the machine does. The exit code is
# QEMU's.
boot() {
   local seconds=$1 kernel=$2 initramfs=$3 device_tree=$4 console=$5 pid
   shift 5
   qemu-system-aarch64 -M $machine_type $machine_options $extra_options \
      -nodefaults -display none -serial "file:$console" -no-reboot \
      -kernel "$kernel" -initrd "$initramfs" -dtb "$device_tree" \
      -append "console=ttyAMA0 loglevel=1 oops=panic panic=-1 panic_on_warn=1 $*" </dev/null &
   pid=$!
   watch $pid "$seconds" "$console"
   wait $pid
}
