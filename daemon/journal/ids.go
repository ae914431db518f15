// SPDX-License-Identifier: Apache-2.0

package journal

import "driverd/reason"

// ids are the MESSAGE_IDs, by what an entry is about. units/driverd.catalog
// explains them. An id is never used for anything else again; for a new one,
// systemd-id128 new.
var ids = map[string]string{
	// The ways of a device.
	"device-added":   "d1af189b4bf94fc7bb2e409ce68bd6e5",
	"device-removed": "94527d2e45ca4e049cf078e4575635dc",
	"pending":        "513cfe35279440e58306e5e06de8e323",
	"installing":     "7b438cdb1a6b4b559c1d7c10d8f1673e",
	"loading":        "459af6afbd4e43ed86b45aced1eeb812",
	"bound":          "a6261f514bc14aa2b456f0684b103a7f",

	// Jobs and the catalog.
	"job-started":           "0304403446544ed3b5ea0941f937bd0c",
	"job-done":              "308c43317a5c4923aa932247c4cd8b67",
	"job-failed":            "b17e777f9fa44f9aa55bf9af3ff9f212",
	"job-requested":         "8ba3e5c0f1c746ef9480f690e550c73c",
	"job-cancelled":         "fd3ffa5aa0714c49a2e5c9f690d15c6e",
	"catalog-learned":       "8d56d49c855845e3936cc364fd648429",
	"catalog-failed":        "3c4427f59e654fb9bf66002977d21703",
	"catalog-not-kept":      "1c76538e8594473c890d5563c4e74edc",
	"history-unreadable":    "fb2d3b57076a4c1591f4d8f9b9f87de6",
	"history-not-kept":      "156ca4041961415199cbaa8c2227598f",
	"install-interrupted":   "63f559ca06d34c0c98a2636eb53f374c",
	"unfinished-unreadable": "1c841dc1b30c40b39e19c7718ed65f00",
	"unfinished-not-kept":   "3ef7eb1cdbeb47a1b508eeb1db9adf21",

	// At rest.
	"at-rest":         "31a7d9518fde453fb0452f19fb91a118",
	"not-at-rest":     "74bc226b4d3e4278b40676a93b11f53f",
	"rest-unreadable": "c1ca991776b3404d9ec3b0014e27b6d8",

	// What is wrong with the guest or the service itself.
	"hardware-unreadable": "369846fc50c24416b0ee2c4abcd2b826",
	"packages-incomplete": "f672f941cfe445849a984141c337d4b5",
	"backend-not-stopped": "f917e4d3ab94479cadfe19b0b540b768",
	"firmware-not-had":    "f0e0123f847549e7b78ccb7d80c23de1",
	"packages-changed":    "43f3d0cee69347c181c566ab99ae9ce0",
	"config-read":         "23bcc58ea4fd4455a352253636b45eae",
	"config-wrong":        "3a160b14bbbc40569a8b7e8158fd367e",
	"mode-set":            "8adb04c2faa34e8d838831b05315eeea",
	"vendor-changed":      "2f6c1be0a1f74d0f8d63c9a45e7b1208",
	"mode-unreadable":     "79f2cd690a6249cab977a494c5c404f4",
	"inactive":            "3a9fbe5dd2ec4902be5c0a6fe3ba10cf",
	"udevd-missing":       "6639c9791dc243cbbcb97257c97bcac1",
	"udev-monitor-broken": "d554096eedfd455eb173798c9187e47c",
	"watch-broken":        "b6d8cd2afaa548f9b28e3a356613692c",
	"method-failed":       "f92c49c09b304a33ace5c741d9cec805",
	"service-failed":      "ed11de4a54db4fff85ce374326d67820",
	"systemd-unreachable": "cc05c1537b084925828db9397239d1af",
	"load-failed":         "a8b6e19450fb4294857d3b3fbaece21d",
	"install-failed":      "f95dcc34cce24cd7b6b975f48ffed6e0",

	// The reasons. Their order is that of driverd(8), which is made from them.
	string(reason.NoDriver):           "b91ec348c4114bf3bf15a72a097efcde",
	string(reason.NoPackage):          "0aea65991cd642a8b83d5d786a5bf23f",
	string(reason.Excluded):           "5020741745824d568d0c363c55d13ab7",
	string(reason.StaleKernel):        "759a517872734d4ca34a77d0215093bb",
	string(reason.RepoUnreachable):    "41f0ecb7243b42ac8d4617f1d4a2c5c4",
	string(reason.BackendMissing):     "a209f2e70324400ea34d8964a0ae0497",
	string(reason.BackendBusy):        "75d92a56c99840f69a07e49607fd787e",
	string(reason.NotAuthorized):      "17344a9034df41ba9da7c986e37fbea7",
	string(reason.TransactionRefused): "38c80a8ba1cb4f2cb312d58989b3d7fc",
	string(reason.TransactionFailed):  "897927ca306d4e64974af2f1ea821f6e",
	string(reason.UntrustedPackage):   "5b67763061ce4769a6e8742dd8eeb1f4",
	string(reason.NoSpace):            "486ef22b249d4468882f673dbb49e182",
	string(reason.Policy):             "1fa3c15a5bc0482e85f5217c9555c959",
	string(reason.ObserveOnly):        "aecc2cf3af444519903adc392757f7c3",
	string(reason.Blacklisted):        "8ce9e0500bd04678aabdf1cca83fb9d4",
	string(reason.ModulesDisabled):    "00aa6e4ca40c43209f0126d660507da2",
	string(reason.KeyRejected):        "f8112a922bf740d6a777eca4b7ded609",
	string(reason.Lockdown):           "c34f3329635a40c1a155961b26d8a83e",
	string(reason.DriverOverride):     "033cf4bd4bac4b6eba0bdc942d5a124c",
	string(reason.Unbound):            "4d3f0e9b7c1a4f86a2d5b8c60e9f1374",
	string(reason.FirmwareMissing):    "c0d09d5242dd44b2b0e27ddcd3d35b75",
	string(reason.ProbeFailed):        "1a39d4c2c5e545a59d164fcdbcd254ed",
	string(reason.ForeignKernel):      "3417d20059cc48b5b9b789f97d131553",
	string(reason.Container):          "7ebef0fa91804dacbc94c15e183ed223",
	string(reason.NoModuleSupport):    "e2772611f7b14afeb0f078befdca612d",
	string(reason.ImageMode):          "29ae6c9dcb8748fca6feab1cadc0ce6f",
	string(reason.VendorDriver):       "6b3e1f0a94d24c7d8c0b5a7f2e91d463",
}

// idOf returns the MESSAGE_ID of an entry with these fields. What went wrong
// says more to a person than where it did; a device's state is news by itself.
func idOf(fields map[string]any) string {
	for _, name := range []string{"reason", "event", "state"} {
		if about, _ := fields[name].(string); ids[about] != "" {
			return ids[about]
		}
	}
	return ""
}
