// SPDX-License-Identifier: Apache-2.0

import { useEffect, useRef, useState } from "react";

import { title, type Device } from "./model";
import { list } from "./text";

/** Says to a screen reader what has become of the devices whose state has changed. */
export function Announcer({ devices }: { devices: Device[] }) {
    const before = useRef<Map<string, string> | null>(null);
    const [said, setSaid] = useState("");
    useEffect(() => {
        const states = new Map(devices.map(device => [device.Slot, device.State]));
        const last = before.current ?? states;
        const changed = devices.filter(device => last.get(device.Slot) !== device.State);
        before.current = states;
        if (changed.length > 0)
            setSaid(list(changed.map(device => `${title(device)}: ${device.State}`)));
    }, [devices]);
    return <div className="pf-v6-u-screen-reader announcer" role="status">{said}</div>;
}
