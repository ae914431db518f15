// SPDX-License-Identifier: Apache-2.0

import { useState } from "react";

import { Button } from "@patternfly/react-core/dist/esm/components/Button/index.js";
import { Card, CardBody, CardHeader, CardTitle } from "@patternfly/react-core/dist/esm/components/Card/index.js";
import { DescriptionList } from "@patternfly/react-core/dist/esm/components/DescriptionList/index.js";
import { Dropdown, DropdownItem, DropdownList } from "@patternfly/react-core/dist/esm/components/Dropdown/index.js";
import { Label } from "@patternfly/react-core/dist/esm/components/Label/index.js";
import { MenuToggle } from "@patternfly/react-core/dist/esm/components/MenuToggle/index.js";
import { Flex } from "@patternfly/react-core/dist/esm/layouts/Flex/index.js";

import type { Act } from "./failures";
import type { Service, View } from "./service";
import { Term } from "./term";
import { _ } from "./text";

interface Props {
    view: View;
    service: Service;
    act: Act;
    onInstall: () => void;
}

export function Overview({ view: { manager }, service, act, onInstall }: Props) {
    const [looking, setLooking] = useState(false);
    const rescan = async () => {
        setLooking(true);
        await act(_("Cannot look for devices again"), service.rescan());
        setLooking(false);
    };
    const counts = Object.entries(manager.Counts).filter(([, count]) => count > 0);
    const actions = (
        <Flex>
            <Mode mode={manager.Mode} onChoose={mode => void act(_("Cannot change the mode"), service.setMode(mode))} />
            <Button variant="secondary" isLoading={looking} isDisabled={looking} onClick={() => void rescan()}>{_("Rescan")}</Button>
            <Button variant="primary" onClick={onInstall}>{_("Install drivers…")}</Button>
        </Flex>
    );
    return (
        <Card component="section">
            <CardHeader actions={{ actions, hasNoOffset: true }} hasWrap>
                <CardTitle component="h1">{_("Drivers")}</CardTitle>
            </CardHeader>
            <CardBody>
                <DescriptionList columnModifier={{ default: "1Col", md: "2Col", xl: "3Col" }}>
                    <Term name={_("Service")}>
                        <Label color={manager.Reason ? "orange" : "green"}>{manager.Status}</Label>
                        {manager.Message && <p className="message">{manager.Message}</p>}
                    </Term>
                    <Term name={_("Devices")}>
                        {counts.length === 0 ? _("none") : (
                            <Flex spaceItems={{ default: "spaceItemsXs" }}>
                                {counts.map(([state, count]) => <Label key={state} variant="outline">{`${state}: ${count}`}</Label>)}
                            </Flex>
                        )}
                    </Term>
                    <Term name={_("Running kernel")}>{manager.KernelRelease}</Term>
                    <Term name={_("Platform")}>{manager.Platform}</Term>
                    <Term name={_("Package manager")}>{manager.Backend}</Term>
                    <Term name={_("Version of driverd")}>{manager.Version}</Term>
                </DescriptionList>
            </CardBody>
        </Card>
    );
}

/** What the service may do by itself. */
function Mode({ mode, onChoose }: { mode: string; onChoose: (mode: string) => void }) {
    const [open, setOpen] = useState(false);
    return (
        <Dropdown isOpen={open} onOpenChange={setOpen} popperProps={{ position: "right" }}
            onSelect={(_event, chosen) => {
                setOpen(false);
                onChoose(String(chosen));
            }}
            toggle={ref => (
                <MenuToggle ref={ref} isExpanded={open} onClick={() => setOpen(!open)}>
                    {cockpit.format(_("Mode: $0"), mode)}
                </MenuToggle>
            )}>
            <DropdownList>
                <DropdownItem value="auto" description={_("Install and load what the devices need")}>auto</DropdownItem>
                <DropdownItem value="observe" description={_("Only report what would be done")}>observe</DropdownItem>
                <DropdownItem value="" description={_("Follow the configuration of this guest")}>{_("as configured")}</DropdownItem>
            </DropdownList>
        </Dropdown>
    );
}
