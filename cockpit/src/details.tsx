// SPDX-License-Identifier: Apache-2.0

import { DescriptionList } from "@patternfly/react-core/dist/esm/components/DescriptionList/index.js";

import type { Act } from "./failures";
import type { Device } from "./model";
import type { Service } from "./service";
import { Term } from "./term";
import { _, list } from "./text";
import { Vendors } from "./vendors";

interface Props {
    device: Device;
    service: Service;
    act: Act;
}

/** All else that the service says of a device. */
export function Details({ device, service, act }: Props) {
    const first = device.Timeline[0]?.[1] ?? 0;
    const seconds = new Intl.NumberFormat(cockpit.language.replace("_", "-"), { minimumFractionDigits: 2, maximumFractionDigits: 2 });
    return (
        <DescriptionList isCompact columnModifier={{ default: "1Col", md: "2Col" }}>
            <Term name={_("Identity")}><span className="identity">{device.Modalias}</span></Term>
            {device.Group && <Term name={_("Group")}>{device.Group}</Term>}
            {device.Modules.length > 0 && <Term name={_("Modules")}>{list(device.Modules)}</Term>}
            {device.Packages.length > 0 && (
                <Term name={_("Packages")}>{device.Packages.map(each => <div key={each}>{each}</div>)}</Term>
            )}
            <Vendors device={device} service={service} act={act} />
            {device.Children.length > 0 && (
                <Term name={_("Devices below it")}>
                    <ul>
                        {device.Children.map(([path, , driver]) => (
                            <li key={path}>{driver ? cockpit.format(_("$0: $1"), path, driver) : cockpit.format(_("$0: no driver"), path)}</li>
                        ))}
                    </ul>
                </Term>
            )}
            {device.Timeline.length > 0 && (
                <Term name={_("What happened when")}>
                    <ol>
                        {device.Timeline.map(([step, at]) => (
                            <li key={step}>{cockpit.format(_("$0: after $1 s"), step, seconds.format((at - first) / 1e6))}</li>
                        ))}
                    </ol>
                </Term>
            )}
        </DescriptionList>
    );
}
