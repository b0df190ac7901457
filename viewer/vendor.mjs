// Copies the third-party modules that the browser loads, each with its licence, from node_modules to vendor/.
import { copyFile, mkdir, rm } from 'node:fs/promises';

const from = new URL('./node_modules/maplibre-gl/', import.meta.url);
const to = new URL('./vendor/maplibre-gl/', import.meta.url);
const files = {
  'dist/maplibre-gl.mjs': 'maplibre-gl.mjs',
  'dist/maplibre-gl-worker.mjs': 'maplibre-gl-worker.mjs',
  'dist/maplibre-gl.css': 'maplibre-gl.css',
  'LICENSE.txt': 'LICENSE.txt',
};

await rm(to, { recursive: true, force: true });
await mkdir(to, { recursive: true });
for (const [source, target] of Object.entries(files)) {
  await copyFile(new URL(source, from), new URL(target, to));
}
