// SPDX-License-Identifier: Apache-2.0

import { _ } from "./text";

const busName = "org.freedesktop.systemd1";
const path = "/org/freedesktop/systemd1";
const managerInterface = busName + ".Manager";

/** Asks systemd for its signals. All pages share one connection, so another one may have asked. */
async function subscribe(client: Cockpit.DBusClient) {
    try {
        await client.call(path, managerInterface, "Subscribe", [], { type: "" });
    } catch (error) {
        if ((error as Cockpit.DBusError).name !== busName + ".AlreadySubscribed")
            throw error;
    }
}

/** Starts a unit, and waits until systemd has done so: for the end of one of Type=oneshot. */
export async function startUnit(unit: string) {
    const client = cockpit.dbus(busName, { bus: "system", superuser: "try" });
    try {
        const result = new Promise<unknown>((done, failed) => {
            client.subscribe({ interface: managerInterface, member: "JobRemoved" }, (_path, _interface, _signal, args) => {
                const [, , name, result] = args;
                if (name === unit)
                    done(result);
            });
            client.addEventListener("close", (_event, options) => failed(new Error(cockpit.message(options))));
        });
        result.catch(() => undefined); // a call that fails is told of by itself, and closes the client
        await subscribe(client);
        await client.call(path, managerInterface, "StartUnit", [unit, "replace"], { type: "ss" });
        if (await result !== "done")
            throw new Error(cockpit.format(_("$0 has failed: the log of this unit says why."), unit));
    } finally {
        client.close();
    }
}
