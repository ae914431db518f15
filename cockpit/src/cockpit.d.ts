// SPDX-License-Identifier: Apache-2.0

// What the page uses of Cockpit's API (guide: "API: cockpit.js"). The running Cockpit
// brings it as base1/cockpit.js; no package of npm has its types.

declare namespace Cockpit {
    /** A D-Bus value whose type the signature of the method does not say. */
    interface Variant { t: string; v: unknown }

    /** Why a call failed: an error of D-Bus's, or what has become of the channel. */
    interface DBusError { name: string | null; message: string; problem: string | null }

    interface DBusClient {
        call(path: string, iface: string, method: string, args: unknown[], options: { type: string }): Promise<unknown[]>;
        subscribe(match: { path_namespace?: string; interface?: string; member?: string },
            callback: (path: string, iface: string, signal: string, args: unknown[]) => void): void;
        addEventListener(event: "owner", listener: (event: unknown, owner: string | null) => void): void;
        addEventListener(event: "close", listener: (event: unknown, options: { problem?: string }) => void): void;
        close(): void;
    }

    interface Permission {
        /** null until it is known. */
        allowed: boolean | null;
        addEventListener(event: "changed", listener: () => void): void;
    }
}

declare const cockpit: {
    dbus(name: string, options: { bus: "system"; superuser: "try" }): Cockpit.DBusClient;
    variant(type: string, value: unknown): Cockpit.Variant;
    /** Reloads the page when the session gets or loses the rights. */
    permission(options: { admin: true }): Cockpit.Permission;
    gettext(text: string): string;
    format(format: string, ...args: unknown[]): string;
    format_bytes(bytes: number): string;
    message(problem: { problem?: string }): string;
    translate(): void;
    language: string;
};
