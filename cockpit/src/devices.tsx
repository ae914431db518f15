// SPDX-License-Identifier: Apache-2.0

import { useState } from "react";

import { Button } from "@patternfly/react-core/dist/esm/components/Button/index.js";
import { Card, CardBody, CardTitle } from "@patternfly/react-core/dist/esm/components/Card/index.js";
import { EmptyState } from "@patternfly/react-core/dist/esm/components/EmptyState/index.js";
import { Label, type LabelProps } from "@patternfly/react-core/dist/esm/components/Label/index.js";
import { ExpandableRowContent, Table, Tbody, Td, Th, Thead, Tr } from "@patternfly/react-table/dist/esm/components/Table/index.js";

import { Details } from "./details";
import type { Act } from "./failures";
import { none, title, type Device } from "./model";
import type { Service } from "./service";
import { _ } from "./text";

interface Props {
    devices: Device[];
    service: Service;
    act: Act;
    onInstall: (selector: string) => void;
}

/** The devices: first those with which something is to be done, or is being done; last those that are left alone. */
export function Devices({ devices, service, act, onInstall }: Props) {
    const [open, setOpen] = useState<ReadonlySet<string>>(new Set());
    const toggle = (slot: string) => setOpen(before => {
        const after = new Set(before);
        if (!after.delete(slot))
            after.add(slot);
        return after;
    });
    const sorted = [...devices].sort((a, b) => rank(a) - rank(b));
    return (
        <Card component="section">
            <CardTitle component="h2">{_("Devices")}</CardTitle>
            <CardBody>
                {devices.length === 0 && <EmptyState titleText={_("The service shows no devices")} headingLevel="h3" variant="sm" />}
                {devices.length > 0 && (
                    <Table aria-label={_("Devices")} gridBreakPoint="grid-lg" variant="compact" isExpandable>
                        <Thead>
                            <Tr>
                                <Th screenReaderText={_("Details")} />
                                <Th width={35}>{_("Device")}</Th>
                                <Th width={35}>{_("State")}</Th>
                                <Th width={10}>{_("Driver")}</Th>
                                <Th width={20}>{_("Gives")}</Th>
                            </Tr>
                        </Thead>
                        {sorted.map((device, row) => (
                            <Row key={device.Slot} device={device} service={service} act={act} row={row} isOpen={open.has(device.Slot)}
                                onToggle={() => toggle(device.Slot)} onInstall={() => onInstall(device.Slot)} />
                        ))}
                    </Table>
                )}
            </CardBody>
        </Card>
    );
}

/** Says whether a device has no driver because somebody has decided so, or as a part of the machine itself. */
function isLeftAlone(device: Device): boolean {
    return ["policy", "driver-override", "unbound"].includes(device.Reason);
}

function rank(device: Device): number {
    if (device.Job !== none)
        return 0;
    if (device.Driver)
        return 1;
    return isLeftAlone(device) ? 2 : 0;
}

function color(device: Device): NonNullable<LabelProps["color"]> {
    if (device.Job !== none)
        return "blue";
    if (device.Driver)
        return "green";
    return device.Reason && !isLeftAlone(device) ? "orange" : "grey";
}

interface RowProps {
    device: Device;
    service: Service;
    act: Act;
    row: number;
    isOpen: boolean;
    onToggle: () => void;
    onInstall: () => void;
}

function Row({ device, service, act, row, isOpen, onToggle, onInstall }: RowProps) {
    const name = title(device);
    return (
        <Tbody isExpanded={isOpen}>
            <Tr>
                <Td expand={{ rowIndex: row, isExpanded: isOpen, onToggle, expandId: "device" }} />
                <Td dataLabel={_("Device")} modifier="breakWord">
                    <div>
                        <bdi>{name}</bdi>
                        {name !== device.Slot && <div className="secondary">{device.Slot}</div>}
                    </div>
                </Td>
                <Td dataLabel={_("State")} modifier="breakWord">
                    <div>
                        <Label color={color(device)}>{device.State}</Label>
                        {device.Reason && <> {device.Reason}</>}
                        {device.Message && <p className="message">{device.Message}</p>}
                        {device.Reason === "vendor-driver" && !isOpen && (
                            <Button variant="link" isInline aria-label={cockpit.format(_("Show the drivers for $0"), device.Slot)} onClick={onToggle}>
                                {_("Show the drivers…")}
                            </Button>
                        )}
                        {device.Driver === "" && device.Job === none && device.Reason !== "vendor-driver" && (
                            <Button variant="link" isInline aria-label={cockpit.format(_("Install a driver for $0"), device.Slot)} onClick={onInstall}>
                                {_("Install a driver…")}
                            </Button>
                        )}
                    </div>
                </Td>
                <Td dataLabel={_("Driver")}>{device.Driver}</Td>
                <Td dataLabel={_("Gives")} modifier="breakWord">
                    {device.Functions.length > 0 && <div>{device.Functions.map(each => <div key={each}>{each}</div>)}</div>}
                </Td>
            </Tr>
            <Tr isExpanded={isOpen}>
                <Td colSpan={5}>
                    {isOpen && <ExpandableRowContent><Details device={device} service={service} act={act} /></ExpandableRowContent>}
                </Td>
            </Tr>
        </Tbody>
    );
}
