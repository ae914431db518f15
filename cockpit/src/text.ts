// SPDX-License-Identifier: Apache-2.0

/** Translates. What the bus says is shown as it says it. */
export const _ = cockpit.gettext;

const locale = cockpit.language.replace("_", "-");
const times = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" });

/** A time of the bus: realtime microseconds. */
export function time(microseconds: number): string {
    return times.format(new Date(microseconds / 1000));
}

export function clock(at: Date): string {
    return at.toLocaleTimeString(locale);
}

export function list(texts: string[]): string {
    return texts.join(", ");
}

/** The sizes of packages, and of how much is fetched. */
export function sizes(download: number, install: number): string {
    return cockpit.format(_("$0 to download, $1 when installed"), cockpit.format_bytes(download), cockpit.format_bytes(install));
}
