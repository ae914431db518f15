// SPDX-License-Identifier: Apache-2.0

import { useEffect, useState } from "react";

import { Alert } from "@patternfly/react-core/dist/esm/components/Alert/index.js";
import { Button } from "@patternfly/react-core/dist/esm/components/Button/index.js";
import { EmptyState } from "@patternfly/react-core/dist/esm/components/EmptyState/index.js";
import { Page, PageSection } from "@patternfly/react-core/dist/esm/components/Page/index.js";
import { Spinner } from "@patternfly/react-core/dist/esm/components/Spinner/index.js";
import { Stack } from "@patternfly/react-core/dist/esm/layouts/Stack/index.js";

import { Announcer } from "./announcer";
import { Devices } from "./devices";
import { FailureList, useFailures } from "./failures";
import { History } from "./history";
import { Install } from "./install";
import { Jobs } from "./jobs";
import { NextKernel } from "./nextkernel";
import { Overview } from "./overview";
import { Service, type Known } from "./service";
import { _, clock } from "./text";

const unknown: Known = { view: null, running: false, problem: "" };

/** The service, and what is known of it. */
function useService(): [Service | null, Known] {
    const [service, setService] = useState<Service | null>(null);
    const [known, setKnown] = useState(unknown);
    useEffect(() => {
        const opened = new Service(setKnown);
        setService(opened);
        return () => opened.close();
    }, []);
    return [service, known];
}

/** Says whether the session lacks Cockpit's administrative access. */
function useLimited(): boolean {
    const [limited, setLimited] = useState(false);
    useEffect(() => {
        const permission = cockpit.permission({ admin: true });
        permission.addEventListener("changed", () => setLimited(permission.allowed === false));
    }, []);
    return limited;
}

export function App() {
    const [service, { view, running, problem }] = useService();
    const limited = useLimited();
    const [failures, act, dismiss] = useFailures();
    // What the dialogue begins with; null while it is closed.
    const [selectors, setSelectors] = useState<string | null>(null);

    const ask = <Button variant="link" isInline onClick={() => service?.again()}>{_("Ask it now")}</Button>;
    let notice = null;
    if (problem)
        notice = <Alert isInline variant="danger" title={_("The driver service cannot be reached")} actionLinks={ask}>{problem}</Alert>;
    else if (view && !running)
        notice = (
            <Alert isInline variant="info" title={_("The driver service is not running now")} actionLinks={ask}>
                {cockpit.format(_("It rests while there is nothing to do, and starts when a device comes. This is what it showed at $0."), clock(view.read))}
            </Alert>
        );

    if (!service || !view)
        return (
            <Page className="no-masthead">
                <PageSection variant="secondary">
                    {notice ?? <EmptyState titleText={_("Reading the devices")} headingLevel="h1" icon={Spinner} />}
                </PageSection>
            </Page>
        );
    return (
        <Page className="no-masthead">
            <PageSection variant="secondary" aria-label={_("Drivers")}>
                <Stack hasGutter>
                    <FailureList failures={failures} onClose={dismiss} />
                    {notice}
                    {limited && (
                        <Alert isInline isPlain variant="info" title={_("You have limited access")}>
                            {_("To install drivers or to change anything, turn on administrative access at the top of the window.")}
                        </Alert>
                    )}
                    <Overview view={view} service={service} act={act} onInstall={() => setSelectors("")} />
                    <NextKernel next={view.manager.NextKernel} />
                    <Jobs view={view} service={service} act={act} />
                    <Devices devices={view.devices} service={service} act={act} onInstall={setSelectors} />
                    <History view={view} running={running} service={service} />
                </Stack>
            </PageSection>
            {selectors !== null && <Install service={service} selectors={selectors} onClose={() => setSelectors(null)} />}
            <Announcer devices={view.devices} />
        </Page>
    );
}
