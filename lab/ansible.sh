# ansible.sh ROOT ROLES DIR COMMAND...: run a command in ROOT, a read-only root with
# Ansible, with DIR as its working folder /work, and ROLES in it. Runs in namespaces of its
# own.
root=$1 roles=$2 dir=$3
shift 3

mount -t tmpfs lab /mnt
mkdir /mnt/upper /mnt/overlay /mnt/root
mount -t overlay -o "lowerdir=$root,upperdir=/mnt/upper,workdir=/mnt/overlay" lab /mnt/root
# A /dev of its own: the machine's is one for all.
mount -t tmpfs lab /mnt/root/dev
mkdir -m 1777 /mnt/root/dev/shm
mknod -m 666 /mnt/root/dev/null c 1 3
mknod -m 666 /mnt/root/dev/zero c 1 5
mknod -m 666 /mnt/root/dev/urandom c 1 9
ln -s /proc/self/fd /mnt/root/dev/fd
mount -t proc lab /mnt/root/proc
mkdir -p /mnt/root/work "$dir/roles"
mount --bind "$dir" /mnt/root/work
mount --bind -o ro "$roles" /mnt/root/work/roles
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 ANSIBLE_NOCOLOR=1 ANSIBLE_HOST_KEY_CHECKING=0 ANSIBLE_TIMEOUT=300 ANSIBLE_PIPELINING=1 \
	chroot /mnt/root sh -euc 'cd /work; exec "$@"' sh "$@"
