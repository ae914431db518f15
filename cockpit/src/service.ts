// SPDX-License-Identifier: Apache-2.0

import { plain, type Device, type Entry, type Job, type Manager, type Plan, type Vendor } from "./model";
import { startUnit } from "./systemd";
import { _ } from "./text";

const busName = "org.fedoraproject.Driverd1";
const root = "/org/fedoraproject/Driverd1";
const managerInterface = busName + ".Manager";
const deviceInterface = busName + ".Device";
const jobInterface = busName + ".Job";

/** How long nothing is read after a reading, in ms: signals come in swarms. */
const pause = 500;

const busy = busName + ".Error.Busy";

const denied = [
    "org.freedesktop.DBus.Error.AccessDenied",
    "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired",
];

/** What the service showed when it was last read. */
export interface View {
    manager: Manager;
    devices: Device[];
    /** The newest first. */
    jobs: Job[];
    read: Date;
}

/** What is known of the service. */
export interface Known {
    view: View | null;
    /** It has its name on the bus. */
    running: boolean;
    /** Why it cannot be read, empty if it can. */
    problem: string;
}

type Objects = Record<string, Record<string, object>>;

/** Says of an error whether it is about rights. */
export function isDenied(error: Cockpit.DBusError): boolean {
    return denied.includes(error.name ?? "");
}

/** Says why a channel has been closed; Cockpit has no sentence for a service that is not there. */
function problemOf(options: { problem?: string }): string {
    if (options.problem === "not-found")
        return _("It is not installed, or it cannot be started: its log says why.");
    return cockpit.message(options);
}

/**
 * A client of the driver service, which reads it anew whenever it has sent a signal: a
 * signal says that something has changed, and never what. It does not read a service that
 * has ended, since a call starts it: one with nothing to do is to rest.
 */
export class Service {
    private client: Cockpit.DBusClient;
    private known: Known = { view: null, running: false, problem: "" };
    private reading = false;
    private stale = false;

    constructor(private show: (known: Known) => void) {
        this.client = this.open();
        void this.read();
    }

    private open(): Cockpit.DBusClient {
        const client = cockpit.dbus(busName, { bus: "system", superuser: "try" });
        client.addEventListener("owner", (_event, owner) => {
            this.learn({ running: !!owner, problem: "" });
            if (owner)
                void this.read();
        });
        client.addEventListener("close", (_event, options) => {
            if (client === this.client)
                this.learn({ running: false, problem: problemOf(options) });
        });
        client.subscribe({ path_namespace: root }, () => void this.read());
        return client;
    }

    /** Reads the service, which starts it, by a new channel if the last one is closed. */
    again() {
        const last = this.client;
        this.client = this.open();
        last.close();
        void this.read();
    }

    close() {
        this.show = () => undefined;
        this.client.close();
    }

    private learn(what: Partial<Known>) {
        this.known = { ...this.known, ...what };
        this.show(this.known);
    }

    private async read() {
        this.stale = true;
        if (this.reading)
            return;
        this.reading = true;
        while (this.stale) {
            this.stale = false;
            try {
                this.learn({ view: await this.look(), running: true, problem: "" });
            } catch (error) {
                // Whoever ends it, or starts it anew, is no problem: its name comes back.
                const { message, name } = error as Cockpit.DBusError;
                this.learn({ problem: this.known.running || !this.known.view ? message : "" });
                this.stale ||= name === busy;
            }
            await new Promise(done => window.setTimeout(done, pause));
        }
        this.reading = false;
    }

    private async look(): Promise<View> {
        const [objects, manager] = await Promise.all([
            this.call(root, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", "") as Promise<Objects>,
            this.call(root, "org.freedesktop.DBus.Properties", "GetAll", "s", managerInterface) as Promise<Manager>,
        ]);
        const devices: Device[] = [];
        const jobs: Job[] = [];
        for (const [path, interfaces] of Object.entries(objects)) {
            if (interfaces[deviceInterface])
                devices.push(interfaces[deviceInterface] as Device);
            if (interfaces[jobInterface])
                jobs.push({ ...interfaces[jobInterface], path } as Job);
        }
        devices.sort((a, b) => a.Slot.localeCompare(b.Slot));
        jobs.sort((a, b) => b.path.localeCompare(a.path, undefined, { numeric: true }));
        return { manager, devices, jobs, read: new Date() };
    }

    private async call(path: string, iface: string, method: string, type: string, ...args: unknown[]): Promise<unknown> {
        try {
            const [reply] = await this.client.call(path, iface, method, args, { type });
            return plain(reply);
        } catch (error) {
            const failure = error as Cockpit.DBusError;
            failure.message = plain(failure.message) as string;
            throw failure;
        }
    }

    plan(selectors: string[]): Promise<Plan> {
        return this.call(root, managerInterface, "Plan", "asa{sv}", selectors, {}) as Promise<Plan>;
    }

    async install(selectors: string[], downloadOnly: boolean) {
        const options = downloadOnly ? { "download-only": cockpit.variant("b", true) } : {};
        await this.call(root, managerInterface, "Install", "asa{sv}", selectors, options);
    }

    async cancel(job: Job) {
        await this.call(job.path, jobInterface, "Cancel", "a{sv}", {});
    }

    async rescan() {
        await this.call(root, managerInterface, "Rescan", "a{sv}", {});
    }

    async setMode(mode: string) {
        await this.call(root, managerInterface, "SetMode", "sa{sv}", mode, {});
    }

    /** The drivers from outside the kernel's build that are for a device. */
    async vendors(slot: string): Promise<Vendor[]> {
        const why = await this.call(root, managerInterface, "Explain", "sa{sv}", slot, {}) as { Vendors: Vendor[] };
        return why.Vendors;
    }

    /** Enables or disables one. The service may not: a unit does it, which root has started. */
    async setVendor(verb: "enable" | "disable", name: string) {
        await startUnit(`driverd-vendor@${verb}-${name}.service`);
    }

    history(): Promise<Entry[]> {
        return this.call(root, managerInterface, "History", "a{sv}", {}) as Promise<Entry[]>;
    }
}
