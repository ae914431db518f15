// SPDX-License-Identifier: Apache-2.0

package driverd_test

// The packages of others by which driverd reaches beyond its own process.
const (
	godbus   = "github.com/godbus/dbus/v5"
	systemd  = "github.com/coreos/go-systemd/v22/dbus"
	notify   = "github.com/coreos/go-systemd/v22/daemon"
	journald = "github.com/coreos/go-systemd/v22/journal"
	goudev   = "github.com/jochenvg/go-udev"
	renameio = "github.com/google/renameio/v2"
	unixes   = "golang.org/x/sys/unix"
)

// writes lists the calls of driverd that can change something outside of it, by
// file, or by the folder of a package; and what they change. A call is a function,
// "exec PROGRAM", or the path of a package of which the file may use everything.
var writes = []struct {
	path, what string
	calls      []string
}{
	{"api/client.go", "asks the service over the bus", []string{
		godbus + ".Connect", godbus + ".ConnectSystemBus", "(*" + godbus + ".Conn).AddMatchSignalContext", "(*" + godbus + ".Conn).SendWithContext",
	}},
	{"cmd/driverd/agent.go", "polkit's agent, which asks for a password", []string{"exec pkttyagent", "(*os.Process).Signal"}},
	{"cmd/driverd/metrics.go", "a file that somebody names, as whoever that is", []string{renameio, "os.Chtimes"}},
	{"cmd/driverd/preinstall.go", "what was done, before the service runs", []string{"os.MkdirAll", renameio}},
	{"cmd/driverd/preinstall_report.go", "a log that somebody names", []string{"os.OpenFile"}},
	{"cmd/driverd/vendor.go", "the two files that enable a vendor's driver, as root, or has systemd ask for that", []string{
		"exec systemctl", "os.MkdirAll", "os.Remove", renameio,
	}},
	{"cmd/driverd/vendor_prove.go", "a command of an administrator's drop-in, as nobody, when somebody types so", []string{"exec ?"}},
	{"daemon/bus/polkit.go", "asks polkit over the bus", []string{
		"(*" + godbus + ".Conn).BusObject", "(*" + godbus + ".Conn).Object", "(" + godbus + ".BusObject).CallWithContext",
	}},
	{"daemon/bus/server.go", "the service's name and its signals", []string{
		godbus + ".NewConn", "(*" + godbus + ".Conn).Auth", "(*" + godbus + ".Conn).Emit", "(*" + godbus + ".Conn).Hello",
		"(*" + godbus + ".Conn).ReleaseName", "(*" + godbus + ".Conn).RequestName",
	}},
	{"daemon/bus/wire.go", "the bus, over its socket", []string{"(*net.Dialer).DialContext", "(net.Conn).Write"}},
	{"daemon/install/line.go", "talks to the service, on a socket in /run/driverd/jobs", []string{"(net.Conn).Write", "net.Dial"}},
	{"daemon/install/listener.go", "the socket in /run/driverd/jobs", []string{"net.Listen", "os.Chmod", "os.Remove"}},
	{"daemon/install/backend.go", "takes requests away from /run/driverd/jobs", []string{"os.Remove"}},
	{"daemon/install/request.go", "requests in /run/driverd/jobs", []string{"os.WriteFile"}},
	{"daemon/journal/writer.go", "the journal", []string{journald}},
	{"daemon/load/early.go", "a module root in the unit's private /tmp, and kmod's commands, each named where output is called", []string{
		"exec ?", "os.MkdirAll", "os.MkdirTemp", "os.RemoveAll", "os.Symlink", "os.WriteFile",
	}},
	{"daemon/load/hold.go", "holds of load steps, in /run/driverd/hold", []string{"os.Remove", "os.WriteFile"}},
	{"daemon/load/offer.go", "drivers_probe of sysfs, which passes over a device that has a driver", []string{"os.OpenFile", "(*os.File).WriteString"}},
	{"internal/outcome", "/run/driverd/load and /run/driverd/install", []string{"os.Remove", "os.Rename", "os.WriteFile"}},
	{"daemon/load/step.go", "the modules of the kernel: it is told to load, and never to remove", []string{"exec /sbin/modprobe"}},
	{"daemon/units/units.go", "has systemd start the steps", []string{systemd}},
	{"daemon/outside/watch.go", "a socket of rtnetlink that is only listened to", []string{unixes + ".Bind", unixes + ".Socket"}},
	{"daemon/state", "/var/lib/driverd, and what is remembered at rest", []string{renameio, "os.Remove", "os.Rename"}},
	{"dnfbridge/command.go", "dnf5's cache and its plan in /tmp, and the packages of an image", []string{"exec dnf5", "os.MkdirTemp", "os.RemoveAll", "os.WriteFile"}},
	{"dnfbridge/dnf5.go", "the bus, for dnf5daemon", []string{godbus + ".ConnectSystemBus"}},
	{"dnfbridge/flush.go", "has the kernel write to the disk what others have written", []string{unixes + ".Syncfs"}},
	{"dnfbridge/signature.go", "rpmkeys, which checks signatures", []string{"exec /usr/bin/rpmkeys"}},
	{"dnfbridge/stop.go", "has systemd stop dnf5daemon", []string{
		"(*" + godbus + ".Conn).BusObject", "(*" + godbus + ".Conn).AddMatchSignalContext", "(*" + godbus + ".Conn).Object", "(" + godbus + ".BusObject).CallWithContext",
	}},
	{"dnfbridge/session.go", "dnf5daemon's sessions", []string{
		"(*" + godbus + ".Conn).BusObject", "(*" + godbus + ".Conn).Object", "(" + godbus + ".BusObject).Go",
	}},
	{"hwdetect/sysfs/folder.go", "opens folders of a recorded tree, for reading", []string{unixes + ".Openat2"}},
	{"hwdetect/udev/udev.go", "a socket of udev that is only listened to", []string{goudev}},
	{"internal/image/image.go", "a repository of packages, in the tree of an image", []string{"exec createrepo_c", "os.MkdirAll", renameio}},
	{"internal/report/record.go", "a folder that somebody names, as whoever that is", []string{"os.MkdirAll", "os.OpenRoot"}},
	{"internal/report/recorder.go", "files below that folder; journalctl only reads", []string{
		"exec journalctl", "(*os.Root).MkdirAll", "(*os.Root).OpenFile", "(*os.Root).Symlink", "(*os.File).Write",
	}},
	{"internal/report/parts.go", "that folder as well", []string{"(*os.Root).Symlink"}},
	{"internal/service/rest.go", "tells systemd that it is about to end", []string{notify}},
	{"internal/service/barrier.go", "asks systemd whether it has taken in what it was told", []string{unixes + ".Sendmsg", unixes + ".Socket"}},
	{"internal/service/inactive.go", "tells systemd how it is", []string{notify}},
	{"internal/tree/tree.go", "opens for reading alone", []string{"os.OpenFile", "os.OpenRoot", "(*os.Root).OpenFile"}},
	{"internal/service/service.go", "tells systemd how it is", []string{
		notify, unixes + ".Prctl", // of its own process
	}},
}

// inert lists the packages that change nothing by themselves. What writes by them
// has got hold of a file elsewhere.
var inert = []string{
	"bufio", "bytes", "cmp", "compress/gzip", "context", "crypto/sha256", "debug/pe", "embed", "encoding/binary", "encoding/hex", "encoding/json", "encoding/xml",
	"errors", "fmt", "hash", "io", "io/fs", "iter", "maps", "math", "math/rand/v2", "net/netip", "path", "path/filepath", "reflect",
	"regexp", "slices", "sort", "strconv", "strings", "sync", "sync/atomic", "text/tabwriter", "time", "unicode", "unicode/utf16", "unicode/utf8",
	"github.com/pelletier/go-toml/v2", "github.com/pelletier/go-toml/v2/unstable",
	godbus + "/introspect",
	"github.com/rs/zerolog", // to standard error, or to the journal by daemon/journal
}

// harmless lists the functions of other packages that change nothing.
var harmless = map[string][]string{
	"net": {
		"(*IPNet).String", "(*Interface).Addrs", "(*UnixConn).SyscallConn", "(Conn).Close", "(Conn).Read", "(Conn).SetReadDeadline",
		"(Conn).SetWriteDeadline", "(IP).IsGlobalUnicast", "(Listener).Accept", "Interfaces", "ParseMAC",
	},
	"os": {
		"(*File).Close", "(*File).Fd", "(*File).Name", "(*File).Read", "(*File).ReadDir", "(*File).Readdirnames", "(*File).SetReadDeadline", "(*File).Stat", "(*Root).Close", "(*Root).FS", "(*Root).Readlink",
		"(*Root).Stat", "DirFS",
		"Exit", "Getenv", "Geteuid", "Getpid", "Lstat", "IsTimeout", "NewFile", "Open", "Pipe", "ReadDir", "ReadFile", "Readlink", "Stat",
	},
	"os/exec":       {"(*Cmd).CombinedOutput", "(*Cmd).Output", "(*Cmd).Run", "(*Cmd).Start", "(*Cmd).Wait"}, // what runs was judged
	"os/user":       {"Lookup"},
	"os/signal":     {"Notify", "NotifyContext", "Stop"},
	"runtime":       {"GOMAXPROCS"},
	"runtime/debug": {"FreeOSMemory", "Stack"},
	"syscall":       {"(Errno).Error", "(RawConn).Control", "NetlinkRIB", "ParseNetlinkMessage", "ParseNetlinkRouteAttr"},

	godbus: {
		"(*Call).Store", "(*Conn).Close", "(*Conn).Context", "(*Message).EncodeTo", "(*Message).Serial", "DecodeMessage",
		"UnescapeBusAddressValue", "(*Conn).RemoveSignal", "(*Conn).Signal", "(Error).Error", "(ObjectPath).IsValid",
		"(Signature).String", "(Variant).Signature", "(Variant).Store", "(Variant).Value", "MakeVariant", "SignatureOf", "Store",
		"WithContext", "WithHandler", "WithMatchArg", "WithMatchInterface", "WithMatchMember", "WithMatchPathNamespace", "WithMatchSender",
		"WithSignalHandler",
	},
	"github.com/spf13/cobra": {
		"(*Command).AddCommand", "(*Command).Context", "(*Command).ExecuteContext", "(*Command).Flags", "(*Command).SetArgs",
		"(*Command).MarkFlagsMutuallyExclusive", "(*Command).PersistentFlags", "(*Command).RegisterFlagCompletionFunc", "(*Command).SetErr", "(*Command).SetOut", "ExactArgs", "FixedCompletions", "MaximumNArgs", "NoArgs",
	},
	"github.com/spf13/pflag": {"(*FlagSet).BoolVar", "(*FlagSet).BoolVarP", "(*FlagSet).Changed", "(*FlagSet).DurationVar", "(*FlagSet).IntVarP", "(*FlagSet).Lookup", "(*FlagSet).MarkHidden", "(*FlagSet).StringSliceVar", "(*FlagSet).StringVar"},
	unixes: {
		"(*Timespec).Nano", "Access", "ByteSliceToString", "ClockGettime", "Close", "Fstat", "Fstatat", "GetsockoptUcred", "InotifyAddWatch", "InotifyInit1",
		"IoctlGetTermios", "IoctlGetWinsize", "Lstat", "Read", "Readlinkat", "Seek", "SetNonblock", "Statfs", "Sysinfo", "Uname", "UnixRights",
	},
}
