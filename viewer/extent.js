// Where layers lie: what the first view takes in, and what lies out of sight. Extents are west, south, east, north in degrees.

import { indicators, isDrawn } from './state.js';

const HALF = 2 ** -33;

/** Where the bulk of the shown layers is, or of all indicators where none of those has a place, or of the base map; null where nothing has one. */
export function firstExtent(state, layers) {
  return around(layers.filter(({ id }) => state.layers.includes(id))) ?? around(indicators(layers)) ?? around(layers);
}

function around(layers) {
  const extents = layers.filter(isDrawn).flatMap(({ extent, initial_extent: bulk = extent }) => (bulk ? [bulk] : []));
  if (!extents.length) return null;
  const [wests, souths, easts, norths] = [0, 1, 2, 3].map((side) => extents.map((extent) => extent[side]));
  return [Math.min(...wests), Math.min(...souths), Math.max(...easts), Math.max(...norths)];
}

/**
 * The cell of the aggregation grid that a place lies in, as a box that holds its rows and those of no other cell.
 *
 * @param {number[]} place longitude and latitude
 * @param {number} zoom of the tile, whose side has 64 cells
 */
export function cellAround([longitude, latitude], zoom) {
  const cells = 64 * 2 ** zoom;
  const sine = Math.sin((latitude * Math.PI) / 180);
  // A place in a tile is told in steps, 64 to a cell, rounded down: half a step more lies surely inside.
  const [column, row] = [longitude / 360 + 0.5, 0.5 - Math.log((1 + sine) / (1 - sine)) / (4 * Math.PI)].map((part) => Math.floor(part * cells + 1 / 128));
  // Positions are whole parts of the world, 2^32 an axis: half a part less, and no edge goes through one.
  const [west, east] = [column, column + 1].map((edge) => (edge / cells - HALF) * 360 - 180);
  const [north, south] = [row, row + 1].map((edge) => (Math.atan(Math.sinh(Math.PI * (1 - 2 * (edge / cells - HALF)))) * 180) / Math.PI);
  return [west, south, east, north];
}

/** Whether nothing of an extent is within the view, whose longitudes may go on beyond 180. */
export function isOutside([west, south, east, north], view) {
  const [viewWest, viewSouth, viewEast, viewNorth] = view;
  if (north < viewSouth || south > viewNorth) return true;
  return [-360, 0, 360].every((turn) => east + turn < viewWest || west + turn > viewEast);
}
