// SPDX-License-Identifier: Apache-2.0

import { useState, type FormEvent } from "react";

import { Alert } from "@patternfly/react-core/dist/esm/components/Alert/index.js";
import { Button } from "@patternfly/react-core/dist/esm/components/Button/index.js";
import { Checkbox } from "@patternfly/react-core/dist/esm/components/Checkbox/index.js";
import { Form, FormGroup, FormHelperText } from "@patternfly/react-core/dist/esm/components/Form/index.js";
import { HelperText, HelperTextItem } from "@patternfly/react-core/dist/esm/components/HelperText/index.js";
import { Modal, ModalBody, ModalFooter, ModalHeader } from "@patternfly/react-core/dist/esm/components/Modal/index.js";
import { TextInput } from "@patternfly/react-core/dist/esm/components/TextInput/index.js";
import { Table, Tbody, Td, Th, Thead, Tr } from "@patternfly/react-table/dist/esm/components/Table/index.js";

import { Why } from "./failures";
import type { Plan } from "./model";
import type { Service } from "./service";
import { _, sizes } from "./text";

interface Props {
    service: Service;
    selectors: string;
    onClose: () => void;
}

/** The dialogue that shows what would be installed, and installs that. */
export function Install({ service, selectors, onClose }: Props) {
    const [text, setText] = useState(selectors);
    const [plan, setPlan] = useState<Plan | null>(null);
    const [downloadOnly, setDownloadOnly] = useState(false);
    const [busy, setBusy] = useState(false);
    const [error, setError] = useState<Cockpit.DBusError | null>(null);
    const wanted = text.split(/\s+/).filter(each => each !== "");

    const ask = async (done: () => Promise<void>) => {
        setBusy(true);
        setError(null);
        try {
            await done();
        } catch (error) {
            setError(error as Cockpit.DBusError);
        }
        setBusy(false);
    };
    const makePlan = () => ask(async () => setPlan(await service.plan(wanted)));
    const install = () => ask(async () => {
        await service.install(wanted, downloadOnly);
        onClose();
    });
    const submit = (event: FormEvent) => {
        event.preventDefault();
        void (plan ? install() : makePlan());
    };
    const change = (to: string) => {
        setText(to);
        setPlan(null); // it is about something else
    };

    return (
        <Modal isOpen variant="medium" onClose={onClose} aria-labelledby="install-title">
            <ModalHeader title={_("Install drivers")} labelId="install-title" />
            <ModalBody>
                <Form id="install" onSubmit={submit}>
                    <FormGroup label={_("For what")} fieldId="selectors">
                        <TextInput id="selectors" value={text} isDisabled={busy} aria-describedby="selectors-help" onChange={(_event, to) => change(to)} />
                        <FormHelperText>
                            <HelperText id="selectors-help">
                                <HelperTextItem>
                                    {_("Slots (0000:01:00.0), vendor and product (8086:10c9), groups (sriov, gpu, passthrough, hardware) or modules (kmod(igb.ko)), with spaces between them. Leave it empty for all that the devices of this guest need.")}
                                </HelperTextItem>
                            </HelperText>
                        </FormHelperText>
                    </FormGroup>
                    {error && <Alert isInline variant="danger" title={plan ? _("Cannot install this") : _("Cannot plan this")}><Why error={error} /></Alert>}
                    {plan && <Planned plan={plan} />}
                    {plan && (
                        <Checkbox id="download-only" label={_("Only download the packages")} isChecked={downloadOnly} isDisabled={busy}
                            onChange={(_event, checked) => setDownloadOnly(checked)} />
                    )}
                </Form>
            </ModalBody>
            <ModalFooter>
                <Button variant="primary" type="submit" form="install" isLoading={busy} isDisabled={busy}>
                    {plan ? _("Install") : _("Plan")}
                </Button>
                <Button variant="link" onClick={onClose}>{_("Close")}</Button>
            </ModalFooter>
        </Modal>
    );
}

function Planned({ plan }: { plan: Plan }) {
    return (
        <div role="status">
            {plan.Packages.length === 0 ? <p>{_("Nothing is to be installed.")}</p> : (
                <Table aria-label={_("Packages")} variant="compact" gridBreakPoint="grid-md">
                    <Thead>
                        <Tr>
                            <Th width={50}>{_("Package")}</Th>
                            <Th>{_("Repository")}</Th>
                            <Th>{_("Download")}</Th>
                            <Th>{_("Installed size")}</Th>
                        </Tr>
                    </Thead>
                    <Tbody>
                        {plan.Packages.map(each => (
                            <Tr key={each.NEVRA}>
                                <Td dataLabel={_("Package")} modifier="breakWord">{each.NEVRA}</Td>
                                <Td dataLabel={_("Repository")}>{each.Installed ? _("installed already") : each.Repository}</Td>
                                <Td dataLabel={_("Download")}>{cockpit.format_bytes(each.DownloadSize)}</Td>
                                <Td dataLabel={_("Installed size")}>{cockpit.format_bytes(each.InstallSize)}</Td>
                            </Tr>
                        ))}
                    </Tbody>
                </Table>
            )}
            <p className="message">{sizes(plan.DownloadSize, plan.InstallSize)}</p>
        </div>
    );
}
