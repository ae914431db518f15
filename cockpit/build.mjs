// SPDX-License-Identifier: Apache-2.0
//
// build.mjs DIR: make the page in DIR, and beside it what it is made of: the list
// "bundled" and the texts "LICENSES" of the packages that are a part of it.

import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { gzipSync } from "node:zlib";

import { build } from "esbuild";

import { translation } from "./translation.mjs";

const dir = process.argv[2];
const page = join(dir, "driverd");
mkdirSync(page, { recursive: true });

// Cockpit has PatternFly's fonts, at an address of their own.
const assets = {
    name: "assets",
    setup(plugin) {
        plugin.onResolve({ filter: /\/assets\// }, ({ path }) => ({ path: path.replace(/^.*\/assets\//, "../../static/"), external: true }));
    },
};

const { metafile, outputFiles } = await build({
    entryPoints: ["src/index.tsx"],
    outdir: page,
    bundle: true,
    define: { "process.env.NODE_ENV": '"production"' },
    jsx: "automatic",
    legalComments: "none",
    logLevel: "warning",
    metafile: true,
    minify: true,
    plugins: [assets],
    target: ["es2022"],
    write: false,
});
for (const { path, contents } of outputFiles) // Cockpit serves them as they are
    writeFileSync(path + ".gz", gzipSync(contents, { level: 9 }));
for (const name of ["index.html", "manifest.json"])
    copyFileSync(join("src", name), join(page, name));
for (const name of readdirSync("po").filter(name => name.endsWith(".po")))
    writeFileSync(join(page, `po.${basename(name, ".po")}.js`), translation(readFileSync(join("po", name), "utf8")));

const inputs = Object.keys(metafile.inputs).map(file => file.match(/^node_modules\/((?:@[^/]+\/)?[^/]+)\//)?.[1]);
const names = [...new Set(inputs.filter(name => name))].sort();
const packages = names.map(name => {
    const { version, license } = JSON.parse(readFileSync(`node_modules/${name}/package.json`, "utf8"));
    const file = ["LICENSE", "LICENSE.md", "LICENSE.txt", "license"].map(each => `node_modules/${name}/${each}`).find(existsSync);
    return { name, version, license, text: file ? readFileSync(file, "utf8").trim() : `License: ${license}` };
});
writeFileSync(join(dir, "bundled"), packages.map(({ name, version }) => `bundled(npm(${name})) = ${version}\n`).join(""));
writeFileSync(join(dir, "LICENSES"), packages.map(({ name, version, text }) => `${name} ${version}\n\n${text}\n`).join("\n\n"));
