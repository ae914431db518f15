// SPDX-License-Identifier: Apache-2.0
//
// browser.mjs MODULES FRAME: a person at a browser, who does what lines of JSON on
// standard input say, and answers each with a line: {"value": ...} or {"error": ...}.
// MODULES is the folder of node_modules with playwright-core and axe-core; FRAME the
// name of the frame that a step is about, if it does not say "top".

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [modules, frameName] = process.argv.slice(2);
const require = createRequire(`${modules}/`);
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
let page;

/** The frame itself, which is another one after each reload. */
const frame = () => {
    const found = page.frame({ name: frameName });
    if (!found)
        throw new Error(`there is no frame ${frameName}`);
    return found;
};

/** What a step is about: a role and its name, a text, or an id; in a row with a text if it says so. */
function find({ top, row, role, name, text, css }) {
    let base = top ? page : page.frameLocator(`iframe[name="${frameName}"]`);
    if (row)
        base = base.getByRole("row").filter({ hasText: row });
    if (role)
        return base.getByRole(role, name ? { name } : {}).first();
    return (css ? base.locator(css) : base.getByText(text)).first();
}

/** Waits in the page until it has taken a look on, and no colour changes any more. */
async function still() {
    for (let i = 0; i < 2; i++)
        await new Promise(requestAnimationFrame);
    const ends = document.getAnimations().filter(a => a.effect.getComputedTiming().endTime !== Infinity);
    await Promise.allSettled(ends.map(a => a.finished));
}

const steps = {
    // A person of its own, with no cookie of the one before.
    async open({ url, timeout }) {
        await page?.context().close();
        // Without motion, which would change colours while axe looks at them.
        const context = await browser.newContext({ locale: "en-US", colorScheme: "light", reducedMotion: "reduce", viewport: { width: 1280, height: 900 } });
        context.setDefaultTimeout(timeout);
        page = await context.newPage();
        await page.goto(url);
    },
    click: step => find(step).click(),
    fill: step => find(step).fill(step.value),
    press: step => page.keyboard.press(step.value),
    see: step => find(step).waitFor({ state: "visible" }),
    gone: step => find(step).waitFor({ state: "hidden" }),
    look: async ({ dark, width, height }) => {
        await page.emulateMedia({ colorScheme: dark ? "dark" : "light" });
        await page.setViewportSize({ width, height });
        await frame().evaluate(still);
    },
    scroll: step => find(step).evaluate(element => element.scrollIntoView({ block: "start" })),
    shot: async ({ file }) => { await page.screenshot({ path: file, animations: "disabled" }) },
    run: ({ value }) => frame().evaluate(value),
    // What axe finds that keeps somebody from using the page.
    axe: async () => {
        await frame().evaluate(axe);
        const { violations } = await frame().evaluate("axe.run()");
        return violations.filter(({ impact }) => impact === "serious" || impact === "critical")
            .map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(node => node.html).join(" ")}`).join("\n");
    },
};

for await (const line of createInterface({ input: process.stdin })) {
    const step = JSON.parse(line);
    let answer;
    try {
        answer = { value: String(await steps[step.do](step) ?? "") };
    } catch (error) {
        answer = { error: error.message };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await browser.close();
