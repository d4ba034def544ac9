#!/bin/sh
# The first process of a guest: runs $EXCHANGE/command there, leaves its exit code in $EXCHANGE/code, and powers off.
# The root file system is the host's own, made read-only. EXCHANGE, a folder of the host that both can write to, comes
# from the kernel's command line; $EXCHANGE/settings has MODULES, PROJECT and HOME, $EXCHANGE/binds a path per line.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
mount -t proc proc /proc
mount -t sysfs sysfs /sys
echo 1 >/proc/sys/kernel/printk
mountpoint -q /dev || mount -t devtmpfs dev /dev
mount -t tmpfs tmpfs /mnt
mkdir /mnt/exchange
mount --bind "$EXCHANGE" /mnt/exchange
mount -o remount,bind,ro /
. /mnt/exchange/settings

# What lies below the folders that get a file system of their own is bound to its place again.
binds() {
  number=0
  while read -r path; do
    number=$((number + 1))
    "$1"
  done </mnt/exchange/binds
}
keep() { mkdir "/mnt/$number" && mount --bind "$path" "/mnt/$number"; }
restore() { mkdir -p "$path" && mount --bind "/mnt/$number" "$path"; }
binds keep
mkdir -p /dev/pts /dev/shm
for folder in /tmp /run /var/tmp /dev/shm; do
  mount -t tmpfs tmpfs $folder
  chmod 1777 $folder
done
binds restore
mkdir -p "$HOME"
mount -t devpts devpts /dev/pts
mount -t cgroup2 cgroup2 /sys/fs/cgroup

# Modules of this kernel, loaded when they are first needed.
printf '#!/bin/sh\nexec modprobe -d "%s" "$@"\n' "$MODULES" >/run/modprobe
chmod +x /run/modprobe
echo /run/modprobe >/proc/sys/kernel/modprobe
ip link set lo up
hostname guest
ulimit -Hn 1048576

echo "--- $(uname -r) runs ---"
(cd "$PROJECT" && exec /bin/sh /mnt/exchange/command) </dev/null
echo $? >/mnt/exchange/code
echo "--- ended ---"
sync
poweroff -f
