// SPDX-License-Identifier: Apache-2.0

// The objects of org.fedoraproject.Driverd1, as api/org.fedoraproject.Driverd1.xml describes them.

export interface Manager {
    Version: string;
    KernelRelease: string;
    Platform: string;
    Backend: string;
    Status: string;
    Reason: string;
    Message: string;
    Mode: string;
    Counts: Record<string, number>;
    NextKernel: { Release?: string; Ready?: boolean; Message?: string; Packages?: string[] };
}

export interface Device {
    Slot: string;
    Modalias: string;
    Vendor: string;
    Product: string;
    Group: string;
    State: string;
    Reason: string;
    Message: string;
    Driver: string;
    Modules: string[];
    Packages: string[];
    Job: string;
    Timeline: [step: string, time: number][];
    Functions: string[];
    Children: [path: string, modalias: string, driver: string][];
}

export interface Job {
    path: string;
    State: string;
    Phase: string;
    Progress: number;
    BytesDone: number;
    BytesTotal: number;
    Packages: string[];
    Devices: string[];
    Reason: string;
    Message: string;
}

export interface Package {
    NEVRA: string;
    Repository: string;
    Group: string;
    Installed: boolean;
    DownloadSize: number;
    InstallSize: number;
}

export interface Plan {
    Packages: Package[];
    DownloadSize: number;
    InstallSize: number;
}

/** A driver from outside the kernel's build that is for a device. */
export interface Vendor {
    Name: string;
    Enabled: boolean;
    /** What it is, and what there is of it, a sentence each. */
    Texts: string[];
}

export interface Entry {
    Time: number;
    Action: string;
    Origin: string;
    Packages: string[];
    Slots: string[];
    State: string;
    Reason: string;
    Message: string;
}

/** The path of no object. */
export const none = "/";

// What would reach beyond its place in a text: control characters, and those that
// change the direction of what follows.
const unprintable = /[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

function isVariant(value: object): value is Cockpit.Variant {
    return "t" in value && "v" in value && Object.keys(value).length === 2;
}

/** Returns a value of the bus without its variants, and its texts fit to be shown. */
export function plain(value: unknown): unknown {
    if (typeof value === "string")
        return value.replace(unprintable, "\ufffd");
    if (Array.isArray(value))
        return value.map(plain);
    if (typeof value !== "object" || value === null)
        return value;
    if (isVariant(value))
        return plain(value.v);
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plain(each)]));
}

/** How a device is called: by its names, as far as they are known. */
export function title(device: Device): string {
    return [device.Vendor, device.Product].filter(name => name !== "").join(" ") || device.Slot;
}
