// SPDX-License-Identifier: Apache-2.0

import { Card, CardBody, CardTitle } from "@patternfly/react-core/dist/esm/components/Card/index.js";
import { DescriptionList } from "@patternfly/react-core/dist/esm/components/DescriptionList/index.js";
import { Label } from "@patternfly/react-core/dist/esm/components/Label/index.js";

import type { Manager } from "./model";
import { Term } from "./term";
import { _ } from "./text";

/** The kernel that starts next, if that is another one. */
export function NextKernel({ next }: { next: Manager["NextKernel"] }) {
    if (!next.Release)
        return null;
    return (
        <Card component="section">
            <CardTitle component="h2">{_("Next kernel")}</CardTitle>
            <CardBody>
                <DescriptionList columnModifier={{ default: "1Col", md: "2Col" }}>
                    <Term name={_("Release")}>{next.Release}</Term>
                    <Term name={_("Drivers")}>
                        <Label color={next.Ready ? "green" : "orange"}>{next.Ready ? _("ready") : _("not ready")}</Label>
                        {next.Message && <p className="message">{next.Message}</p>}
                    </Term>
                    {next.Packages && next.Packages.length > 0 && (
                        <Term name={_("Packages that it lacks")}>
                            {next.Packages.map(each => <div key={each}>{each}</div>)}
                        </Term>
                    )}
                </DescriptionList>
            </CardBody>
        </Card>
    );
}
