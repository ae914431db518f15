# SPDX-License-Identifier: Apache-2.0
# With all rights of root, tries what the policy for SELinux forbids to a domain of driverd,
# and some of what it allows. Prints a line for each: what, a tab, the answer.
# Arguments: the domain, a module's file in the kernel's folder, copies of it elsewhere.
import ctypes, errno, lzma, os, socket, subprocess, sys

domain, module, copies = sys.argv[1], sys.argv[2], sys.argv[3:]
libc = ctypes.CDLL(None, use_errno=True)
INIT_MODULE, FINIT_MODULE, COMPRESSED = 175, 313, 4  # x86_64; linux/module.h


def tried(what, do):
    try:
        answer = do() or "DONE"
    except OSError as e:
        answer = os.strerror(e.errno)
    print(domain, what, answer, sep="\t", flush=True)


def read(path):
    tried("read " + path, lambda: open(path, "rb").close())


def write(path):
    tried("write " + path, lambda: open(path, "w").close())


def run(what, *argv):
    tried(what, lambda: subprocess.run(argv, stdout=subprocess.DEVNULL, check=False) and None)


def connect(what, family, address):
    tried(what, lambda: socket.socket(family).connect(address))


def called(number, *args):
    if libc.syscall(number, *args) and ctypes.get_errno() != errno.EEXIST:
        raise OSError(ctypes.get_errno(), "")


def load(what, path):
    def do():
        with open(path, "rb") as file:
            called(FINIT_MODULE, file.fileno(), b"", COMPRESSED)
    tried(f"{what}: load {path}", do)


def load_memory():
    with open(module, "rb") as file:
        text = lzma.decompress(file.read())
    tried("load a module from memory", lambda: called(INIT_MODULE, text, len(text), b""))


class Error(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("message", ctypes.c_char_p), ("need_free", ctypes.c_int)]


def systemd(what, member, *args):
    """Calls a method of systemd's, of strings."""
    sd, bus, error = ctypes.CDLL("libsystemd.so.0"), ctypes.c_void_p(), Error()

    def do():
        if sd.sd_bus_open_system(ctypes.byref(bus)) < 0:
            return "no bus"
        c = [a.encode() for a in args]
        if sd.sd_bus_call_method(bus, b"org.freedesktop.systemd1", b"/org/freedesktop/systemd1", b"org.freedesktop.systemd1.Manager",
                                 member.encode(), ctypes.byref(error), None, b"s" * len(c) or None, *c) < 0:
            return (error.message or b"?").decode()
    tried(f"{what}: {member} {' '.join(args)}".strip(), do)


read("/etc/shadow")
read("/dev/vda")
for path in "/etc/evil", "/etc/modprobe.d/evil.conf", "/usr/bin/evil", "/usr/lib/modules/evil.ko", "/var/lib/evil":
    write(path)
connect("connect to the network", socket.AF_INET, ("10.0.2.100", 80))
if domain == "driverd_t":
    run("run a shell", "/bin/sh", "-c", ":")
    run("run a program", "/usr/bin/true")
    write("/run/driverd/install/1")
    write("/run/driverd/load/evil")
    load("forbidden", module)
    systemd("forbidden", "StartUnit", "driverd-vendor@enable-nvidia-open.service", "replace")
    systemd("forbidden", "StartUnit", "rescue.target", "replace")
    systemd("forbidden", "RestartUnit", "dnf5daemon-server.service", "replace")
    systemd("forbidden", "StopUnit", "driverd-load@0000:7f:00.0.service", "replace")
    systemd("forbidden", "Reload")
    systemd("may", "StartUnit", "driverd-load@0000:7f:00.0.service", "replace")
if domain == "driverd_install_t":
    run("run a shell", "/bin/sh", "-c", ":")
    write("/run/driverd/jobs/1")
    write("/var/lib/driverd/mode")
    load("forbidden", module)
    systemd("forbidden", "StartUnit", "driverd-load@0000:7f:00.0.service", "replace")
    systemd("forbidden", "StopUnit", "polkit.service", "replace")
    systemd("forbidden", "Reload")
    systemd("may", "StopUnit", "dnf5daemon-server.service", "replace")
    run("may: run rpmkeys", "/usr/bin/rpmkeys", "--version")
if domain == "driverd_load_t":
    write("/run/driverd/jobs/1")
    connect("connect to the bus", socket.AF_UNIX, "/run/dbus/system_bus_socket")
    for copy in copies:
        load("forbidden", copy)
    load_memory()
    load("may", module)
