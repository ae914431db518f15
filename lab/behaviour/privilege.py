# SPDX-License-Identifier: Apache-2.0
# As a user without rights, tries everything that changes something: each method of
# dnf5daemon, through a session of its own, and each verb of systemd on each unit.
# Prints a line for each: what, a tab, the answer.
import ctypes, signal, sys
from xml.etree import ElementTree

sd = ctypes.CDLL("libsystemd.so.0")
bus = ctypes.c_void_p()
sd.sd_bus_open_system(ctypes.byref(bus))
sd.sd_bus_set_method_call_timeout(bus, ctypes.c_uint64(60_000_000))


class Error(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("message", ctypes.c_char_p), ("need_free", ctypes.c_int)]


def call(dest, path, interface, member, types="", *args):
    """Calls a method and returns its reply, or the name and the text of its error."""
    error, reply = Error(), ctypes.c_void_p()
    c = [a.encode() if isinstance(a, str) else a if isinstance(a, ctypes.c_uint64) else ctypes.c_int(a) for a in args]
    if sd.sd_bus_call_method(bus, dest.encode(), path.encode(), interface.encode(), member.encode(),
                             ctypes.byref(error), ctypes.byref(reply), types.encode(), *c) >= 0:
        return reply, None
    return None, f"{(error.name or b'?').decode()}: {(error.message or b'').decode()}"


def read(reply, kind):
    value = ctypes.c_char_p()
    sd.sd_bus_message_read(reply, kind.encode(), ctypes.byref(value))
    return value.value.decode()


def tried(what, *args):
    _, error = call(*args)
    print(what, error or "DONE", sep="\t", flush=True)


DNF, MANAGER = "org.rpm.dnf.v0", "/org/rpm/dnf/v0"
reply, error = call(DNF, MANAGER, DNF + ".SessionManager", "open_session", "a{sv}", 0)
session = read(reply, "o")


# What only reads, marks, or throws away what a session has marked; and what is tried
# below under another name.
MEMBERS = {
    "Base.read_all_repos", "Base.reset", "Goal.resolve", "Goal.reset", "Goal.cancel", "Goal.get_transaction_problems",
    "Goal.get_transaction_problems_string", "rpm.Rpm.list", "rpm.Rpm.list_fd", "rpm.Repo.list", "Offline.get_status",
    "Advisory.list", "comps.Group.list", "comps.Environment.list", "History.recent_changes", "History.list",
}


def dnf(what, interface, member, types="", *args):
    MEMBERS.add(f"{interface}.{member}")
    tried("dnf5daemon: " + what, DNF, session, f"{DNF}.{interface}", member, types, *args)


def transaction(what, member, types, *args):
    """Marks something, resolves it, and tries to have it done, now and at the next boot."""
    MEMBERS.add("rpm.Rpm." + member)
    call(DNF, session, DNF + ".Goal", "reset")
    _, error = call(DNF, session, DNF + ".rpm.Rpm", member, types, *args)
    if error and "uthoriz" in error:
        print("dnf5daemon: " + what, error, sep="\t", flush=True)
        return
    reply, error = call(DNF, session, DNF + ".Goal", "resolve", "a{sv}", 0)
    if error or sd.sd_bus_message_enter_container(reply, ctypes.c_char(b"a"), b"(sssa{sv}a{sv})") < 1 or sd.sd_bus_message_at_end(reply, 0):
        print("dnf5daemon: " + what, "NOTHING: dnf itself refuses it", sep="\t", flush=True)
        return
    dnf(what, "Goal", "do_transaction", "a{sv}", 1, "interactive", "b", 0)
    dnf(what + ", offline", "Goal", "do_transaction", "a{sv}", 2, "interactive", "b", 0, "offline", "b", 1)


driver, kernel, tool = sys.argv[1:4]
transaction("install a driver", "install", "asa{sv}", 1, driver, 0)
transaction("install anything", "install", "asa{sv}", 1, tool, 0)
transaction("remove the kernel", "remove", "asa{sv}", 1, kernel, 0)
transaction("remove driverd, and with it polkit's rule", "remove", "asa{sv}", 1, "driverd", 0)
transaction("reinstall", "reinstall", "asa{sv}", 1, kernel, 0)
transaction("downgrade", "downgrade", "asa{sv}", 1, "driverd", 0)
transaction("upgrade", "upgrade", "asa{sv}", 1, "kernel-core", 0)
transaction("distro-sync", "distro_sync", "asa{sv}", 0, 0)
transaction("system-upgrade", "system_upgrade", "a{sv}", 1, "interactive", "b", 0)
dnf("enable a repository, as it was called", "rpm.Repo", "enable", "as", 1, "lab")
dnf("disable a repository, as it was called", "rpm.Repo", "disable", "as", 1, "lab")
dnf("import a key, as it was called", "rpm.Repo", "confirm_key", "sb", "0", 1)
for what in "all", "packages", "metadata", "dbcache":
    dnf(f"clean {what}, as it was called", "Base", "clean", "s", what)
dnf("cancel an offline transaction, as it was called", "Offline", "cancel")
dnf("clean an offline transaction, as it was called", "Offline", "clean")
dnf("reboot at the end of it, as it was called", "Offline", "set_finish_action", "s", "reboot")
dnf("enable a repository", "rpm.Repo", "enable_with_options", "asa{sv}", 1, "lab", 1, "interactive", "b", 0)
dnf("disable a repository", "rpm.Repo", "disable_with_options", "asa{sv}", 1, "lab", 1, "interactive", "b", 0)
dnf("import a key", "rpm.Repo", "confirm_key_with_options", "sba{sv}", "0", 1, 1, "interactive", "b", 0)
for what in "all", "packages", "metadata", "dbcache":
    dnf("clean " + what, "Base", "clean_with_options", "sa{sv}", what, 1, "interactive", "b", 0)
dnf("schedule a transaction for the next boot", "Offline", "schedule_for_next_boot", "a{sv}", 1, "interactive", "b", 0)
dnf("cancel an offline transaction", "Offline", "cancel_with_options", "a{sv}", 1, "interactive", "b", 0)
dnf("clean an offline transaction", "Offline", "clean_with_options", "a{sv}", 1, "interactive", "b", 0)
dnf("reboot at the end of it", "Offline", "set_finish_action_with_options", "sa{sv}", "reboot", 1, "interactive", "b", 0)

reply, _ = call(DNF, session, "org.freedesktop.DBus.Introspectable", "Introspect")
for interface in ElementTree.fromstring(read(reply, "s")).iter("interface"):
    name = interface.get("name").removeprefix(DNF + ".")
    for method in interface.iter("method"):
        if interface.get("name").startswith(DNF) and f"{name}.{method.get('name')}" not in MEMBERS:
            print(f"untried: {name}.{method.get('name')}", "", sep="\t", flush=True)

SYSTEMD, PATH = "org.freedesktop.systemd1", "/org/freedesktop/systemd1"


def systemd(what, member, types="", *args):
    tried("systemd: " + what, SYSTEMD, PATH, SYSTEMD + ".Manager", member, types, *args)


JOBS = {
    "start": "StartUnit", "stop": "StopUnit", "restart": "RestartUnit", "try-restart": "TryRestartUnit", "reload": "ReloadUnit",
    "reload-or-restart": "ReloadOrRestartUnit", "reload-or-try-restart": "ReloadOrTryRestartUnit",
}
units = sys.stdin.read().split()
# On these, what does the same by another way, and is asked of polkit by the same words, is tried too.
FEW = "driverd.service", "dnf5daemon-server.service", "polkit.service", "dbus.service"
own = "driverd-load@0000:7f:00.0.service", "driverd-install@999.service"
VENDOR = "driverd-vendor@enable-nvidia-open.service", "driverd-vendor@disable-nvidia-open.service"
for unit in units + list(own):
    for verb, member in JOBS.items():
        if verb == "start" and unit in own or verb not in ("start", "stop") and not unit.endswith(".service"):
            continue
        systemd(f"{verb} {unit}", member, "ss", unit, "replace")
    systemd("kill " + unit, "KillUnit", "ssi", unit, "all", signal.SIGWINCH)
    if not unit.endswith(".service"):
        continue
    systemd("freeze " + unit, "FreezeUnit", "s", unit)
    systemd("thaw " + unit, "ThawUnit", "s", unit)
    systemd("reset-failed " + unit, "ResetFailedUnit", "s", unit)
    systemd("clean " + unit, "CleanUnit", "sas", unit, 1, "all")
    systemd("set-property " + unit, "SetUnitProperties", "sba(sv)", unit, 1, 1, "CPUWeight", "t", ctypes.c_uint64(7))
    systemd("bind-a-file-into " + unit, "BindMountUnit", "sssbb", unit, "/etc", "/mnt", 1, 0)
    if unit not in FEW + own:
        continue
    for verb in "restart", "try-restart", "stop", "reload", "reload-or-start":
        systemd(f"enqueue-{verb} {unit}", "EnqueueUnitJob", "sss", unit, verb, "replace")
    systemd("mount-an-image-into " + unit, "MountImageUnit", "sssbba(ss)", unit, "/tmp/x.raw", "/mnt", 1, 0, 0)
    systemd("queue-a-signal-to " + unit, "QueueSignalUnit", "ssii", unit, "all", 34, 0)
    systemd("hold " + unit, "RefUnit", "s", unit)
    reply, error = call(SYSTEMD, PATH, SYSTEMD + ".Manager", "LoadUnit", "s", unit)
    if error:
        continue
    it = read(reply, "o")
    for verb in "Stop", "Restart", "Reload":
        tried(f"systemd: itself-{verb} {unit}", SYSTEMD, it, SYSTEMD + ".Unit", verb, "s", "replace")
    tried(f"systemd: itself-Kill {unit}", SYSTEMD, it, SYSTEMD + ".Unit", "Kill", "si", "all", signal.SIGWINCH)
    tried(f"systemd: itself-ResetFailed {unit}", SYSTEMD, it, SYSTEMD + ".Unit", "ResetFailed")
    tried(f"systemd: itself-SetProperties {unit}", SYSTEMD, it, SYSTEMD + ".Unit", "SetProperties", "ba(sv)", 1, 1, "CPUWeight", "t", ctypes.c_uint64(7))
for unit in (
    *VENDOR, "driverd-load@.service", "driverd-load@x.service", "driverd-load@0000:7f:00.0.service.d", "driverd-install@.service", "driverd-install@0.service",
    "driverd-install@-1.service", "driverd-install@x.service", "driverd-install@..-etc.service", "driverd-install@1.socket",
    "driverd-install@1234567890.service", "driverd-installer@1.service",
):
    systemd("start " + unit, "StartUnit", "ss", unit, "replace")
systemd("start in the place of the bus", "StartUnitReplace", "sss", "dbus.service", "ssh.service", "replace")
# A unit of one's own under the name of one that may be started.
systemd("a transient driverd-install@998.service", "StartTransientUnit", "ssa(sv)a(sa(sv))", "driverd-install@998.service", "replace",
        1, "ExecStart", "a(sasb)", 1, "/usr/bin/touch", 2, "/usr/bin/touch", "/run/owned", 0, 0)
systemd("a transient unit", "StartTransientUnit", "ssa(sv)a(sa(sv))", "owned.service", "replace",
        1, "ExecStart", "a(sasb)", 1, "/usr/bin/touch", 2, "/usr/bin/touch", "/run/owned", 0, 0)
for what, member in {"reload": "Reload", "reexec": "Reexecute", "reboot": "Reboot", "power off": "PowerOff", "halt": "Halt", "kexec": "KExec",
                     "exit": "Exit"}.items():
    systemd(what, member)
for unit in own:
    systemd("start alone " + unit, "StartUnit", "ss", unit, "isolate")
systemd("cancel a job", "CancelJob", "u", 1)
systemd("cancel all jobs", "ClearJobs")
systemd("reset all failures", "ResetFailed")
systemd("unset the environment", "UnsetEnvironment", "as", 1, "PATH")
systemd("reboot what is not the kernel", "SoftReboot", "s", "")
systemd("exit with a status", "SetExitCode", "y", 1)
systemd("enable again", "ReenableUnitFiles", "asbb", 1, "driverd.service", 0, 1)
systemd("revert", "RevertUnitFiles", "as", 1, "driverd.service")
systemd("preset all", "PresetAllUnitFiles", "sbb", "full", 0, 1)
systemd("add a dependency", "AddDependencyUnitFiles", "asssbb", 1, "rescue.target", "multi-user.target", "Wants", 0, 1)
systemd("move a process", "AttachProcessesToUnit", "ssau", "driverd.service", "", 1, 1)
systemd("switch root", "SwitchRoot", "ss", "/mnt", "/bin/sh")
systemd("set the environment", "SetEnvironment", "as", 1, "LD_PRELOAD=/tmp/x.so")
systemd("enable", "EnableUnitFiles", "asbb", 1, "driverd-preinstall.service", 0, 1)
systemd("disable", "DisableUnitFiles", "asb", 1, "driverd.service", 0)
systemd("mask", "MaskUnitFiles", "asbb", 1, "driverd.service", 0, 1)
systemd("link", "LinkUnitFiles", "asbb", 1, "/tmp/x.service", 0, 1)
systemd("preset", "PresetUnitFiles", "asbb", 1, "driverd.service", 0, 1)
systemd("set the default target", "SetDefaultTarget", "sb", "rescue.target", 1)
for unit in own:
    tried("may: start " + unit, SYSTEMD, PATH, SYSTEMD + ".Manager", "StartUnit", "ss", unit, "replace")
