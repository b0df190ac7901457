// Where layers lie: what the first view takes in, and what lies out of sight. Extents are west, south, east, north in degrees.

import { indicators, isDrawn } from './state.js';

/** The extent of the shown layers, or of all indicators where none of those has one; null where nothing has a place. */
export function firstExtent(state, layers) {
  return around(layers.filter(({ id }) => state.layers.includes(id))) ?? around(indicators(layers));
}

function around(layers) {
  const extents = layers.filter(isDrawn).flatMap(({ extent }) => (extent ? [extent] : []));
  if (!extents.length) return null;
  const [wests, souths, easts, norths] = [0, 1, 2, 3].map((side) => extents.map((extent) => extent[side]));
  return [Math.min(...wests), Math.min(...souths), Math.max(...easts), Math.max(...norths)];
}

/** Whether nothing of an extent is within the view, whose longitudes may go on beyond 180. */
export function isOutside([west, south, east, north], view) {
  const [viewWest, viewSouth, viewEast, viewNorth] = view;
  if (north < viewSouth || south > viewNorth) return true;
  return [-360, 0, 360].every((turn) => east + turn < viewWest || west + turn > viewEast);
}
