// SPDX-License-Identifier: Apache-2.0

import { Button } from "@patternfly/react-core/dist/esm/components/Button/index.js";
import { Card, CardBody, CardTitle } from "@patternfly/react-core/dist/esm/components/Card/index.js";
import { Label } from "@patternfly/react-core/dist/esm/components/Label/index.js";
import { Progress } from "@patternfly/react-core/dist/esm/components/Progress/index.js";
import { Flex, FlexItem } from "@patternfly/react-core/dist/esm/layouts/Flex/index.js";
import { Stack } from "@patternfly/react-core/dist/esm/layouts/Stack/index.js";

import type { Act } from "./failures";
import type { Job } from "./model";
import type { Service, View } from "./service";
import { _, list } from "./text";

/** How many of the jobs that have ended are shown: the history has all. */
const ended = 3;

interface Props {
    view: View;
    service: Service;
    act: Act;
}

export function Jobs({ view, service, act }: Props) {
    const running = view.jobs.filter(job => job.State === "running");
    const shown = [...running, ...view.jobs.filter(job => job.State !== "running").slice(0, ended)];
    if (shown.length === 0)
        return null;
    return (
        <Card component="section">
            <CardTitle component="h2">{_("Jobs")}</CardTitle>
            <CardBody>
                <Stack hasGutter component="ul" className="jobs">
                    {shown.map(job => (
                        <li key={job.path}>
                            {job.State === "running"
                                ? <Running job={job} onCancel={() => void act(_("Cannot cancel the job"), service.cancel(job))} />
                                : <Ended job={job} />}
                        </li>
                    ))}
                </Stack>
            </CardBody>
        </Card>
    );
}

function subject(job: Job): string {
    return list(job.Packages) || _("Drivers of installed packages");
}

function Running({ job, onCancel }: { job: Job; onCancel: () => void }) {
    const bytes = job.BytesTotal > 0
        ? cockpit.format(_("$0 of $1"), cockpit.format_bytes(job.BytesDone), cockpit.format_bytes(job.BytesTotal))
        : "";
    return (
        <Flex alignItems={{ default: "alignItemsCenter" }} flexWrap={{ default: "wrap", md: "nowrap" }}>
            <FlexItem grow={{ default: "grow" }} className="progress">
                <Progress title={subject(job)} aria-label={subject(job)} value={Math.round(job.Progress * 100)}
                    helperText={[job.Phase, bytes].filter(each => each).join(" · ")} />
            </FlexItem>
            <Button variant="secondary" aria-label={cockpit.format(_("Cancel $0"), subject(job))} onClick={onCancel}>{_("Cancel")}</Button>
        </Flex>
    );
}

function Ended({ job }: { job: Job }) {
    return (
        <>
            <Label color={job.Reason ? "orange" : "grey"}>{job.State}</Label> {subject(job)}
            {job.Message && <p className="message">{job.Message}</p>}
        </>
    );
}
