// SPDX-License-Identifier: Apache-2.0

import { plain, type Device, type Entry, type Job, type Manager, type Plan, type Vendor } from "./model";
import { startUnit } from "./systemd";
import { _ } from "./text";

const busName = "org.fedoraproject.Driverd1";
const channel = { bus: "system", superuser: "try" } as const;
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

async function ask(client: Cockpit.DBusClient, path: string, iface: string, method: string, type: string, ...args: unknown[]): Promise<unknown> {
    try {
        const [reply] = await client.call(path, iface, method, args, { type });
        return plain(reply);
    } catch (error) {
        const failure = error as Cockpit.DBusError;
        failure.message = plain(failure.message) as string;
        throw failure;
    }
}

/**
 * A client of the driver service, which reads it anew whenever it has sent a signal: a
 * signal says that something has changed, and never what. A call by the service's name
 * starts it, so it is read by the name of its process: one with nothing to do is to rest,
 * and one that is being stopped is to stop.
 */
export class Service {
    private client: Cockpit.DBusClient;
    /** The process that has the service's name; null while none has it. */
    private process: Cockpit.DBusClient | null = null;
    private known: Known = { view: null, running: false, problem: "" };
    private reading = false;
    private stale = false;

    constructor(private show: (known: Known) => void) {
        this.client = this.open();
    }

    /** Opens a channel by the service's name, which starts it. */
    private open(): Cockpit.DBusClient {
        const client = cockpit.dbus(busName, channel);
        client.addEventListener("owner", (_event, owner) => {
            this.follow(owner);
            this.learn({ running: !!owner, problem: "" });
        });
        client.addEventListener("close", (_event, options) => {
            if (client === this.client)
                this.learn({ running: false, problem: problemOf(options) });
        });
        return client;
    }

    private follow(owner: string | null) {
        this.process?.close();
        this.process = owner ? cockpit.dbus(owner, channel) : null;
        this.process?.subscribe({ path_namespace: root }, () => void this.read());
        void this.read();
    }

    /** Reads the service, which starts it, by a new channel if the last one is closed. */
    again() {
        const last = this.client;
        this.client = this.open();
        last.close();
    }

    close() {
        this.show = () => undefined;
        this.client.close();
        this.process?.close();
    }

    /** Who tells what is so now: the process while there is one, or else the one that a call starts. */
    private get teller(): Cockpit.DBusClient {
        return this.process ?? this.client;
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
        while (this.stale && this.process) {
            const process = this.process;
            this.stale = false;
            try {
                this.learn({ view: await this.look(process), problem: "" });
            } catch (error) {
                // Whoever ends it, or starts it anew, is no problem: its name comes back.
                const { message, name } = error as Cockpit.DBusError;
                if (process === this.process)
                    this.learn({ problem: message });
                this.stale ||= name === busy;
            }
            await new Promise(done => window.setTimeout(done, pause));
        }
        this.reading = false;
    }

    private async look(process: Cockpit.DBusClient): Promise<View> {
        const [objects, manager] = await Promise.all([
            ask(process, root, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", "") as Promise<Objects>,
            ask(process, root, "org.freedesktop.DBus.Properties", "GetAll", "s", managerInterface) as Promise<Manager>,
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

    plan(selectors: string[]): Promise<Plan> {
        return ask(this.client, root, managerInterface, "Plan", "asa{sv}", selectors, {}) as Promise<Plan>;
    }

    async install(selectors: string[], downloadOnly: boolean) {
        const options = downloadOnly ? { "download-only": cockpit.variant("b", true) } : {};
        await ask(this.client, root, managerInterface, "Install", "asa{sv}", selectors, options);
    }

    async cancel(job: Job) {
        await ask(this.client, job.path, jobInterface, "Cancel", "a{sv}", {});
    }

    async rescan() {
        await ask(this.client, root, managerInterface, "Rescan", "a{sv}", {});
    }

    async setMode(mode: string) {
        await ask(this.client, root, managerInterface, "SetMode", "sa{sv}", mode, {});
    }

    /** The drivers from outside the kernel's build that are for a device. */
    async vendors(slot: string): Promise<Vendor[]> {
        const why = await ask(this.teller, root, managerInterface, "Explain", "sa{sv}", slot, {}) as { Vendors: Vendor[] };
        return why.Vendors;
    }

    /** Enables or disables one. The service may not: a unit does it, which root has started. */
    async setVendor(verb: "enable" | "disable", name: string) {
        await startUnit(`driverd-vendor@${verb}-${name}.service`);
    }

    history(): Promise<Entry[]> {
        return ask(this.teller, root, managerInterface, "History", "a{sv}", {}) as Promise<Entry[]>;
    }
}
