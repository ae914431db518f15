// SPDX-License-Identifier: Apache-2.0
//
// pot.mjs: print the texts of the page that can be translated, as a .pot file.

import { readFileSync, readdirSync } from "node:fs";

import gettext from "gettext-parser";
import ts from "typescript";

const translations = {};
const found = (msgid, where) => {
    const entry = translations[msgid] ??= { msgid, msgstr: [""], comments: { reference: "" } };
    entry.comments.reference = [entry.comments.reference, where].filter(each => each).join("\n");
};

const { menu } = JSON.parse(readFileSync("src/manifest.json", "utf8"));
found(menu.index.label, "src/manifest.json");
for (const name of readdirSync("src").filter(name => /\.tsx?$/.test(name)).sort()) {
    const file = ts.createSourceFile(name, readFileSync(`src/${name}`, "utf8"), ts.ScriptTarget.Latest, true);
    const visit = node => {
        if (ts.isCallExpression(node) && node.expression.getText() === "_") {
            if (!ts.isStringLiteral(node.arguments[0]))
                throw new Error(`cannot extract a text that is no literal: ${name}: ${node.getText()}`);
            found(node.arguments[0].text, `src/${name}`);
        }
        ts.forEachChild(node, visit);
    };
    visit(file);
}
const headers = { "Project-Id-Version": "driverd", "Content-Type": "text/plain; charset=UTF-8", "Content-Transfer-Encoding": "8bit" };
process.stdout.write(gettext.po.compile({ charset: "utf-8", headers, translations: { "": translations } }).toString().trimEnd() + "\n");
