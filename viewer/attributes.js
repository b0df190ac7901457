// Which attributes the map's tiles carry, and where the rest of a row is when somebody asks.

import { getJson } from './api.js';

/** How long one waits for the rest of a row, in milliseconds, before what the tile tells has to do. */
const PATIENCE = 10_000;

/**
 * The parameter that leaves out what nobody sees before a click: of a filtered tile, which is drawn when it is asked for, a third of
 * the bytes and of the time. Nothing where all attributes are wanted.
 *
 * Wanted is what the style reads, and what the popup of an aggregate tells: its categories and its sums.
 *
 * @param {object[]} styleLayers those of the layer
 */
export function onlyWanted(layer, styleLayers) {
  const read = new Set(JSON.stringify(styleLayers).match(/"[^"]+"/g));
  const isWanted = ({ name, role, measure }) => role === 'category' || role === 'id' || measure || read.has(`"${name}"`);
  const wanted = layer.fields.filter(isWanted);
  return wanted.length < layer.fields.length ? `properties=${wanted.map(({ name }) => encodeURIComponent(name)).join()}` : '';
}

/**
 * All attributes of a row, by its id.
 *
 * @throws {Error} the server does not tell them, or not in time
 */
export async function allOf(layer, id) {
  const item = await getJson(`${layer.links.items}/${encodeURIComponent(id)}`, { signal: AbortSignal.timeout(PATIENCE) });
  return item.properties;
}
