// SPDX-License-Identifier: Apache-2.0

import { useEffect, useState } from "react";

import { Button } from "@patternfly/react-core/dist/esm/components/Button/index.js";
import { Label } from "@patternfly/react-core/dist/esm/components/Label/index.js";

import type { Act } from "./failures";
import type { Device, Vendor } from "./model";
import type { Service } from "./service";
import { Term } from "./term";
import { _ } from "./text";

interface Props {
    device: Device;
    service: Service;
    act: Act;
}

/** The drivers from outside the kernel's build that are for a device, if there are any. */
export function Vendors({ device, service, act }: Props) {
    const [vendors, setVendors] = useState<Vendor[]>([]);
    const [changing, setChanging] = useState("");
    useEffect(() => {
        if (changing !== "")
            return undefined; // they are read when that has ended
        let gone = false;
        void act(_("Cannot look for drivers of vendors"), service.vendors(device.Slot).then(found => {
            if (!gone)
                setVendors(found);
        }));
        return () => {
            gone = true;
        };
    }, [service, device.Slot, device.State, device.Message, changing]);
    if (vendors.length === 0)
        return null;

    const change = async ({ Name, Enabled }: Vendor) => {
        setChanging(Name);
        await act(cockpit.format(Enabled ? _("Cannot disable $0") : _("Cannot enable $0"), Name), service.setVendor(Enabled ? "disable" : "enable", Name));
        setChanging("");
    };
    return (
        <Term name={_("From outside the kernel")}>
            <ul>
                {vendors.map(vendor => (
                    <li key={vendor.Name}>
                        {vendor.Name} <Label color={vendor.Enabled ? "green" : "grey"}>{vendor.Enabled ? _("enabled") : _("disabled")}</Label>
                        {vendor.Texts.map(text => <p key={text} className="message">{text}</p>)}
                        <div className="message">
                            <Button variant="secondary" size="sm" isLoading={changing === vendor.Name} isDisabled={changing !== ""}
                                onClick={() => void change(vendor)}>
                                {cockpit.format(vendor.Enabled ? _("Disable $0") : _("Enable $0"), vendor.Name)}
                            </Button>
                        </div>
                    </li>
                ))}
            </ul>
        </Term>
    );
}
