import assert from 'node:assert/strict';
import { test } from 'node:test';

import { firstExtent, isOutside } from './extent.js';

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

test('where none of them has a place it is that of all indicators, and there may be none', () => {
  for (const ids of [[], ['placeless'], ['counted']]) assert.deepEqual(first(...ids), [-92.4, 34.6, -90.1, 38.8]);
  assert.equal(firstExtent({ layers: ['placeless'] }, [streets, placeless]), null);
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
