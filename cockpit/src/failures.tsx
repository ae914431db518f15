// SPDX-License-Identifier: Apache-2.0

import { useState } from "react";

import { Alert, AlertActionCloseButton, AlertGroup } from "@patternfly/react-core/dist/esm/components/Alert/index.js";

import { isDenied } from "./service";
import { _ } from "./text";

export interface Failure {
    id: number;
    title: string;
    error: Cockpit.DBusError;
}

/** Does something on the bus; title says what could not be done if it fails. */
export type Act = (title: string, done: Promise<unknown>) => Promise<void>;

export function useFailures(): [Failure[], Act, (failure: Failure) => void] {
    const [failures, setFailures] = useState<Failure[]>([]);
    const act: Act = async (title, done) => {
        try {
            await done;
        } catch (error) {
            setFailures(before => [...before, { id: (before.at(-1)?.id ?? 0) + 1, title, error: error as Cockpit.DBusError }]);
        }
    };
    return [failures, act, failure => setFailures(before => before.filter(each => each !== failure))];
}

/** Why something failed, in the service's words, and how to get the rights if it is for them. */
export function Why({ error }: { error: Cockpit.DBusError }) {
    return (
        <>
            <p>{error.message}</p>
            {isDenied(error) && <p>{_("Turn on administrative access at the top of the window, and try again.")}</p>}
        </>
    );
}

export function FailureList({ failures, onClose }: { failures: Failure[]; onClose: (failure: Failure) => void }) {
    return (
        <AlertGroup isLiveRegion className="failures">
            {failures.map(failure => (
                <Alert key={failure.id} isInline variant="danger" title={failure.title}
                    actionClose={<AlertActionCloseButton onClose={() => onClose(failure)} />}>
                    <Why error={failure.error} />
                </Alert>
            ))}
        </AlertGroup>
    );
}
