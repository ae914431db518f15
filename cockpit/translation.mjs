// SPDX-License-Identifier: Apache-2.0

import gettext from "gettext-parser";

// Languages that are written from right to left.
const leftwards = ["ar", "fa", "he", "ur"];

/** Returns the script by which Cockpit learns the translations of a .po file. */
export function translation(text) {
    const { headers, translations } = gettext.po.parse(text);
    const plural = /^nplurals=\d+; *plural=([n\d\s()?:=!<>&|%+*-]+);?$/.exec(headers["Plural-Forms"] ?? "");
    if (!plural)
        throw new Error(`cannot read the plural forms of language ${headers.Language}`);
    const lines = Object.values(translations[""])
        .filter(({ msgid, msgstr, comments }) => msgid && msgstr.every(each => each) && !comments?.flag?.includes("fuzzy"))
        .map(({ msgid, msgstr }) => `${JSON.stringify(msgid)}: ${JSON.stringify([null, ...msgstr])}`);
    const direction = leftwards.includes(headers.Language) ? "rtl" : "ltr";
    const head = `"": {"plural-forms": n => ${plural[1]}, "language": ${JSON.stringify(headers.Language)}, "language-direction": "${direction}"}`;
    return `cockpit.locale({\n${[head, ...lines].join(",\n")}\n});\n`;
}
