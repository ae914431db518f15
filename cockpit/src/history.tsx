// SPDX-License-Identifier: Apache-2.0

import { useEffect, useState } from "react";

import { Alert } from "@patternfly/react-core/dist/esm/components/Alert/index.js";
import { Button } from "@patternfly/react-core/dist/esm/components/Button/index.js";
import { Card, CardBody, CardTitle } from "@patternfly/react-core/dist/esm/components/Card/index.js";
import { Label } from "@patternfly/react-core/dist/esm/components/Label/index.js";
import { Table, Tbody, Td, Th, Thead, Tr } from "@patternfly/react-table/dist/esm/components/Table/index.js";

import type { Entry } from "./model";
import type { Service, View } from "./service";
import { _, list, time } from "./text";

/** How many entries are shown at first, and how many more each time. */
const page = 10;

interface Props {
    view: View;
    running: boolean;
    service: Service;
}

/** What was done; read anew when something that is noted there may have changed, of a service that runs. */
export function History({ view, running, service }: Props) {
    const [entries, setEntries] = useState<Entry[]>([]);
    const [problem, setProblem] = useState("");
    const [shown, setShown] = useState(page);
    const mark = [view.manager.Mode, ...view.jobs.map(job => job.path + job.State), ...view.devices.map(device => device.Slot + device.State)].join();
    useEffect(() => {
        if (!running)
            return undefined;
        let current = true;
        service.history().then(
            read => current && (setEntries(read), setProblem("")),
            (error: Cockpit.DBusError) => current && setProblem(error.message));
        return () => { current = false };
    }, [service, running, mark]);
    return (
        <Card component="section">
            <CardTitle component="h2">{_("History")}</CardTitle>
            <CardBody>
                {problem && <Alert isInline variant="warning" title={_("Cannot read the history")}>{problem}</Alert>}
                {!problem && entries.length === 0 && _("Nothing was done yet.")}
                {entries.length > 0 && (
                    <Table aria-label={_("History")} gridBreakPoint="grid-lg" variant="compact">
                        <Thead>
                            <Tr>
                                <Th width={15}>{_("When")}</Th>
                                <Th width={15}>{_("What")}</Th>
                                <Th width={10}>{_("Who asked")}</Th>
                                <Th width={25}>{_("Of")}</Th>
                                <Th width={35}>{_("How it ended")}</Th>
                            </Tr>
                        </Thead>
                        <Tbody>
                            {entries.slice(0, shown).map(entry => (
                                <Tr key={`${entry.Time} ${entry.Action}`}>
                                    <Td dataLabel={_("When")} modifier="nowrap">{time(entry.Time)}</Td>
                                    <Td dataLabel={_("What")}>{entry.Action}</Td>
                                    <Td dataLabel={_("Who asked")}>{entry.Origin}</Td>
                                    <Td dataLabel={_("Of")} modifier="breakWord">{list(entry.Packages) || list(entry.Slots)}</Td>
                                    <Td dataLabel={_("How it ended")} modifier="breakWord">
                                        <div>
                                            <Label color={entry.Reason ? "orange" : "grey"}>{entry.State}</Label>
                                            {entry.Message && <p className="message">{entry.Message}</p>}
                                        </div>
                                    </Td>
                                </Tr>
                            ))}
                        </Tbody>
                    </Table>
                )}
                {entries.length > shown && <Button variant="link" onClick={() => setShown(shown + page)}>{_("Show more")}</Button>}
            </CardBody>
        </Card>
    );
}
