// SPDX-License-Identifier: Apache-2.0

// Light or dark, as the shell around the page is: it keeps the choice in the storage, and
// tells its own pages of a change by an event.

const system = window.matchMedia("(prefers-color-scheme: dark)");

function apply(style = localStorage.getItem("shell:style") ?? "auto") {
    const dark = style === "dark" || style === "auto" && system.matches;
    document.documentElement.classList.toggle("pf-v6-theme-dark", dark);
}

/** Follows the shell's choice from now on. */
export function followTheme() {
    apply();
    system.addEventListener("change", () => apply());
    window.addEventListener("storage", event => {
        if (event.key === "shell:style")
            apply();
    });
    window.addEventListener("cockpit-style", event => apply((event as CustomEvent<{ style: string }>).detail.style));
}
