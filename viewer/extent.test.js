import assert from 'node:assert/strict';
import { test } from 'node:test';

import { cellAround, firstExtent, isOutside } from './extent.js';

const reports = { id: 'reports', kind: 'events', extent: [-92.4, 34.6, -92.2, 34.8] };
const schools = { id: 'schools', kind: 'places', extent: [-90.3, 38.5, -90.1, 38.8] };
const counted = { id: 'counted', kind: 'events', publish: 'counts', extent: [0, 0, 1, 1] };
const placeless = { id: 'placeless', kind: 'events', extent: null };
const hills = { id: 'hills', kind: 'raster', extent: [-10, 40, -5, 45] };
const streets = { id: 'streets', kind: 'shapes', basemap: true, extent: [-180, -85, 180, 85] };
const layers = [streets, reports, schools, counted, placeless, hills];
const first = (...ids) => firstExtent({ layers: ids }, layers);

test('the first view is that of the shown layers', () => {
  assert.deepEqual(first('reports'), reports.extent);
  assert.deepEqual(first('schools', 'placeless', 'counted'), schools.extent);
  assert.deepEqual(first('schools', 'reports'), [-92.4, 34.6, -90.1, 38.8]);
  assert.deepEqual(first('hills'), hills.extent);
});

test('rows that lie far off do not widen the first view', () => {
  const astray = { ...reports, extent: [-92.4, 0, 0, 34.8], initial_extent: reports.extent };
  assert.deepEqual(firstExtent({ layers: ['reports'] }, [astray]), reports.extent);
  assert.deepEqual(firstExtent({ layers: [] }, [astray, schools]), [-92.4, 34.6, -90.1, 38.8]);
});

test('where none of them has a place it is that of all indicators, or of the base map, and there may be none', () => {
  for (const ids of [[], ['placeless'], ['counted']]) assert.deepEqual(first(...ids), [-92.4, 34.6, -90.1, 38.8]);
  assert.deepEqual(firstExtent({ layers: ['placeless'] }, [streets, placeless]), streets.extent);
  assert.equal(firstExtent({ layers: ['placeless'] }, [placeless]), null);
});

test('an extent is outside only if no part of it is in view', () => {
  const view = [-92.3, 34.7, -92.25, 34.75];
  assert.equal(isOutside(reports.extent, view), false);
  assert.equal(isOutside(schools.extent, view), true);
  assert.equal(isOutside([-92.4, 34.8, -92.2, 34.9], view), true);
  assert.equal(isOutside([-92.26, 34.74, -92.2, 34.9], view), false);
});

test('a view across the line of the dates sees both of its sides', () => {
  const view = [170, -20, 190, -10];
  assert.equal(isOutside([-180, -18, -175, -15], view), false);
  assert.equal(isOutside([175, -18, 178, -15], view), false);
  assert.equal(isOutside([0, -18, 5, -15], view), true);
});

test('a place lies in its cell, also on the edge that belongs to it, and the next cell begins where it ends', () => {
  const cells = 64 * 2 ** 16;
  const degrees = (x, y) => [(x / cells) * 360 - 180, (Math.atan(Math.sinh(Math.PI * (1 - (2 * y) / cells))) * 180) / Math.PI];
  const [column, row] = [1_045_871, 1_608_422];
  const [west, south, east, north] = cellAround(degrees(column, row), 16);
  for (const [x, y] of [[column, row], [column + 0.5, row + 0.5], [column + 0.984, row + 0.984]]) {
    const [longitude, latitude] = degrees(x, y);
    assert.ok(west < longitude && longitude < east && south < latitude && latitude < north);
    assert.deepEqual(cellAround([longitude, latitude], 16), [west, south, east, north]);
  }
  const [nextWest, , , nextNorth] = cellAround(degrees(column + 1, row + 1), 16);
  assert.deepEqual([nextWest, nextNorth], [east, south]);
});
