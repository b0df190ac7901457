// What the browser and map clients load of others, each with its licence: from node_modules to vendor/.
import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';

import { font, glyphs, STARTS } from './glyphs.mjs';

const here = new URL('.', import.meta.url);
const vendor = new URL('vendor/', here);

const copied = {
  'node_modules/maplibre-gl/dist/maplibre-gl.mjs': 'maplibre-gl/maplibre-gl.mjs',
  'node_modules/maplibre-gl/dist/maplibre-gl-worker.mjs': 'maplibre-gl/maplibre-gl-worker.mjs',
  'node_modules/maplibre-gl/dist/maplibre-gl.css': 'maplibre-gl/maplibre-gl.css',
  'node_modules/maplibre-gl/LICENSE.txt': 'maplibre-gl/LICENSE.txt',
  'node_modules/pmtiles/dist/esm/index.js': 'pmtiles/pmtiles.js',
  'licenses/pmtiles.txt': 'pmtiles/LICENSE.txt',
  'node_modules/fflate/esm/browser.js': 'fflate/fflate.js',
  'node_modules/fflate/LICENSE': 'fflate/LICENSE.txt',
  'node_modules/@fontsource/noto-sans/LICENSE': 'fonts/LICENSE.txt',
};
/** What styles call a font → its weight in the names of the package's files. */
const weights = { 'Noto Sans Regular': 400, 'Noto Sans Bold': 700 };

await rm(vendor, { recursive: true, force: true });
for (const [source, target] of Object.entries(copied)) {
  await mkdir(new URL('.', new URL(target, vendor)), { recursive: true });
  await copyFile(new URL(source, here), new URL(target, vendor));
}
await resolveImport('pmtiles/pmtiles.js', 'from"fflate"', 'from"../fflate/fflate.js"');
for (const [name, weight] of Object.entries(weights)) await writeFont(name, weight);

/** A browser without a bundler finds modules by their address alone. */
async function resolveImport(module, from, to) {
  const code = await readFile(new URL(module, vendor), 'utf8');
  if (!code.includes(from)) throw new Error(`${module} no longer says ${from}: see vendor.mjs`);
  await writeFile(new URL(module, vendor), code.replace(from, to));
}

async function writeFont(name, weight) {
  const folder = new URL(`fonts/${name}/`, vendor);
  const files = ['latin', 'latin-ext'].map((part) => `node_modules/@fontsource/noto-sans/files/noto-sans-${part}-${weight}-normal.woff`);
  const parts = await Promise.all(files.map((file) => font(new URL(file, here))));
  await mkdir(folder, { recursive: true });
  for (const start of STARTS) await writeFile(new URL(`${start}-${start + 255}.pbf`, folder), glyphs(name, parts, start));
}
